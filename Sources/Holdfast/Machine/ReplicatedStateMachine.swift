import ConsensusTypes
import Logging
import NIOCore
import ReplicaRuntime
import ServiceLifecycle

/// A service's own state, the same on every node, durable, and available while a majority of the nodes is.
///
///     let ledger = try ReplicatedStateMachine(Ledger.self, configuration)
///     // in another task: try await ledger.run()
///     let result = try await ledger.submit(.transfer(from: "a", to: "b", amount: 5))
///     let balance = try await ledger.read(.balance("a"))
///
/// What it guarantees, on any node, whichever of them leads:
///
/// - A command whose result was returned is durable on a majority, and is in the state for good.
/// - A command takes effect exactly once, also where it was submitted again after a leader was lost, as
///   ``submit(_:timeout:)`` does by itself; where no answer comes at all, at most once.
/// - Commands take effect in one order on all nodes, and in the order in which callers waited for each other.
/// - What ``read(_:consistency:timeout:)`` answers holds every command whose result was returned before,
///   except where ``ReadConsistency/stale`` was asked for.
public final class ReplicatedStateMachine<State: ReplicatedState>: Service, Sendable {
    typealias Machine = SessionedMachine<State>

    /// Keeps the states of one cluster apart.
    public let name: String
    /// What it was made with.
    public let settings: ReplicatedStateMachineSettings
    /// `nil` where it runs with a ``HoldfastNode``.
    private let node: EmbeddedNode?
    let group: EmbeddedGroup<Machine>
    let gate: SubmissionGate
    let metrics: MachineMetrics

    /// Makes the node; it takes part with ``run()``.
    ///
    /// - Parameter name: keeps several states of one cluster apart; the same on every node.
    public convenience init(
        _ type: State.Type, named name: String = "state", _ configuration: NodeConfiguration,
        settings: ReplicatedStateMachineSettings = ReplicatedStateMachineSettings()
    ) throws(HoldfastConfigurationError) {
        try configuration.checkName(name, field: "named")
        try settings.check(maximumOutstanding: Machine.maximumOutstandingPerSession)
        let plan = try NodePlan(configuration, purpose: "state \(name)", directoryName: "state-\(name)")
        self.init(name, OpenedNode.firstGroup, NodeContext(plan, label: name), settings: settings)
    }

    /// A node of its own where `id` is that of a node's first group, or one group of a node that has several. The
    /// settings were checked.
    init(_ name: String, _ id: GroupID, _ context: NodeContext, settings: ReplicatedStateMachineSettings) {
        self.name = name
        self.settings = settings
        var groupSettings = StateMachineGroupSettings()
        // A sessioned command has 25 bytes in front of the user's.
        groupSettings.maximumCommandSizeBytes = settings.maximumCommandSizeBytes + 64
        var replicaSettings = context.plan.options.replicaSettings
        replicaSettings.snapshotEntryCount = settings.snapshotEntryCount
        replicaSettings.trailingEntryCount = min(5_000, settings.snapshotEntryCount)
        let gate = SubmissionGate(
            limit: settings.maximumOutstandingCommands, maximumWaiters: settings.maximumWaitingCommands)
        self.gate = gate
        let configuration = context.plan.configuration
        metrics = MachineMetrics(
            node: configuration.name, group: name, factory: configuration.metricsFactory)
        let isAlone = id == OpenedNode.firstGroup
        group = EmbeddedGroup(
            id, context, groupSettings: groupSettings, replicaSettings: replicaSettings, label: name,
            isShared: !isAlone, onEnd: { gate.stop() })
        node = isAlone ? EmbeddedNode(context, first: group) : nil
    }

    /// Takes part until the task is cancelled or the service is shut down gracefully; then another node leads.
    ///
    /// Throws ``NodeRunError`` where the node cannot start or go on, where it was run before, and where the state
    /// machine was made by a ``HoldfastNode``, with which it runs.
    public func run() async throws {
        guard let node else { throw NodeRunError.runsWithItsNode }
        try await node.run()
    }

    /// What this node knows of who leads. Every node takes commands and queries; the leader answers them with
    /// fewer messages.
    public var leadership: LeadershipState { group.watch.board.current }

    /// The changes of that, beginning with the present state, until the node stops.
    public var leadershipChanges: LeadershipChanges { LeadershipChanges(board: group.watch.board) }

    /// Executes a command on every node, exactly once, and returns its result.
    ///
    /// Waits while ``ReplicatedStateMachineSettings/maximumOutstandingCommands`` of this node are on their way,
    /// while no leader is known, and while the node starts. Where a leader is lost on the way, the command is
    /// submitted again under the same number, which the cluster executes once only.
    ///
    /// - Parameter timeout: how long to wait altogether. Cancelling the task ends the waiting too.
    public func submit(
        _ command: State.Command, timeout: Duration = .seconds(30)
    ) async throws(SubmitError) -> State.Result {
        let begun = ContinuousClock.now
        do throws(SubmitError) {
            let bytes = try encode(command)
            var submission = Submission(self, deadline: begun + timeout)
            let answer = try await submission.execute(bytes)
            let result = try decode(answer)
            metrics.committed(in: ContinuousClock.now - begun)
            return result
        } catch {
            metrics.failed(error)
            throw error
        }
    }

    /// Hands the leadership, which this node must have, to another: the one of this name, or the fittest. Takes a
    /// round trip; commands wait meanwhile and none is lost.
    public func transferLeadership(to name: String? = nil) async throws(LeadershipTransferError) {
        try await group.handOver(to: name)
    }

    private func encode(_ command: State.Command) throws(SubmitError) -> [UInt8] {
        let bytes: [UInt8]
        do throws(ValueEncodingError) {
            bytes = try State.commandCoding.encode(command)
        } catch {
            throw .notEncodable(error)
        }
        guard bytes.count <= settings.maximumCommandSizeBytes else {
            throw .tooLarge(sizeBytes: bytes.count, maximumSizeBytes: settings.maximumCommandSizeBytes)
        }
        return bytes
    }

    private func decode(_ answer: SessionedAnswer) throws(SubmitError) -> State.Result {
        switch answer {
        case .result(let bytes):
            do throws(ByteDecodingError) {
                return try State.resultCoding.decode(bytes)
            } catch {
                throw .resultUnreadable("\(error)")
            }
        case .malformed: throw .notUnderstood
        case .resultLost: throw .resultUnreadable("the nodes could not write it to bytes")
        case .opened, .sessionExpired, .acknowledgedBefore, .tooManyOutstanding:
            preconditionFailure("\(answer) is no end of a submission")
        }
    }
}

extension ReplicatedStateMachineSettings {
    func check(maximumOutstanding: Int) throws(HoldfastConfigurationError) {
        func require(_ field: String, _ value: Int, _ range: ClosedRange<Int>)
            throws(HoldfastConfigurationError)
        {
            guard !range.contains(value) else { return }
            throw HoldfastConfigurationError(
                field: field, value: "\(value)",
                remedy: "it must be from \(range.lowerBound) to \(range.upperBound)")
        }
        try require("maximumCommandSizeBytes", maximumCommandSizeBytes, 1...(4 << 20))
        try require("snapshotEntryCount", snapshotEntryCount, 1...10_000_000)
        try require("maximumOutstandingCommands", maximumOutstandingCommands, 1...maximumOutstanding)
        try require("maximumWaitingCommands", maximumWaitingCommands, 0...1_000_000)
    }
}
