import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// Bytes to and from a port without any protocol, to say what no client would.
public final class WireConnection: Sendable {
    private let channel: any Channel
    private let state: Inbox

    private final class Inbox: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        struct State {
            var bytes: [UInt8] = []
            var isClosed = false
            /// By ALPN, where TLS is spoken.
            var negotiatedProtocol: String?
        }
        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            state.withLock { $0.bytes.append(contentsOf: bytes.readableBytesView) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
                state.withLock { $0.negotiatedProtocol = negotiated }
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            state.withLock { $0.isClosed = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    private init(channel: any Channel, state: Inbox) {
        self.channel = channel
        self.state = state
    }

    public static func connect(
        port: Int, securedBy context: NIOSSLContext? = nil
    ) async throws -> WireConnection {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let operations = channel.pipeline.syncOperations
                    if let context {
                        try operations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                    }
                    try operations.addHandler(inbox)
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return WireConnection(channel: channel, state: inbox)
    }

    /// A peer that has closed already makes this fail, which is no matter.
    public func send(_ bytes: [UInt8]) async {
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    public func send(_ frames: WireFrame...) async {
        await send(frames.flatMap(\.bytes))
    }

    /// Sends in the background, for a server that stops reading.
    public func push(_ bytes: [UInt8]) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    public func close() async {
        try? await channel.close()
    }

    public var received: [UInt8] { state.state.withLock { $0.bytes } }

    public var receivedCount: Int { state.state.withLock { $0.bytes.count } }

    public var negotiatedProtocol: String? { state.state.withLock { $0.negotiatedProtocol } }

    public var isClosed: Bool { state.state.withLock { $0.isClosed } }

    public var frames: [WireFrame] { WireFrame.parse(received) }

    /// Waits until the server has said enough; false where it never does.
    public func until(_ condition: (WireConnection) -> Bool) async -> Bool {
        for _ in 0..<20_000 {
            if condition(self) { return true }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return condition(self)
    }

    public func untilClosed() async -> Bool {
        await until { $0.isClosed }
    }
}
