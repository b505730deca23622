import ConsensusTypes

// A disk that does not finish its writes: the node must not lead, and its leader steps aside.
extension Replica {
    /// When the oldest write that is under way has taken too long; nothing follows while that is known.
    var diskDeadline: Instant {
        guard !core.isDiskStalled, let since = oldestPersistSince else { return .distantFuture }
        return since + .milliseconds(settings.syncDeadlineMilliseconds)
    }

    func checkDisk(now: Instant) {
        if now >= diskDeadline {
            mark(.diskStalled)
            core.isDiskStalled = true
            environment.report(
                "the disk has not finished a write for \(settings.syncDeadlineMilliseconds) ms; this node does not "
                    + "lead until it has")
        }
        // Whoever could take over may not be there at first.
        if core.isDiskStalled, core.role == .leader { _ = core.stepAside(now: now) }
    }

    /// A write was finished.
    func noteDiskProgress(now: Instant) {
        guard core.isDiskStalled else { return }
        if let since = oldestPersistSince,
            since + .milliseconds(settings.syncDeadlineMilliseconds) <= now
        {
            return
        }
        core.isDiskStalled = false
        environment.report("the disk finishes its writes again")
    }

    /// Whether the disk holds the node up.
    public var isDiskStalled: Bool { core.isDiskStalled }

    /// Makes room for another leader at once, where this node leads: for an owner that stood still.
    public func stepAside(now: Instant) {
        guard core.role == .leader else { return }
        _ = core.stepAside(now: now)
        environment.scheduleTurn()
    }
}
