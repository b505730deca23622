import ConsensusTypes
import Logging
import NIOCore
import PeerTransport
import Synchronization

/// Joins nodes of one process without sockets, for tests of services that embed nodes. Addresses mean nothing:
/// nodes are found by their ids.
///
/// Nodes may live on several event loops. A link that is cut drops what is on its way, and neither side learns
/// of the other; a node that shuts down is reported to its peers as a process that ended.
///
/// May be used from any thread. What is changed shows on a node's own loop shortly after.
public final class InMemoryNetwork: NodeNetwork {
    /// A node that has started and not shut down.
    struct Endpoint: Sendable {
        let loop: any EventLoop
        let transport: NIOLoopBound<InMemoryTransport>
        /// Zero until it learned it.
        var clusterID: ClusterID
        let incarnation: UInt64
        /// Whom it takes messages from.
        var peers: [NodeID]
        var departed: [DepartedPeer]
        var memberSince: UInt64
    }

    /// What one node finds when it looks for another.
    enum Reach {
        case open(Endpoint)
        /// Nothing comes back: the link is cut.
        case silent
        /// There is no such node.
        case down
        /// The other one says that this one is no member any more.
        case removed
        /// The other one does not know this one, and may learn of it from this call.
        case stranger(InMemoryNetwork.Endpoint)
        /// The other one does not take messages from this one.
        case refused(reason: String)
    }

    /// Two nodes, in either order.
    private struct Link: Hashable {
        let lower: NodeID
        let higher: NodeID

        init(_ first: NodeID, _ second: NodeID) {
            lower = min(first, second)
            higher = max(first, second)
        }
    }

    private struct State {
        var endpoints: [NodeID: Endpoint] = [:]
        var cuts: Set<Link> = []
    }

    /// What may be on its way to one peer, in bytes. A message that does not fit is dropped.
    public let maximumQueuedSizeBytes: Int
    private let state = Mutex(State())

    public init(maximumQueuedSizeBytes: Int = 64 << 20) {
        self.maximumQueuedSizeBytes = maximumQueuedSizeBytes
    }

    public func makeTransport(
        _ start: TransportStart, loop: any EventLoop, logger: Logger
    ) -> any NodeTransport {
        InMemoryTransport(start, network: self, loop: loop, logger: logger)
    }

    /// Nobody can cut the way of a question; it is lost where its target does not run.
    public func ask(
        _ question: [UInt8], at target: QuestionTarget, loop: any EventLoop, logger: Logger
    ) -> EventLoopFuture<[UInt8]> {
        let promise = loop.makePromise(of: [UInt8].self)
        guard let node = target.node, let endpoint = state.withLock({ $0.endpoints[node] }) else {
            promise.fail(PeerQuestionError.unreachable(reason: "no such node runs"))
            return promise.futureResult
        }
        endpoint.loop.execute {
            endpoint.transport.value.asked(ByteSlice(question), answer: promise)
        }
        return promise.futureResult
    }

    public var isAddressed: Bool { false }

    // MARK: Faults

    /// Cuts the link in both directions, until it is healed.
    public func cut(_ first: NodeID, _ second: NodeID) {
        change { $0.cuts.insert(Link(first, second)) }
    }

    public func heal(_ first: NodeID, _ second: NodeID) {
        change { $0.cuts.remove(Link(first, second)) }
    }

    /// Cuts all links of a node to the others that have started.
    public func isolate(_ node: NodeID) {
        change { state in
            for other in state.endpoints.keys where other != node {
                state.cuts.insert(Link(node, other))
            }
        }
    }

    /// Heals every link.
    public func healAll() {
        change { $0.cuts = [] }
    }

    // MARK: The transports' side

    func register(_ node: NodeID, _ endpoint: Endpoint) {
        change { state in
            precondition(state.endpoints[node] == nil, "two nodes of the same id in one network: \(node)")
            state.endpoints[node] = endpoint
        }
    }

    func unregister(_ node: NodeID) {
        change { $0.endpoints[node] = nil }
    }

    func setPeers(_ peers: [NodeID], departed: [DepartedPeer], memberSince: UInt64, of node: NodeID) {
        change { state in
            state.endpoints[node]?.peers = peers
            state.endpoints[node]?.departed = departed
            state.endpoints[node]?.memberSince = memberSince
        }
    }

    func setCluster(_ cluster: ClusterID, of node: NodeID) {
        change { $0.endpoints[node]?.clusterID = cluster }
    }

    func reach(from node: NodeID, to peer: NodeID) -> Reach {
        state.withLock { state in
            if state.cuts.contains(Link(node, peer)) { return .silent }
            guard let endpoint = state.endpoints[peer], let own = state.endpoints[node] else { return .down }
            guard InMemoryNetwork.canMeet(own.clusterID, endpoint.clusterID) else {
                return .refused(reason: "it belongs to cluster \(endpoint.clusterID)")
            }
            guard endpoint.peers.contains(node) else {
                return InMemoryNetwork.refusal(of: node, own, by: endpoint)
            }
            return .open(endpoint)
        }
    }

    private static func refusal(of node: NodeID, _ own: Endpoint, by other: Endpoint) -> Reach {
        guard own.memberSince > 0 else { return .refused(reason: "node \(node) is not a peer") }
        if let left = other.departed.first(where: { $0.node == node }), own.memberSince < left.position {
            return .removed
        }
        return .stranger(other)
    }

    /// One of the two may not know its cluster yet, and is told by the other.
    private static func canMeet(_ first: ClusterID, _ second: ClusterID) -> Bool {
        let unknown = ClusterID(0)
        return first == second ? first != unknown : first == unknown || second == unknown
    }

    func isCut(_ first: NodeID, _ second: NodeID) -> Bool {
        state.withLock { $0.cuts.contains(Link(first, second)) }
    }

    /// Changes something and lets every node look again.
    private func change(_ body: (inout State) -> Void) {
        let endpoints = state.withLock { state in
            body(&state)
            return Array(state.endpoints.values)
        }
        for endpoint in endpoints {
            endpoint.loop.execute { endpoint.transport.value.lookAgain() }
        }
    }
}
