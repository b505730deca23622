import ConsensusTypes
import RaftCore
import WriteAheadLog

/// What a ``Replica`` needs of the world: a log, links to its peers and a place for snapshots. Production
/// gives it files, sockets and threads; the simulator gives it a simulated world. Every call returns at
/// once, and whatever takes time is answered by a call on the replica, on the replica's own loop.
public protocol ReplicaEnvironment: AnyObject {
    /// Hands a message to the transport. It may be lost.
    func send(_ message: RaftMessage)

    /// Hands bytes that are no part of the protocol to a peer's ``ReplicaMachine/receive(_:from:now:)``.
    func sendAside(_ bytes: [UInt8], to peer: NodeID)

    /// Writes and syncs in the order of the calls; answered by ``Replica/persisted(through:now:)``.
    func persist(_ write: LogWrite, sequence: UInt64)

    /// Stores a snapshot of this node's own state durably; answered by
    /// ``Replica/snapshotStored(_:succeeded:now:)``.
    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource)

    /// The newest stored snapshot, whose log marker is durable, is `metadata`: older snapshots, and the part
    /// of the log that it covers, are not needed any more.
    func releaseLog(through metadata: SnapshotMetadata)

    /// Reads a part of a stored snapshot for a follower; answered by
    /// ``Replica/snapshotRead(_:chunk:now:)``.
    func readSnapshot(_ read: SnapshotRead)

    /// Adds a chunk that came from a leader. After the last one the whole must be checked, made durable and
    /// given to `restorer`; answered by ``Replica/receivedSnapshotStored(_:restorer:now:)``. A chunk at
    /// offset zero begins anew.
    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer)

    /// Whether the peer, a member or not, is reachable and takes part.
    func isPresent(_ peer: NodeID) -> Bool

    /// For how long the machine has been suspended since it started, which the times that the replica is given do
    /// not show. See ``MachineSuspension``.
    var suspendedTime: Interval { get }

    /// Something for people to read.
    func report(_ text: String)

    /// The membership in force is another: links are to follow it. It need not be committed.
    func membershipChanged(_ membership: Membership)

    /// This membership is committed and in force from `index` on, until another is.
    func membershipCommitted(_ membership: Membership, index: LogIndex)

    /// Asks for a call of ``Replica/runTurn(now:)`` as soon as everything that is already at hand has been
    /// handled. Asking twice before the turn is the same as asking once.
    func scheduleTurn()
}

extension ReplicaEnvironment {
    public func isPresent(_ peer: NodeID) -> Bool { false }
    public var suspendedTime: Interval { .zero }
    public func report(_ text: String) {}
    public func membershipChanged(_ membership: Membership) {}
    public func membershipCommitted(_ membership: Membership, index: LogIndex) {}
}

/// A frozen state that is read piece by piece on another thread while the machine goes on.
public protocol SnapshotSource: Sendable {
    /// The next bytes, at most `maximumSizeBytes` of them, or `nil` at the end.
    mutating func nextChunk(maximumSizeBytes: Int) -> [UInt8]?
}

/// Builds a state from a snapshot's bytes, on another thread than the machine's.
public protocol SnapshotRestorer: AnyObject, Sendable {
    /// Throws where the bytes cannot be those of a snapshot.
    func receive(_ bytes: ByteSlice) throws(ByteDecodingError)
    /// Called after the last byte; throws where the whole is not a snapshot.
    func finish() throws(ByteDecodingError)
}

/// The state machine above a ``Replica``. All calls come on the replica's loop, in log order.
public protocol ReplicaMachine: AnyObject {
    /// Applies committed commands; none of them was applied before. Entries of other kinds are passed too,
    /// so that the machine sees every term begin.
    func apply(_ entries: [Entry], now: Instant)

    /// A frozen copy of the state, in constant time.
    func makeSnapshotSource() -> any SnapshotSource

    func makeSnapshotRestorer() -> any SnapshotRestorer

    /// Replaces the state by what `restorer`, which has finished, built.
    func restore(from restorer: any SnapshotRestorer, metadata: SnapshotMetadata, now: Instant)

    func leadershipChanged(_ leadership: Leadership, now: Instant)

    /// The state is now fresh enough to answer the read.
    func readReady(_ id: ReadID, now: Instant)

    func readFailed(_ id: ReadID, now: Instant)

    /// The proposal will never be in the log.
    func proposalRejected(_ id: ProposalID, reason: ProposalRejection, now: Instant)

    /// What a peer's machine sent with ``ReplicaEnvironment/sendAside(_:to:)``.
    func receive(_ bytes: ByteSlice, from peer: NodeID, now: Instant)

    /// A link to the peer was made: what was sent to it before may be lost.
    func peerConnected(_ peer: NodeID, now: Instant)

    /// The last call of a turn that changed something.
    func turnEnded(now: Instant)

    /// When the machine next wants ``Replica/advance(now:)``.
    var nextDeadline: Instant { get }

    /// A deadline of the machine's own may have passed.
    func advance(now: Instant)
}
