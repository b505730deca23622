import ConsensusTypes
import Logging
import NIOCore
import RaftCore

/// A ``ReplicaNode`` with one group, its ``host``.
///
/// Sendable because both are.
public final class SingleGroupNode<Group: HostedGroup>: Sendable {
    public static var groupID: GroupID { OpenedNode.firstGroup }

    public let node: ReplicaNode
    public let host: GroupHost<Group>

    /// As ``ReplicaNode``'s. `onAdmitted` is called on the loop, once, when the group runs.
    public init(
        options: ReplicaNodeOptions, groupSettings: Group.Settings, loop: any EventLoop, logger: Logger,
        onAdmitted: @escaping () -> Void = {}, onEnd: @escaping (NodeEnding) -> Void
    ) throws(NodeError) {
        host = GroupHost<Group>(
            id: Self.groupID, settings: groupSettings, replicaSettings: options.replicaSettings,
            onAdmitted: onAdmitted)
        node = try ReplicaNode(options: options, groups: [host], loop: loop, logger: logger, onEnd: onEnd)
    }

    /// See ``ReplicaNode/now()``.
    public static func now() -> Instant { ReplicaNode.now() }

    public var loop: any EventLoop { node.loop }

    public var options: ReplicaNodeOptions { node.options }

    /// `nil` until the node is admitted.
    public var group: Group! { host.group }

    var replica: Replica<Group>! { host.replica }

    public var admission: NodeAdmission { host.admission }

    /// What each peer said of itself, by node.
    public var announcements: [NodeID: ByteSlice] { host.announcements }

    /// See ``GroupHost/onTurnEnded``.
    public var onTurnEnded: ((Instant) -> Void)? {
        get { host.onTurnEnded }
        set { host.onTurnEnded = newValue }
    }

    /// See ``ReplicaNode/onRemoved``.
    public var onRemoved: (() -> Void)? {
        get { node.onRemoved }
        set { node.onRemoved = newValue }
    }

    /// See ``ReplicaNode/membership``.
    public var membership: Membership { node.membership }

    /// See ``ReplicaNode/clusterID``.
    public var clusterID: ClusterID? { node.clusterID }

    /// See ``ReplicaNode/start()``.
    public func start() -> EventLoopFuture<Void> { node.start() }

    /// See ``GroupHost/announce(_:)``.
    public func announce(_ bytes: [UInt8]) { host.announce(bytes) }

    /// See ``GroupHost/transferLeadership(to:)``.
    public func transferLeadership(to target: NodeID? = nil) async throws(TransferError) {
        try await host.transferLeadership(to: target)
    }

    /// See ``GroupHost/beginHandOver(to:)``.
    public func beginHandOver(to target: NodeID?) -> EventLoopFuture<Result<Void, TransferError>> {
        host.beginHandOver(to: target)
    }

    /// See ``ReplicaNode/changeMembership(_:timeoutMilliseconds:)``.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int = 10_000
    ) async throws(MembershipChangeError) -> Membership {
        try await node.changeMembership(change, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// See ``ReplicaNode/changeMembership(_:timeoutMilliseconds:completion:)``.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int = 10_000,
        completion: @escaping (Result<Membership, MembershipChangeError>) -> Void
    ) {
        node.changeMembership(change, timeoutMilliseconds: timeoutMilliseconds, completion: completion)
    }

    /// See ``ReplicaNode/shutDown()``.
    public func shutDown() async { await node.shutDown() }

    /// See ``ReplicaNode/close()``.
    public func close() async { await node.close() }
}

/// The node of the etcd-compatible server.
public typealias KeyValueNode = SingleGroupNode<KeyValueGroup>
