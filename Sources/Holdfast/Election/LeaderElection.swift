import ConsensusTypes
import Logging
import ReplicaRuntime
import ServiceLifecycle
import Synchronization

/// Chooses one of several processes, and another when it fails: one leader or none, at any time.
///
///     let election = try LeaderElection(named: "scheduler", configuration)
///     try await withThrowingTaskGroup(of: Void.self) { group in
///         group.addTask { try await election.run() }
///         try await election.withLeadership { leadership in
///             try await runScheduler(token: leadership.fencingToken)
///         }
///     }
///
/// Members elect by Raft, with votes, terms and members durable in each one's data directory; no data is
/// replicated. What it guarantees:
///
/// - At any time at most one node is told that it leads and is certain of it (``Leadership/isCertain``), as
///   long as clocks do not differ in speed by more than ``NodeConfiguration/maximumClockDriftPartsPerMillion``.
/// - A node is told of the loss before another can be told of the gain. Where it cannot be told in time, since
///   the process stands still, ``Leadership/isCertain`` says so as soon as it goes on.
/// - Each leader has a greater ``FencingToken`` than all before it, without any condition on clocks. Check it
///   where the effect happens: it is the only thing that protects against a leader that was paused between
///   looking at the clock and acting.
/// - As long as a majority of the members runs and can speak with each other, one of them leads, usually within
///   one and a half election timeouts of a failure, and sooner when a leader's process ends.
public final class LeaderElection: Service, Sendable {
    /// The election's name: processes with the same one, and the same
    /// ``NodeConfiguration/clusterName``, take part in the same election.
    public let name: String
    /// `nil` where the election runs with a ``HoldfastNode``.
    private let node: EmbeddedNode?
    let group: EmbeddedGroup<ElectionMachine>
    private let works: WorkCount

    /// How much goes on under the leadership.
    private final class WorkCount: Sendable {
        private let count = Mutex(0)
        var isZero: Bool { count.withLock { $0 == 0 } }
        func begin() { count.withLock { $0 += 1 } }
        func end() { count.withLock { $0 -= 1 } }
    }

    /// Makes the election; it begins with ``run()``. Throws ``HoldfastConfigurationError`` where the
    /// configuration cannot work.
    public convenience init(named name: String, _ configuration: NodeConfiguration)
        throws(HoldfastConfigurationError)
    {
        try configuration.checkName(name, field: "named")
        let plan = try NodePlan(
            configuration, purpose: "election \(name)", directoryName: "election-\(name)")
        self.init(name, OpenedNode.firstGroup, NodeContext(plan, label: name))
    }

    /// A node of its own where `id` is that of a node's first group, or one group of a node that has several.
    init(_ name: String, _ id: GroupID, _ context: NodeContext) {
        self.name = name
        let works = WorkCount()
        self.works = works
        let isAlone = id == OpenedNode.firstGroup
        group = EmbeddedGroup(
            id, context, groupSettings: StateMachineGroupSettings(), label: name, isShared: !isAlone,
            isWorkDone: { works.isZero })
        node = isAlone ? EmbeddedNode(context, first: group) : nil
    }

    /// Takes part until the task is cancelled or the service is shut down gracefully; then another takes over.
    ///
    /// A graceful shutdown resigns first (``resign()``). Throws ``NodeRunError`` where the node cannot start or
    /// go on, where it was run before, and where the election was made by a ``HoldfastNode``, with which it runs.
    public func run() async throws {
        guard let node else { throw NodeRunError.runsWithItsNode }
        try await node.run()
    }

    /// Becomes a member, where that is wanted, without running.
    func joinedOptions() async throws(NodeRunError) -> ReplicaNodeOptions? { try await node?.joinedOptions() }

    /// What this node knows of who leads, at this moment. Never ``LeadershipState/leader(_:)`` when that is not
    /// certain, also where the process stood still and could not be told of the loss yet.
    public var leadership: LeadershipState { group.watch.board.current }

    /// The changes of that, beginning with the present state, until the election ends on this node.
    public var leadershipChanges: LeadershipChanges { LeadershipChanges(board: group.watch.board) }

    /// Waits until this node leads, and then does the work, which is cancelled when the leadership is lost.
    ///
    /// Returns what the work returns, and throws what it throws. When the leadership is lost meanwhile, the work
    /// is cancelled, and once it has ended ``LeadershipLostError`` is thrown, whatever it returned. Throws
    /// ``ElectionEndedError`` where this node's election ends before it leads, and `CancellationError` where
    /// the task is cancelled before.
    ///
    /// To lead again after a loss, call it again, with the same work or other. Several calls may run at once.
    public func withLeadership<Value: Sendable>(
        _ work: @escaping @Sendable (Leadership) async throws -> Value
    ) async throws -> Value {
        let leadership = try await waitForLeadership()
        works.begin()
        defer { works.end() }
        return try await withThrowingTaskGroup(of: Value?.self) { tasks in
            tasks.addTask { try await work(leadership) }
            tasks.addTask { [self] in
                await waitForLoss(of: leadership)
                return nil
            }
            defer { tasks.cancelAll() }
            if let value = try await tasks.next() ?? nil { return value }
            // The caller's own cancellation ends the waiting too, and is the work's to answer.
            if leadership == group.watch.board.posted.leadership, let value = try await tasks.next() ?? nil {
                return value
            }
            tasks.cancelAll()
            _ = await tasks.nextResult()
            throw LeadershipLostError(fencingToken: leadership.fencingToken)
        }
    }

    /// Gives the leadership up, if this node has it, and leaves it to others for
    /// ``NodeConfiguration/resignationPauseMilliseconds``.
    ///
    /// First the loss is told; then what runs under ``withLeadership(_:)`` is waited for, at most for an
    /// election timeout; then the leadership is handed to the fittest of the others, which takes a round trip
    /// instead of an election. Returns when this node leads no more, or nobody could be found to take over.
    public func resign() async {
        await group.resign()
    }

    /// Hands the leadership, which this node must have, to another: the one of this name, or the fittest.
    ///
    /// As ``resign()``, but this node may lead again at once.
    public func transferLeadership(to name: String? = nil) async throws(LeadershipTransferError) {
        try await group.handOver(to: name)
    }

    private func waitForLeadership() async throws -> Leadership {
        for await state in leadershipChanges {
            if let leadership = state.leadership { return leadership }
        }
        try Task.checkCancellation()
        throw ElectionEndedError(election: name)
    }

    /// Ends with the loss, or where the task is cancelled.
    private func waitForLoss(of leadership: Leadership) async {
        for await state in leadershipChanges where state.leadership != leadership { return }
    }
}

/// An election needs no state: who leads is all that its members agree on.
struct ElectionMachine: StateMachine {
    init() {}

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        try ByteReader(snapshot).requireEnd()
    }

    mutating func apply(_ command: ByteSlice) -> [UInt8] { [] }

    func answer(_ query: ByteSlice) -> [UInt8] { [] }

    func snapshot() -> [UInt8] { [] }
}
