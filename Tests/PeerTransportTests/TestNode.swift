import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

@testable import PeerTransport

enum Event: Hashable, Sendable {
    case message([UInt8], kind: UInt8, from: NodeID)
    case finishedReading
    case connected(NodeID)
    case disconnected(NodeID)
    case stopped(NodeID)
    case learned(ClusterID)
    case knocked(PeerAddress)
    case removalReported(NodeID)
}

struct NeverHappened: Error, CustomStringConvertible {
    let description: String
}

/// Keeps what a transport reports and lets a test wait for it. Lives on the transport's loop.
final class Recorder: PeerTransportDelegate {
    private(set) var events: [Event] = []
    private var waiters: [(isDone: ([Event]) -> Bool, promise: EventLoopPromise<Void>)] = []
    /// Does something from within the transport's own call.
    var reaction: ((Event) -> Void)?

    func transport(didReceive payload: ByteSlice, kind: UInt8, from peer: NodeID) {
        add(.message(payload.bytes, kind: kind, from: peer))
    }

    func transportDidFinishReading() { add(.finishedReading) }
    func transport(peerConnected peer: NodeID) { add(.connected(peer)) }
    func transport(peerDisconnected peer: NodeID) { add(.disconnected(peer)) }
    func transport(peerStopped peer: NodeID) { add(.stopped(peer)) }
    func transport(learnedCluster cluster: ClusterID, from peer: NodeID) { add(.learned(cluster)) }
    func transport(strangerKnocked address: PeerAddress) { add(.knocked(address)) }
    func transport(removalReportedBy peer: NodeID) { add(.removalReported(peer)) }

    /// `nil`: questions are not answered.
    var answerQuestion: ((ByteSlice, @escaping ([UInt8]) -> Void) -> Void)?
    private var questionCount = 0
    private var questionWaiter: (count: Int, promise: EventLoopPromise<Void>)?

    func transport(asked question: ByteSlice, answer: @escaping ([UInt8]) -> Void) -> Bool {
        questionCount += 1
        if let waiter = questionWaiter, questionCount >= waiter.count { waiter.promise.succeed() }
        answerQuestion?(question, answer)
        return answerQuestion != nil
    }

    func waitForQuestions(_ count: Int, on loop: any EventLoop) -> EventLoopFuture<Void> {
        if questionCount >= count { return loop.makeSucceededVoidFuture() }
        let promise = loop.makePromise(of: Void.self)
        questionWaiter = (count, promise)
        return promise.futureResult
    }

    private func add(_ event: Event) {
        events.append(event)
        reaction?(event)
        // A predicate over all events costs too much to run for each message of a large batch.
        if case .message = event {
            return
        }
        let current = events
        waiters.removeAll { waiter in
            guard waiter.isDone(current) else {
                return false
            }
            waiter.promise.succeed()
            return true
        }
    }

    func wait(on loop: any EventLoop, _ what: String, _ isDone: @escaping ([Event]) -> Bool)
        -> EventLoopFuture<Void>
    {
        let promise = loop.makePromise(of: Void.self)
        if isDone(events) {
            promise.succeed()
            return promise.futureResult
        }
        waiters.append((isDone, promise))
        let seen = { self.events.suffix(12) }
        let timeout = loop.assumeIsolated().scheduleTask(in: .seconds(20)) {
            promise.fail(NeverHappened(description: "\(what) never happened; last events: \(seen())"))
        }
        promise.futureResult.whenComplete { _ in timeout.cancel() }
        return promise.futureResult
    }
}

/// Log lines, from any thread.
final class LogRecorder: Sendable {
    private let storage = Mutex<[String]>([])

    var lines: [String] { storage.withLock { $0 } }

    func add(_ line: String) {
        storage.withLock { $0.append(line) }
    }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in RecordingHandler(recorder: self) }
        logger.logLevel = .trace
        return logger
    }

    struct RecordingHandler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        func log(event: LogEvent) {
            recorder.add("\(event.level): \(event.message)")
        }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
    }
}

/// A transport that listens on a port of its own, with its recorder.
struct TestNode: Sendable {
    struct Parts {
        let transport: PeerTransport
        let recorder: Recorder
    }

    let id: NodeID
    let port: Int
    let loop: any EventLoop
    let log: LogRecorder
    private let parts: NIOLoopBound<Parts>

    static let cluster = ClusterID(0xc1)

    static func start(
        _ id: UInt64, incarnation: UInt64 = 1, cluster: ClusterID = cluster, port: Int? = nil,
        limits: PeerTransportLimits = fastLimits, security: PeerSecurity = .plaintext
    ) async throws -> TestNode {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let log = LogRecorder()
        let chosenPort = try port ?? FreePorts.take()
        let (parts, started) = try await loop.submit {
            let transport = PeerTransport(
                loop: loop, nodeID: NodeID(id), clusterID: cluster, incarnation: incarnation, peers: [],
                limits: limits, security: security, logger: log.logger)
            let recorder = Recorder()
            transport.delegate = recorder
            let started = transport.start(listeningOn: [ListenAddress(host: "127.0.0.1", port: chosenPort)])
            return (NIOLoopBound(Parts(transport: transport, recorder: recorder), eventLoop: loop), started)
        }.get()
        let actual = try await started.get()[0].port ?? 0
        return TestNode(id: NodeID(id), port: actual, loop: loop, log: log, parts: parts)
    }

    /// A link counts as stable at once, so that tests need not wait for it.
    static var fastLimits: PeerTransportLimits {
        var limits = PeerTransportLimits()
        limits.stableLinkMilliseconds = 0
        // On a busy machine a test may have to wait for its turn; only tests of patience set less.
        limits.handshakeTimeoutMilliseconds = 600_000
        limits.pingTimeoutMilliseconds = 600_000
        return limits
    }

    var address: PeerAddress { PeerAddress(node: id, host: "127.0.0.1", port: port) }

    func run<Value: Sendable>(_ body: @escaping @Sendable (PeerTransport, Recorder) throws -> Value)
        async throws
        -> Value
    {
        let parts = parts
        return try await loop.submit { try body(parts.value.transport, parts.value.recorder) }.get()
    }

    func setPeers(_ peers: [PeerAddress]) async throws {
        try await run { transport, _ in transport.update(peers: peers) }
    }

    func events() async throws -> [Event] {
        try await run { _, recorder in recorder.events }
    }

    func wait(_ what: String, _ isDone: @escaping @Sendable ([Event]) -> Bool) async throws {
        let loop = loop
        try await run { _, recorder in recorder.wait(on: loop, what, isDone) }.get()
    }

    func wait(for event: Event) async throws {
        try await wait("\(event)") { $0.contains(event) }
    }

    func waitForMessages(_ count: Int) async throws {
        try await wait("\(count) messages") { events in
            events.count >= count && events.reduce(0) { $0 + ($1.isMessage ? 1 : 0) } >= count
        }
    }

    @discardableResult
    func send(_ payload: [UInt8], kind: UInt8 = 0, to peer: NodeID) async throws -> Bool {
        try await run { transport, _ in transport.send(payload, kind: kind, to: peer) }
    }

    func shutdown() async throws {
        try await run { transport, _ in transport.shutdown() }.get()
    }
}

extension Event {
    var isMessage: Bool {
        if case .message = self { true } else { false }
    }
}

/// Nodes 1 to `count` that know each other, all connected.
func connectedNodes(_ count: Int, limits: PeerTransportLimits = TestNode.fastLimits) async throws
    -> [TestNode]
{
    var nodes: [TestNode] = []
    for id in 1...count {
        nodes.append(try await TestNode.start(UInt64(id), limits: limits))
    }
    try await connect(nodes)
    return nodes
}

func connect(_ nodes: [TestNode]) async throws {
    for node in nodes {
        try await node.setPeers(nodes.map(\.address))
    }
    for node in nodes {
        for peer in nodes where peer.id != node.id {
            try await node.wait(for: .connected(peer.id))
        }
    }
}
