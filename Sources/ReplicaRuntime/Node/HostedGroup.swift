import ConsensusTypes
import RaftCore

/// A state machine with the clients that wait for it, which a ``GroupHost`` gives files, sockets and threads.
///
/// The node calls the members at the end of this protocol instead of the ``Replica``'s own: they are one call
/// for each turn, message or sync, and below them a group that is no generic type itself is compiled as if
/// the node had been written for it alone.
public protocol HostedGroup: ReplicaMachine, SendableMetatype {
    associatedtype Settings: Sendable

    /// Builds the state of a snapshot, on another thread; what it built goes to ``init(_:settings:)``, or to
    /// ``ReplicaMachine/restore(from:metadata:now:)``.
    static func makeRestorer() -> any SnapshotRestorer

    /// ``attach(_:)`` follows before anything else.
    init(_ start: GroupStart, settings: Settings)

    func attach(_ replica: Replica<Self>)

    /// Set by ``attach(_:)``.
    var replica: Replica<Self>! { get }

    /// What is logged of the state after a start, for people.
    var stateDescription: [(name: String, value: String)] { get }

    /// Calls `completion` once the state here is as fresh as it was anywhere at the time of the call.
    func linearizableRead(_ completion: @escaping (ServiceError?) -> Void)

    /// The time, by the clock that the group was made with.
    var currentTime: Instant { get }

    /// Answers everyone who waits and takes nothing more.
    func stop()

    var isStopped: Bool { get }

    /// How much room the node's log has.
    func setLogSpace(_ space: DiskSpace, now: Instant)

    /// Tells a peer's node something of this one; it reaches the peer's ``onAnnouncement``.
    func announce(_ bytes: ByteSlice, to peer: NodeID)

    /// Called when something came from a peer that only the node above understands.
    var onAnnouncement: ((NodeID, ByteSlice) -> Void)? { get set }

    // MARK: What happens to the replica

    func runTurn(now: Instant)
    func advanceReplica(now: Instant)
    func receiveMessage(_ message: RaftMessage, now: Instant)
    func notePersisted(through sequence: UInt64, now: Instant)
}

extension HostedGroup {
    /// As ``linearizableRead(_:)``, but answers at once, without asking anybody, on a leader whose lease is valid
    /// (``RaftCore/RaftSettings/promisesLeases``). As certain as the bound on how fast clocks run.
    public func leaseRead(_ completion: @escaping (ServiceError?) -> Void) {
        // The clock is read after the request came: a process may have stood still before.
        guard !isStopped, let index = replica.requestLeaseRead(now: currentTime),
            replica.appliedIndex >= index
        else { return linearizableRead(completion) }
        completion(nil)
    }

    public var stateDescription: [(name: String, value: String)] { [] }

    public func runTurn(now: Instant) {
        replica.runTurn(now: now)
    }

    public func advanceReplica(now: Instant) {
        replica.advance(now: now)
    }

    public func receiveMessage(_ message: RaftMessage, now: Instant) {
        replica.receive(message, now: now)
    }

    public func notePersisted(through sequence: UInt64, now: Instant) {
        replica.persisted(through: sequence, now: now)
    }
}

/// What a ``HostedGroup`` is made from.
public struct GroupStart {
    public let nodeID: NodeID
    /// Unique to this start of this process; names its proposals.
    public let session: UInt64
    public let seed: UInt64
    /// Has built the state of the newest snapshot; `nil` where there is none.
    public let restorer: (any SnapshotRestorer)?
    public let environment: any ReplicaEnvironment
    public let clock: () -> Instant

    public init(
        nodeID: NodeID, session: UInt64, seed: UInt64, restorer: (any SnapshotRestorer)?,
        environment: any ReplicaEnvironment, clock: @escaping () -> Instant
    ) {
        self.nodeID = nodeID
        self.session = session
        self.seed = seed
        self.restorer = restorer
        self.environment = environment
        self.clock = clock
    }
}

extension KeyValueGroup: HostedGroup {
    public var currentTime: Instant { clock() }

    public static func makeRestorer() -> any SnapshotRestorer {
        StoreSnapshotRestorer()
    }

    public convenience init(_ start: GroupStart, settings: KeyValueGroupSettings) {
        self.init(
            nodeID: start.nodeID, session: start.session, seed: start.seed,
            store: (start.restorer as? StoreSnapshotRestorer)?.takeStore() ?? .init(), settings: settings,
            environment: start.environment, clock: start.clock)
    }

    public var stateDescription: [(name: String, value: String)] {
        [("revision", "\(store.revision)")]
    }
}

extension StateMachineGroup: HostedGroup {
    public var currentTime: Instant { clock() }

    public static func makeRestorer() -> any SnapshotRestorer {
        StateMachineRestorer<S>()
    }

    public convenience init(_ start: GroupStart, settings: StateMachineGroupSettings) {
        self.init(
            session: start.session,
            state: (start.restorer as? StateMachineRestorer<S>)?.takeState() ?? S(), settings: settings,
            environment: start.environment, clock: start.clock)
    }

    public func announce(_ bytes: ByteSlice, to peer: NodeID) {
        environment.sendAside(AsideMessage.announcement(bytes).encode(), to: peer)
    }
}
