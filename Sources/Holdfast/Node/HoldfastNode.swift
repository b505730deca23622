import ConsensusTypes
import ReplicaRuntime
import ServiceLifecycle
import Synchronization

/// One node with any number of elections and replicated state machines: one data directory, one log whose syncs
/// serve all of them, and one connection to each peer and back.
///
///     let node = try HoldfastNode(configuration)
///     let election = try node.election("signer")
///     let ledger = try node.stateMachine("ledger", Ledger.self)
///     try await node.run()
///
/// Each of them is a *group* with a leader of its own, which may be another node than that of the next, and they
/// guarantee what ``LeaderElection`` and ``ReplicatedStateMachine`` do alone. They have the same members, which
/// ``membership`` changes for all of them.
///
/// Make them before ``run()``, on every node the same. A group that is added in a later version of a service begins
/// when enough nodes run that version: a node that is new to it takes part once the others have been asked, and
/// its other groups do not wait for that. A group that is not made any more is kept in the log as it was.
public final class HoldfastNode: Service, Sendable {
    /// The most groups that a node has.
    public static let maximumGroups = 64

    /// Keeps nodes of one cluster apart that share a directory or a network.
    public let name: String
    private let node: EmbeddedNode
    private let context: NodeContext
    /// The group that decides who the members are, which holds nothing.
    private let members: EmbeddedGroup<ElectionMachine>
    private let names = Mutex<[GroupName]>([])

    private struct GroupName: Hashable {
        let name: String
        let number: UInt64
    }

    /// Makes the node; it takes part with ``run()``. Throws ``HoldfastConfigurationError`` where the configuration
    /// cannot work.
    ///
    /// - Parameter name: the same on every node. Its data lie in a directory of this name, with `node-` before it,
    ///   in ``NodeConfiguration/dataDirectory``.
    public init(
        _ configuration: NodeConfiguration, named name: String = "default"
    ) throws(HoldfastConfigurationError) {
        try configuration.checkName(name, field: "named")
        self.name = name
        let plan = try NodePlan(configuration, purpose: "node \(name)", directoryName: "node-\(name)")
        context = NodeContext(plan, label: name)
        members = EmbeddedGroup(
            OpenedNode.firstGroup, context, groupSettings: StateMachineGroupSettings(),
            label: "\(name)-members", isShared: true)
        node = EmbeddedNode(context, first: members)
    }

    /// Runs all groups until the task is cancelled or the service is shut down gracefully, which gives up every
    /// leadership of this node first.
    ///
    /// Throws ``NodeRunError`` where the node cannot start or go on, and where it was run before.
    public func run() async throws {
        try await node.run()
    }

    /// Makes an election on this node. It runs with the node: its own ``LeaderElection/run()`` throws.
    ///
    /// - Parameters:
    ///   - name: unique on the node, the same on every node.
    ///   - number: what the group is known by in the log and between nodes; 2 or more, the same on every node. It
    ///     follows from the name unless it is given, as it must be to rename an election that has run.
    public func election(
        _ name: String, number: UInt64? = nil
    ) throws(HoldfastNodeError) -> LeaderElection {
        let id = try register(name, kind: "election", number)
        let election = LeaderElection(name, id, context)
        try host(election.group, name)
        return election
    }

    /// Makes a replicated state machine on this node. It runs with the node: its own
    /// ``ReplicatedStateMachine/run()`` throws.
    ///
    /// - Parameters:
    ///   - name: unique on the node, the same on every node.
    ///   - number: as for ``election(_:number:)``.
    public func stateMachine<State: ReplicatedState>(
        _ name: String, _ type: State.Type, number: UInt64? = nil,
        settings: ReplicatedStateMachineSettings = ReplicatedStateMachineSettings()
    ) throws(HoldfastNodeError) -> ReplicatedStateMachine<State> {
        do throws(HoldfastConfigurationError) {
            try settings.check(
                maximumOutstanding: ReplicatedStateMachine<State>.Machine.maximumOutstandingPerSession)
        } catch {
            throw .invalid(error)
        }
        let id = try register(name, kind: "state", number)
        let machine = ReplicatedStateMachine<State>(name, id, context, settings: settings)
        try host(machine.group, name)
        return machine
    }

    /// The members of the cluster, who are those of every group, and how they are changed.
    ///
    /// A change returns when this node has seen every group follow it. Where that takes longer than the timeout,
    /// ``ClusterMembershipError/outcomeUnknown`` is thrown, and the groups go on to follow. A member that was removed
    /// must not be stopped before: it still decides with the others in groups that have not followed.
    public var membership: ClusterMembership { ClusterMembership(backend: context) }

    private func register(
        _ name: String, kind: String, _ given: UInt64?
    ) throws(HoldfastNodeError) -> GroupID {
        do throws(HoldfastConfigurationError) {
            try context.plan.configuration.checkName(name, field: "name")
        } catch {
            throw .invalid(error)
        }
        let number = given ?? StableHash.group("\(kind) \(name)")
        guard number > OpenedNode.firstGroup.rawValue else { throw .numberReserved(number) }
        return try names.withLock { (names) throws(HoldfastNodeError) in
            if names.contains(where: { $0.name == name }) { throw .nameTaken(name) }
            if let other = names.first(where: { $0.number == number }) {
                throw .numberTaken(number, by: other.name)
            }
            guard names.count < Self.maximumGroups - 1 else { throw .tooManyGroups(Self.maximumGroups - 1) }
            if context.hasBegun { throw .runsAlready }
            names.append(GroupName(name: name, number: number))
            return GroupID(number)
        }
    }

    private func host(_ group: any EmbeddedNode.Member, _ name: String) throws(HoldfastNodeError) {
        guard node.add(group) else {
            names.withLock { names in names.removeAll { $0.name == name } }
            throw .runsAlready
        }
    }
}

/// Why a ``HoldfastNode`` does not have a group that was asked for.
public enum HoldfastNodeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name or the settings.
    case invalid(HoldfastConfigurationError)
    /// The node has a group of this name.
    case nameTaken(String)
    /// The node has a group with this number, given or derived from its name.
    case numberTaken(UInt64, by: String)
    /// The numbers 0 and 1 are the node's own.
    case numberReserved(UInt64)
    /// The node has this many groups, the most that it can have.
    case tooManyGroups(Int)
    /// The node runs, or has run: groups are made before.
    case runsAlready

    public var description: String {
        switch self {
        case .invalid(let error): "\(error)"
        case .nameTaken(let name): "the node has a group '\(name)': give each group a name of its own"
        case .numberTaken(let number, let name):
            "the group '\(name)' has the number \(number): give one of the two another number, on every node"
        case .numberReserved(let number):
            "the number \(number) is the node's own: numbers of groups begin at 2"
        case .tooManyGroups(let count): "the node has \(count) groups, and cannot have more: use another node"
        case .runsAlready: "the node runs already: make its groups before run()"
        }
    }
}
