import NIOCore
import NIOPosix
import Synchronization

/// Bytes to and from a port without any protocol, to say what no client would.
final class WireConnection: Sendable {
    private final class Inbox: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        let state = Mutex((bytes: [UInt8](), isClosed: false))

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            state.withLock { $0.bytes.append(contentsOf: bytes.readableBytesView) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            state.withLock { $0.isClosed = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    private let channel: any Channel
    private let inbox: Inbox

    private init(channel: any Channel, inbox: Inbox) {
        self.channel = channel
        self.inbox = inbox
    }

    static func open(port: Int) async throws -> WireConnection {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { $0.pipeline.addHandler(inbox) }
            .connect(host: "127.0.0.1", port: port).get()
        return WireConnection(channel: channel, inbox: inbox)
    }

    /// A connection that has begun HTTP/2.
    static func openHTTP2(
        port: Int, settings: [(UInt16, UInt32)] = []
    ) async throws -> WireConnection {
        let connection = try await open(port: port)
        await connection.send(WireFrame.preface + WireFrame.settings(settings).bytes)
        try await connection.until("the server's settings") { !$0.frames.isEmpty }
        return connection
    }

    /// Failing, because the server has closed already, is no matter.
    func send(_ bytes: [UInt8]) async {
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    func send(_ frames: WireFrame...) async {
        await send(frames.flatMap(\.bytes))
    }

    /// Sends in the background, for a server that stops reading.
    func push(_ bytes: [UInt8]) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    func close() async {
        try? await channel.close()
    }

    var isClosed: Bool { inbox.state.withLock { $0.isClosed } }
    var receivedCount: Int { inbox.state.withLock { $0.bytes.count } }
    var frames: [WireFrame] { WireFrame.parse(inbox.state.withLock { $0.bytes }) }

    func until(_ what: String, _ condition: (WireConnection) -> Bool) async throws {
        _ = try await waitFor("\(what) did not come", within: .seconds(20), every: .milliseconds(5)) {
            condition(self) ? true : nil
        }
    }

    func untilClosed() async throws {
        try await until("the end of the connection") { $0.isClosed }
    }
}
