import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import TransportSecurity

/// Framed links between this node and its peers, all on one event loop: bytes in, bytes out.
///
/// Each node dials every peer and sends only on the connections that it dialled; it receives on those that it
/// accepted. A link that breaks is dialled again until the transport is shut down or the peer is removed.
/// The bytes are described in docs/formats/peer-protocol.md.
///
/// Use every method, the initializer included, on the loop. A transport that was started lives until
/// ``shutdown()``.
public final class PeerTransport {
    public let loop: any EventLoop
    public let nodeID: NodeID
    /// Zero until a member told which cluster this node, which joins it, belongs to.
    public private(set) var clusterID: ClusterID
    /// Unique to this start of this process: peers know a restart by it.
    public let incarnation: UInt64
    public let limits: PeerTransportLimits
    public let security: PeerSecurity
    public weak var delegate: (any PeerTransportDelegate)?

    let logger: Logger
    let allocator = ByteBufferAllocator()
    /// From the start on, where links are secured.
    private(set) var certificates: CertificateStore?
    private var links: [NodeID: PeerLink] = [:]
    /// The same links, sorted by node.
    private var sortedLinks: [PeerLink] = []
    /// Accepted and not yet introduced, oldest first.
    private var pending: [PeerConnection] = []
    private var departed: [DepartedPeer] = []
    private var memberSince: UInt64 = 0
    private var ownAddress: PeerAddress?
    private var listeners: [any Channel] = []
    var questions = QuestionBounds()
    private var isStarted = false
    private var isShutDown = false
    private var isFlushScheduled = false
    private var pingTimer: Scheduled<Void>?
    private var logLimiter = LogLimiter()

    /// - Parameters:
    ///   - clusterID: zero for a node that joins a cluster and does not know its id: it takes that of the first
    ///     peer that answers, and calls ``PeerTransportDelegate/transport(learnedCluster:from:)``.
    ///   - loop: one of a `MultiThreadedEventLoopGroup`'s; everything happens on it.
    ///   - incarnation: unique to this start of this process, for example random.
    ///   - peers: the other nodes. This node's own address may be among them: it is told to nodes that may not
    ///     know it.
    public init(
        loop: any EventLoop, nodeID: NodeID, clusterID: ClusterID, incarnation: UInt64, peers: [PeerAddress],
        limits: PeerTransportLimits = PeerTransportLimits(), security: PeerSecurity = .plaintext,
        logger: Logger
    ) {
        loop.preconditionInEventLoop()
        if let problem = limits.problem {
            preconditionFailure("the limits of a peer transport cannot work: \(problem)")
        }
        self.loop = loop
        self.nodeID = nodeID
        self.clusterID = clusterID
        self.incarnation = incarnation
        self.limits = limits
        self.security = security
        self.logger = logger
        setLinks(peers)
    }

    // MARK: - Starting and ending

    /// Listens at every address, then dials the peers. Gives the addresses that it listens at, in order, or a
    /// ``PeerTransportError``; then nothing is left open.
    public func start(listeningOn addresses: [ListenAddress]) -> EventLoopFuture<[SocketAddress]> {
        loop.preconditionInEventLoop()
        precondition(!isStarted && !isShutDown, "a peer transport is started once")
        isStarted = true
        let promise = loop.makePromise(of: [SocketAddress].self)
        do throws(TLSError) {
            if let files = security.certificateFiles {
                certificates = try CertificateStore(
                    files, for: .peers,
                    reloadIntervalMilliseconds: limits.certificateReloadIntervalMilliseconds, logger: logger)
            }
            listen(addresses[...], promise)
        } catch {
            shutdown().whenComplete { _ in promise.fail(PeerTransportError.notSecure(error)) }
        }
        return promise.futureResult
    }

    private func listen(_ remaining: ArraySlice<ListenAddress>, _ promise: EventLoopPromise<[SocketAddress]>)
    {
        guard let address = remaining.first else {
            if isShutDown {
                promise.fail(PeerTransportError.shutDown)
                return
            }
            promise.succeed(listeners.compactMap(\.localAddress))
            sortedLinks.forEach { $0.dial() }
            schedulePings()
            return
        }
        bind(to: address).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let listener) where self.isShutDown:
                listener.close(promise: nil)
                promise.fail(PeerTransportError.shutDown)
            case .success(let listener):
                self.listeners.append(listener)
                self.listen(remaining.dropFirst(), promise)
            case .failure(let error):
                let failure = PeerTransportError.cannotListen(address, reason: "\(error)")
                self.shutdown().whenComplete { _ in promise.fail(failure) }
            }
        }
    }

    /// Replaces the set of peers. Links to peers whose address did not change stay.
    ///
    /// - Parameters:
    ///   - departed: nodes that were peers and are to be told that they are none any more.
    ///   - memberSince: where in its log this node knew itself to be a member, and one more; zero where it does
    ///     not know yet.
    public func update(peers: [PeerAddress], departed: [DepartedPeer] = [], memberSince: UInt64 = 0) {
        loop.preconditionInEventLoop()
        guard !isShutDown else {
            return
        }
        self.departed = departed
        self.memberSince = memberSince
        setLinks(peers)
        if isStarted && !listeners.isEmpty {
            sortedLinks.forEach { $0.dial() }
        }
    }

    private func setLinks(_ peers: [PeerAddress]) {
        let previous = sortedLinks
        ownAddress = peers.first { $0.node == nodeID } ?? ownAddress
        sortedLinks = []
        for address in peers.sorted(by: { $0.node < $1.node }) where address.node != nodeID {
            precondition(sortedLinks.last?.peer != address.node, "a peer has one address")
            let kept = links[address.node].flatMap { $0.address == address ? $0 : nil }
            sortedLinks.append(kept ?? PeerLink(address: address, transport: self))
        }
        links = Dictionary(uniqueKeysWithValues: sortedLinks.map { ($0.peer, $0) })
        for link in previous where links[link.peer] !== link {
            link.end()
        }
    }

    /// Sends what is queued as far as the sockets take it, and closes everything. No callback comes after.
    @discardableResult
    public func shutdown() -> EventLoopFuture<Void> {
        loop.preconditionInEventLoop()
        guard !isShutDown else {
            return loop.makeSucceededVoidFuture()
        }
        flush()
        delegate = nil
        isShutDown = true
        pingTimer?.cancel()
        sortedLinks.forEach { $0.end() }
        links = [:]
        sortedLinks = []
        let strangers = pending
        pending = []
        strangers.forEach { $0.close() }
        let closed = listeners.map { $0.close() }
        listeners = []
        // A listener that is already closed is as good as one that closes now.
        return EventLoopFuture.andAllComplete(closed, on: loop)
    }

    // MARK: - Sending

    /// Queues one message for a peer. It leaves with ``flush()``, at the latest at the end of this turn of the
    /// loop.
    ///
    /// - Parameter kind: handed to the receiver as it is.
    /// - Returns: false where there is no link, the peer's queue is full, or the payload is larger than
    ///   ``PeerTransportLimits/maximumPayloadBytes``. The message is dropped: the protocols above send again.
    @discardableResult
    public func send(_ payload: [UInt8], kind: UInt8, to peer: NodeID) -> Bool {
        payload.withUnsafeBytes { send($0, kind: kind, to: peer) }
    }

    /// Queues one message for a peer; see ``send(_:kind:to:)-([UInt8],_,_)``.
    @discardableResult
    public func send(_ payload: ByteSlice, kind: UInt8, to peer: NodeID) -> Bool {
        payload.withUnsafeBytes { send($0, kind: kind, to: peer) }
    }

    private func send(_ payload: UnsafeRawBufferPointer, kind: UInt8, to peer: NodeID) -> Bool {
        loop.preconditionInEventLoop()
        guard let link = links[peer] else {
            return false
        }
        guard payload.count <= limits.maximumPayloadBytes else {
            link.statistics.droppedFrames += 1
            warn(
                "a message of \(payload.count) bytes for peer \(link.address) is over the limit of "
                    + "\(limits.maximumPayloadBytes) bytes and was dropped; raise the limit on all nodes")
            return false
        }
        guard link.send(payload, kind: kind) else {
            return false
        }
        scheduleFlush()
        return true
    }

    /// Hands everything that is queued to the sockets: one write for each peer.
    public func flush() {
        loop.preconditionInEventLoop()
        for link in sortedLinks {
            link.flush()
        }
    }

    private func scheduleFlush() {
        guard !isFlushScheduled else {
            return
        }
        isFlushScheduled = true
        loop.assumeIsolated().execute {
            self.isFlushScheduled = false
            self.flush()
        }
    }

    // MARK: - What is known

    /// The peers that messages can be sent to, sorted.
    public var connectedPeers: [NodeID] {
        sortedLinks.filter(\.statistics.isConnected).map(\.peer)
    }

    public func isConnected(to peer: NodeID) -> Bool {
        links[peer]?.statistics.isConnected ?? false
    }

    /// One for each peer, sorted by node.
    public var statistics: [PeerStatistics] {
        sortedLinks.map { link in
            var statistics = link.statistics
            statistics.queuedBytes = link.queuedBytes
            return statistics
        }
    }

    /// Accepted connections that have not finished their handshake.
    var pendingConnectionCount: Int { pending.count }

    // MARK: - Connections

    func accept(_ connection: PeerConnection) {
        guard !isShutDown else {
            connection.close()
            return
        }
        if pending.count >= limits.maximumPendingConnections {
            // The oldest goes: a real peer introduces itself at once, one that says nothing only takes room.
            pending[0].fail("too many connections wait for their handshake")
        }
        pending.append(connection)
        connection.startHandshakeTimeout(milliseconds: limits.handshakeTimeoutMilliseconds)
    }

    func connectionClosed(_ connection: PeerConnection, last: PeerConnection.Stage) {
        switch last {
        case .awaitingHello: pending.removeAll { $0 === connection }
        case .answering: questions.ended()
        case .awaitingWelcome(let link), .sending(let link), .receiving(let link):
            link.connectionClosed(connection)
        case .connecting, .closed: break
        }
    }

    func hello(to peer: NodeID) -> Hello {
        var hello = Hello(cluster: clusterID, sender: nodeID, receiver: peer, incarnation: incarnation)
        if memberSince > 0 || ownAddress != nil {
            hello.introduction = SelfIntroduction(
                memberSince: memberSince, host: ownAddress?.host ?? "", port: ownAddress?.port ?? 0)
        }
        return hello
    }

    /// The cluster of a node that was started without knowing it.
    func learn(_ cluster: ClusterID, from peer: NodeID) {
        guard clusterID == ClusterID(0) else { return }
        clusterID = cluster
        logger.info("node \(peer) says that the cluster is \(cluster)")
        delegate?.transport(learnedCluster: cluster, from: peer)
    }

    /// It has begun to speak: it is counted otherwise from now on.
    func noLongerPending(_ connection: PeerConnection) {
        pending.removeAll { $0 === connection }
    }

    func receiveHello(_ payload: ByteSlice, on connection: PeerConnection) {
        do throws(Refusal) {
            let (hello, version, link) = try introduce(payload)
            pending.removeAll { $0 === connection }
            connection.finishHandshake(
                incarnation: hello.incarnation, stage: .receiving(link),
                maximumPayloadBytes: limits.maximumPayloadBytes)
            learn(hello.cluster, from: hello.sender)
            guard !connection.isClosed else {
                return
            }
            var welcome = self.hello(to: hello.sender)
            welcome.lowestVersion = version
            welcome.highestVersion = version
            connection.writeFrame(.welcome, welcome.encoded(), afterPreamble: true)
            link.accept(connection)
        } catch {
            connection.writeFrame(.refusal, error.encoded(), afterPreamble: true)
            connection.fail("refused: \(error.reason)")
        }
    }

    private func introduce(_ payload: ByteSlice) throws(Refusal) -> (Hello, version: UInt32, PeerLink) {
        let hello: Hello
        do throws(ByteDecodingError) {
            hello = try Hello(decoding: payload)
        } catch {
            throw Refusal(.malformed, "the hello is malformed: \(error)")
        }
        guard let version = hello.commonVersion else {
            throw Refusal(
                .version,
                "node \(hello.sender) speaks versions \(hello.lowestVersion) to \(hello.highestVersion) of the peer "
                    + "protocol, node \(nodeID) speaks \(ProtocolVersion.lowest) to \(ProtocolVersion.highest)"
            )
        }
        try requireSameCluster(hello)
        guard hello.receiver == nodeID else {
            throw Refusal(
                .receiver,
                "node \(hello.sender) looks for node \(hello.receiver), but this is node \(nodeID): check the "
                    + "peer addresses of both")
        }
        guard let link = links[hello.sender] else { throw refuseStranger(hello) }
        return (hello, version, link)
    }

    private func refuseStranger(_ hello: Hello) -> Refusal {
        let since = hello.introduction?.memberSince ?? 0
        // A node that joins again may not know of it yet.
        if since > 0, let left = departed.first(where: { $0.node == hello.sender }), since < left.position {
            return Refusal(
                .removed,
                "node \(hello.sender) was removed from the cluster: to use it again, add it and start it with an "
                    + "empty data directory")
        }
        if let introduction = hello.introduction, since > 0, !introduction.host.isEmpty,
            hello.cluster == clusterID, hello.sender != nodeID
        {
            delegate?.transport(
                strangerKnocked: PeerAddress(
                    node: hello.sender, host: introduction.host, port: introduction.port))
        }
        return Refusal(.sender, "node \(hello.sender) is not a peer of node \(nodeID)")
    }

    /// One of the two may not know its cluster yet, and is told by the other.
    private func requireSameCluster(_ hello: Hello) throws(Refusal) {
        let unknown = ClusterID(0)
        if hello.cluster == unknown, clusterID == unknown {
            throw Refusal(
                .cluster,
                "neither node \(hello.sender) nor node \(nodeID) knows which cluster it belongs to: start a member "
                    + "of the cluster first")
        }
        guard hello.cluster == clusterID || hello.cluster == unknown || clusterID == unknown else {
            throw Refusal(
                .cluster,
                "node \(hello.sender) belongs to cluster \(hello.cluster), node \(nodeID) to cluster \(clusterID): "
                    + "check --initial-cluster and --initial-cluster-token on both")
        }
    }

    /// A warning that strangers can cause: only so many are written.
    func warn(_ message: @autoclosure () -> String) {
        logLimiter.warning(message(), to: logger, now: .now())
    }

    private func schedulePings() {
        let interval = TimeAmount.milliseconds(Int64(limits.pingIntervalMilliseconds))
        pingTimer = loop.assumeIsolated().scheduleTask(in: interval) {
            let now = NIODeadline.now()
            for link in self.sortedLinks {
                link.checkLife(now: now)
            }
            if !self.isShutDown {
                self.schedulePings()
            }
        }
    }
}
