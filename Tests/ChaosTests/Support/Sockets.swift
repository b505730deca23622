import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One end of a connection: what it received, and how it ended.
final class TestSocket: Sendable {
    private struct State {
        var received: [UInt8] = []
        var isClosed = false
        var error: (any Error)?
    }

    private let state = Mutex(State())
    private let channel = Mutex<(any Channel)?>(nil)

    var received: String { state.withLock { String(decoding: $0.received, as: UTF8.self) } }
    var isClosed: Bool { state.withLock(\.isClosed) }
    /// Whether the other end reset the connection instead of ending it.
    var wasReset: Bool {
        state.withLock { ($0.error as? IOError)?.errnoCode == ECONNRESET }
    }

    fileprivate func use(_ channel: any Channel) {
        self.channel.withLock { $0 = channel }
    }

    fileprivate func take(_ bytes: [UInt8]) { state.withLock { $0.received += bytes } }
    fileprivate func fail(_ error: any Error) { state.withLock { $0.error = error } }
    fileprivate func end() { state.withLock { $0.isClosed = true } }

    func send(_ text: String) {
        channel.withLock { $0?.writeAndFlush(ByteBuffer(string: text), promise: nil) }
    }

    func close() async {
        try? await channel.withLock { $0 }?.close()
    }

    func waitUntilReceived(_ text: String) async throws {
        _ = try await waitFor("received '\(received)', not '\(text)'") { received == text ? true : nil }
    }

    func waitUntilClosed() async throws {
        _ = try await waitFor("the connection is open") { isClosed ? true : nil }
    }

    static func connect(_ port: Int) async throws -> TestSocket {
        let socket = TestSocket()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(socket))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        socket.use(channel)
        return socket
    }

    fileprivate final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let socket: TestSocket

        init(_ socket: TestSocket) {
            self.socket = socket
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            socket.take([UInt8](unwrapInboundIn(data).readableBytesView))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            socket.fail(error)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            socket.end()
        }
    }
}

/// Keeps the connections that were made to it, in order.
final class TestServer: Sendable {
    private let accepted = Mutex<[TestSocket]>([])
    private let listener = Mutex<(any Channel)?>(nil)

    static func start(_ port: Int) async throws -> TestServer {
        let server = TestServer()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let socket = TestSocket()
                    socket.use(channel)
                    try channel.pipeline.syncOperations.addHandler(TestSocket.Handler(socket))
                    server.accepted.withLock { $0.append(socket) }
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        server.listener.withLock { $0 = channel }
        return server
    }

    /// The connection with this number, from 0 on, as soon as it is there.
    func socket(_ number: Int) async throws -> TestSocket {
        try await waitFor("there is no connection \(number)") {
            accepted.withLock { $0.count > number ? $0[number] : nil }
        }
    }

    var count: Int { accepted.withLock { $0.count } }

    func close() async {
        try? await listener.withLock { $0 }?.close()
        for socket in accepted.withLock({ $0 }) { await socket.close() }
    }
}
