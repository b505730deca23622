import ConsensusTypes
import Logging
import NIOCore
import PeerTransport
import Synchronization

/// One node's links in an ``InMemoryNetwork``.
final class InMemoryTransport: NodeTransport {
    struct Message: Sendable {
        let kind: UInt8
        let payload: ByteSlice
    }

    /// What was handed to a peer's loop and not yet delivered there.
    private final class InFlight: Sendable {
        let sizeBytes = Mutex(0)
    }

    private struct Link {
        var remote: InMemoryNetwork.Endpoint?
        var queue: [Message] = []
        var queuedSizeBytes = 0
        let inFlight = InFlight()
        /// The process that was last seen, until it was reported as stopped.
        var seenIncarnation: UInt64?
        var lastRefusal: String?
    }

    weak var delegate: (any PeerTransportDelegate)?
    private let identity: TransportStart
    private let network: InMemoryNetwork
    private let loop: any EventLoop
    private let logger: Logger
    private var clusterID: ClusterID
    private var peers: [NodeID]
    private var departed: [DepartedPeer] = []
    private var memberSince: UInt64 = 0
    private var links: [NodeID: Link] = [:]
    private var isStarted = false
    private var isShutDown = false

    init(_ start: TransportStart, network: InMemoryNetwork, loop: any EventLoop, logger: Logger) {
        loop.preconditionInEventLoop()
        self.identity = start
        self.network = network
        self.loop = loop
        self.logger = logger
        clusterID = start.clusterID
        peers = InMemoryTransport.others(start.peers, than: start.nodeID)
    }

    private static func others(_ peers: [PeerAddress], than node: NodeID) -> [NodeID] {
        peers.map(\.node).filter { $0 != node }.sorted()
    }

    func start() -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        precondition(!isStarted && !isShutDown, "a transport is started once")
        isStarted = true
        network.register(
            identity.nodeID,
            InMemoryNetwork.Endpoint(
                loop: loop, transport: NIOLoopBound(self, eventLoop: loop), clusterID: clusterID,
                incarnation: identity.incarnation, peers: peers, departed: departed,
                memberSince: memberSince))
        return loop.makeSucceededVoidFuture()
    }

    func update(peers addresses: [PeerAddress], departed: [DepartedPeer], memberSince: UInt64) {
        loop.preconditionInEventLoop()
        guard !isShutDown else { return }
        peers = InMemoryTransport.others(addresses, than: identity.nodeID)
        for gone in links.keys.filter({ !peers.contains($0) }) { links[gone] = nil }
        self.departed = departed
        self.memberSince = memberSince
        if isStarted {
            network.setPeers(
                peers, departed: departed, memberSince: memberSince, of: identity.nodeID)
        }
    }

    var connectedPeers: [NodeID] {
        peers.filter(isConnected)
    }

    func isConnected(to peer: NodeID) -> Bool {
        links[peer]?.remote != nil
    }

    func send(_ payload: [UInt8], kind: UInt8, to peer: NodeID) -> Bool {
        loop.preconditionInEventLoop()
        guard let link = links[peer], link.remote != nil else { return false }
        let waiting = link.queuedSizeBytes + link.inFlight.sizeBytes.withLock { $0 }
        guard waiting + payload.count <= network.maximumQueuedSizeBytes else { return false }
        links[peer]?.queue.append(Message(kind: kind, payload: ByteSlice(payload)))
        links[peer]?.queuedSizeBytes += payload.count
        if link.queue.isEmpty {
            // At the latest at the end of this turn of the loop.
            loop.assumeIsolated().execute { self.flush() }
        }
        return true
    }

    func flush() {
        for peer in peers {
            guard let link = links[peer], let remote = link.remote, !link.queue.isEmpty else { continue }
            links[peer]?.queue = []
            links[peer]?.queuedSizeBytes = 0
            let inFlight = link.inFlight
            inFlight.sizeBytes.withLock { $0 += link.queuedSizeBytes }
            let (node, messages, sizeBytes) = (identity.nodeID, link.queue, link.queuedSizeBytes)
            remote.loop.execute {
                inFlight.sizeBytes.withLock { $0 -= sizeBytes }
                remote.transport.value.deliver(messages, from: node)
            }
        }
    }

    private func deliver(_ messages: [Message], from node: NodeID) {
        guard !isShutDown, peers.contains(node), !network.isCut(node, identity.nodeID) else {
            return
        }
        for message in messages where !isShutDown {
            delegate?.transport(didReceive: message.payload, kind: message.kind, from: node)
        }
        delegate?.transportDidFinishReading()
    }

    func shutdown() -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        guard !isShutDown else { return loop.makeSucceededVoidFuture() }
        flush()
        isShutDown = true
        delegate = nil
        links = [:]
        if isStarted { network.unregister(identity.nodeID) }
        return loop.makeSucceededVoidFuture()
    }

    // MARK: Links

    /// Something in the network changed.
    func lookAgain() {
        for peer in peers where !isShutDown && peers.contains(peer) { look(at: peer) }
    }

    private func look(at peer: NodeID) {
        let before = links[peer]?.remote
        switch network.reach(from: identity.nodeID, to: peer) {
        case .open(let endpoint):
            guard before?.incarnation != endpoint.incarnation else { return }
            disconnect(peer)
            reportStopped(peer, unless: endpoint.incarnation)
            guard !isShutDown, peers.contains(peer) else { return }
            links[peer, default: Link()].remote = endpoint
            links[peer]?.seenIncarnation = endpoint.incarnation
            links[peer]?.lastRefusal = nil
            learn(endpoint.clusterID, from: peer)
            if !isShutDown, isConnected(to: peer) { delegate?.transport(peerConnected: peer) }
        case .silent:
            disconnect(peer)
        case .down:
            disconnect(peer)
            reportStopped(peer, unless: nil)
        case .removed:
            disconnect(peer)
            guard isNewRefusal("it says that this node was removed", of: peer) else { return }
            delegate?.transport(removalReportedBy: peer)
        case .stranger(let endpoint):
            disconnect(peer)
            guard isNewRefusal("it does not know this node yet", of: peer) else { return }
            let node = identity.nodeID
            endpoint.loop.execute { endpoint.transport.value.strangerKnocked(node) }
        case .refused(let reason):
            disconnect(peer)
            guard isNewRefusal(reason, of: peer) else { return }
            logger.warning("cannot connect to peer \(peer): it refuses this node: \(reason)")
        }
    }

    private func isNewRefusal(_ reason: String, of peer: NodeID) -> Bool {
        if links[peer]?.lastRefusal == reason { return false }
        links[peer, default: Link()].lastRefusal = reason
        return true
    }

    private func strangerKnocked(_ node: NodeID) {
        guard !isShutDown, !peers.contains(node) else { return }
        delegate?.transport(strangerKnocked: PeerAddress(node: node, host: "memory", port: 0))
    }

    /// The bounds of questions between processes do not hold within one.
    func asked(_ question: ByteSlice, answer: EventLoopPromise<[UInt8]>) {
        let isAnswered = delegate?.transport(asked: question) { answer.succeed($0) }
        guard isAnswered != true else { return }
        let isDown = isShutDown || isAnswered == nil
        answer.fail(
            isDown
                ? PeerQuestionError.unreachable(reason: "the node has shut down")
                : PeerQuestionError.refused(reason: "it answers no questions"))
    }

    private func learn(_ cluster: ClusterID, from peer: NodeID) {
        guard clusterID == ClusterID(0), cluster != ClusterID(0) else { return }
        clusterID = cluster
        network.setCluster(cluster, of: identity.nodeID)
        delegate?.transport(learnedCluster: cluster, from: peer)
    }

    private func disconnect(_ peer: NodeID) {
        guard let link = links[peer], link.remote != nil else { return }
        links[peer] = Link(seenIncarnation: link.seenIncarnation)
        delegate?.transport(peerDisconnected: peer)
    }

    private func reportStopped(_ peer: NodeID, unless incarnation: UInt64?) {
        guard let seen = links[peer]?.seenIncarnation, seen != incarnation else { return }
        links[peer]?.seenIncarnation = nil
        delegate?.transport(peerStopped: peer)
    }
}
