import ConsensusTypes

/// What faults of processes are injected into: a cluster that the run started, or somebody's own.
protocol FaultTarget: AnyObject, Sendable {
    var nodeCount: Int { get }
    /// The position of the node that leads, as far as anyone can tell.
    func leader() async -> Int?
    /// Injects the fault, waits while the run lasts and no longer than the fault's time, and heals it. Whether it
    /// could be injected.
    func inject(_ fault: ScheduledFault, at node: Int, context: FaultContext) async throws(ChaosFailure)
    /// Nodes that ended although nobody told them to, with what they said last; they are started again.
    func restartFallen() async throws(ChaosFailure) -> [String]
}

/// What an injection needs of the run.
struct FaultContext: Sendable {
    let control: RunControl
    let log: FaultLog
    /// By then all faults are to be healed.
    let deadline: Instant

    /// When a fault that begins now is healed.
    func end(of fault: ScheduledFault) -> Instant {
        min(ChaosClock.now() + .milliseconds(fault.durationMilliseconds), deadline)
    }

    /// The fault's time.
    func wait(_ fault: ScheduledFault) async {
        await control.sleep(until: end(of: fault))
    }
}
