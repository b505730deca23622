import ConsensusTypes
import NIOCore
import RaftCore
import WriteAheadLog

/// A group as the ``ReplicaNode`` that hosts it sees it, whatever its state machine: a ``GroupHost``.
///
/// Each call stands for a turn, a message, a sync or something as rare; none is made for an item of a batch.
package protocol NodeGroup: AnyObject, Sendable {
    var id: GroupID { get }
    var plan: GroupPlan { get }
    /// `nil` until ``open(_:on:at:first:inForce:)``.
    var admission: NodeAdmission! { get }

    /// The node was opened.
    ///
    /// - Parameters:
    ///   - position: the group's place among the node's.
    ///   - first: the membership that the group's log began with.
    ///   - latest: the members of the cluster, for a group whose log does not say who its own are.
    func open(
        _ opened: OpenedGroup, on node: ReplicaNode, at position: Int, first: Membership, latest: Membership)

    /// Makes the group's state machine and its replica: the node takes part in it.
    func run(_ whole: WholeGroup)

    var isRunning: Bool { get }

    /// Says that the group runs to whoever waits for it, and begins its turns.
    func begin()

    /// Whether a turn was asked for.
    var isTurnDue: Bool { get }
    func runTurn(now: Instant)
    var nextDeadline: Instant { get }
    func advance(now: Instant)
    func notePersisted(through sequence: UInt64, now: Instant)
    func setLogSpace(_ space: DiskSpace, now: Instant)

    /// A message of the protocol; its first bytes are the group's number.
    func receiveRaft(_ payload: ByteSlice, from peer: NodeID, now: Instant)
    func receiveAside(_ payload: ByteSlice, from peer: NodeID, now: Instant)
    func receiveRepair(_ payload: ByteSlice, from peer: NodeID, now: Instant)
    func peerConnected(_ peer: NodeID, now: Instant)
    func peerDisconnected(_ peer: NodeID, now: Instant)
    func peerStopped(_ peer: NodeID, now: Instant)

    func carryOutAdmission()
    /// What is remembered of a node that left is not needed any more.
    func forget(_ node: NodeID)

    /// The memberships that links are kept for: in force, and the last one that was committed.
    var memberships: [Membership] { get }
    /// Whether a leader is known and an entry of its term was applied: then what is applied here is not old.
    var isEstablished: Bool { get }
    var isLeading: Bool { get }
    /// Up to where the log is known to be committed.
    var committedIndex: LogIndex { get }
    /// Links are kept to these nodes from now on.
    func update(latest: Membership, nodes: [NodeID], now: Instant)
    /// The cluster's members, decided by the first group, are these.
    func follow(_ membership: Membership, now: Instant)

    /// Who leads the group, as far as this node knows.
    var leader: NodeID? { get }
    func beginHandOver(to target: NodeID?) -> EventLoopFuture<Result<Void, TransferError>>
    func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int,
        completion: @escaping (Result<Membership, MembershipChangeError>) -> Void)
    /// Whether the last committed membership of this group has the members of the cluster.
    var followsCluster: Bool { get }

    /// Answers everyone who waits.
    func stop()
}
