import ConsensusTypes
import NIOCore
import NIOPosix

/// What one node dials instead of another one. Lives on the event loop.
final class LinkProxy {
    /// One more resets the oldest.
    static let maximumConnections = 64

    let port: Int
    private let targetPort: Int
    private let loop: any EventLoop
    private var random: SeededRandom
    private var listener: (any Channel)?
    private var connections: [ProxyConnection] = []
    /// What cuts have swallowed, in both directions.
    private(set) var lostBytes = 0
    private var forward = LinkConditions()
    private var backward = LinkConditions()
    /// Where the node behind does not run, nothing listens, as it would be without a proxy.
    private var isTargetRunning = true
    private var isClosed = false
    private var isSettling = false
    private var waiting: [EventLoopPromise<Void>] = []

    init(port: Int, targetPort: Int, loop: any EventLoop, seed: UInt64) {
        self.port = port
        self.targetPort = targetPort
        self.loop = loop
        random = SeededRandom(seed: seed)
    }

    /// Fails where the port cannot be listened on.
    func start() -> EventLoopFuture<Void> {
        bind().assumeIsolated().map { [self] channel in listener = channel }.nonisolated()
    }

    // MARK: Conditions

    func setForward(_ conditions: LinkConditions) -> EventLoopFuture<Void> {
        forward = conditions
        apply()
        return settle()
    }

    func setBackward(_ conditions: LinkConditions) {
        backward = conditions
        apply()
    }

    private func apply() {
        for connection in connections { connection.set(forward: forward, backward: backward) }
    }

    func setTargetRunning(_ isRunning: Bool) -> EventLoopFuture<Void> {
        isTargetRunning = isRunning
        return settle()
    }

    func resetConnections() {
        for connection in connections { connection.reset() }
    }

    func close() -> EventLoopFuture<Void> {
        isClosed = true
        resetConnections()
        return settle()
    }

    // MARK: Listening

    private var wantsToListen: Bool { isTargetRunning && !forward.isRefusing && !isClosed }

    /// Succeeds when the listener is there, or gone, as it is wanted.
    private func settle() -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        waiting.append(promise)
        continueSettling()
        return promise.futureResult
    }

    private func continueSettling() {
        guard !isSettling else { return }
        if wantsToListen == (listener != nil) {
            let settled = waiting
            waiting = []
            for promise in settled { promise.succeed() }
            return
        }
        isSettling = true
        if let listener {
            self.listener = nil
            listener.close().assumeIsolated().whenComplete { [self] _ in
                isSettling = false
                continueSettling()
            }
            return
        }
        bind().assumeIsolated().whenComplete { [self] result in
            if case .success(let channel) = result {
                listener = channel
                isSettling = false
                continueSettling()
                return
            }
            // Somebody else has the port for a moment, as the far end of an outgoing connection.
            loop.assumeIsolated().scheduleTask(in: .milliseconds(20)) { [self] in
                isSettling = false
                continueSettling()
            }
        }
    }

    private func bind() -> EventLoopFuture<any Channel> {
        let proxy = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop, childGroup: loop)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { proxy.value.accept(channel) }
            }
            .bind(host: "127.0.0.1", port: port)
    }

    // MARK: Connections

    private func accept(_ front: any Channel) {
        let connection = ProxyConnection(
            front: front, forward: forward, backward: backward, random: random.split(),
            connect: { [self] in connectToTarget() },
            onLoss: { [weak self] count in self?.lostBytes += count },
            onEnd: { [weak self] ended in self?.connections.removeAll { $0 === ended } })
        if connections.count >= LinkProxy.maximumConnections { connections.first?.reset() }
        connections.append(connection)
        // In a later turn, when the channel is active.
        loop.assumeIsolated().execute { connection.begin() }
    }

    private func connectToTarget() -> EventLoopFuture<any Channel> {
        ClientBootstrap(group: loop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .connectTimeout(.seconds(2))
            .connect(host: "127.0.0.1", port: targetPort)
    }
}
