import ConsensusTypes
import Logging
import NIOCore

// Turns and time, for all groups together.
extension ReplicaNode {
    func scheduleTurn() {
        guard !isTurnScheduled, !isStopped else { return }
        isTurnScheduled = true
        loop.execute { [self] in runTurn() }
    }

    private func runTurn() {
        isTurnScheduled = false
        guard !isStopped else { return }
        turnsLeft = 0
        for group in groups where group.isTurnDue { turnsLeft += 1 }
        for group in groups where group.isTurnDue && !isStopped {
            turnsLeft = max(0, turnsLeft - 1)
            group.runTurn(now: Self.now())
        }
        turnsLeft = 0
        guard !isStopped else { return }
        submitGathered()
        if areFollowersOutdated { tellFollowers() }
        if groups.count > 1 { leaveGroupsIfUnsure(now: Self.now()) }
        if areLinksOutdated { updateLinks() }
        transport.flush()
        setTimer()
    }

    private var nextDeadline: Instant {
        var earliest = Instant.distantFuture
        for group in groups { earliest = min(earliest, group.nextDeadline) }
        return earliest
    }

    /// One timer for the earliest deadline. A deadline that moved later is found when the timer fires.
    private func setTimer() {
        let deadline = nextDeadline
        guard deadline < timerDeadline else { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) { [self] in
            timerDeadline = .distantFuture
            timer = nil
            guard !isStopped else { return }
            let now = Self.now()
            // A leader then knows that nobody has answered it meanwhile, and gives up before it does anything else.
            if now - deadline >= .milliseconds(options.replicaSettings.raft.electionTimeoutMilliseconds) {
                logger.warning("this node stood still for \((now - deadline).nanoseconds / 1_000_000) ms")
            }
            for group in groups where group.nextDeadline <= now { group.advance(now: now) }
            // Each of those ends in a turn, which sets the timer anew.
            if !isTurnScheduled { setTimer() }
        }
    }
}
