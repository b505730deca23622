import ConsensusTypes
import NIOCore
import NIOPosix

@testable import PeerTransport

/// Collects what arrives, and tells when the other side closes.
final class CollectingHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var received = ByteBuffer()
    private let closed: EventLoopPromise<[UInt8]>
    /// Given all bytes so far after each read.
    private let reaction: (any Channel, ByteBuffer) -> Void

    init(closed: EventLoopPromise<[UInt8]>, reaction: @escaping (any Channel, ByteBuffer) -> Void) {
        self.closed = closed
        self.reaction = reaction
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received.writeImmutableBuffer(unwrapInboundIn(data))
        reaction(context.channel, received)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        closed.succeed(Array(received.readableBytesView))
    }
}

/// A connection that speaks whatever bytes a test wants.
struct RawClient: Sendable {
    let channel: any Channel
    private let closed: EventLoopFuture<[UInt8]>

    static func connect(to port: Int) async throws -> RawClient {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let closed = loop.makePromise(of: [UInt8].self)
        let timeout = loop.scheduleTask(in: .seconds(120)) {
            closed.fail(NeverHappened(description: "the connection was not closed"))
        }
        closed.futureResult.whenComplete { _ in timeout.cancel() }
        do {
            let channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            CollectingHandler(closed: closed, reaction: { _, _ in }))
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
            return RawClient(channel: channel, closed: closed.futureResult)
        } catch {
            closed.succeed([])
            throw error
        }
    }

    /// A write that fails because the other side has closed is no failure of the test.
    func write(_ bytes: [UInt8]) async {
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// Everything that was received until the other side closed.
    func bytesUntilClosed() async throws -> [UInt8] {
        try await closed.get()
    }

    func close() async {
        try? await channel.close()
    }
}

/// Accepts connections and answers as a test wants.
struct RawServer: Sendable {
    let channel: any Channel
    var port: Int { channel.localAddress?.port ?? 0 }

    /// - Parameter reaction: given the connection and everything that it has received, after each read.
    static func start(
        port: Int = 0, reaction: @escaping @Sendable (any Channel, ByteBuffer) -> Void
    ) async throws -> RawServer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let channel = try await ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.so_rcvbuf), value: 65_536)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    let closed = child.eventLoop.makePromise(of: [UInt8].self)
                    try child.pipeline.syncOperations.addHandler(
                        CollectingHandler(closed: closed, reaction: reaction))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return RawServer(channel: channel)
    }

    func address(as node: UInt64) -> PeerAddress {
        PeerAddress(node: NodeID(node), host: "127.0.0.1", port: port)
    }

    func close() async {
        try? await channel.close()
    }
}

/// The bytes of one frame.
func frame(_ kind: FrameKind, channel: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
    var buffer = ByteBuffer()
    buffer.writeFrame(kind: kind, channel: channel, payload: payload)
    return Array(buffer.readableBytesView)
}

func helloBytes(
    from sender: UInt64, to receiver: UInt64, cluster: ClusterID = TestNode.cluster, incarnation: UInt64 = 1,
    versions: ClosedRange<UInt32> = 1...1, kind: FrameKind = .hello
) -> [UInt8] {
    let hello = Hello(
        cluster: cluster, sender: NodeID(sender), receiver: NodeID(receiver), incarnation: incarnation,
        versions: versions)
    return FrameDecoder.preamble + frame(kind, hello.encoded())
}

/// The frames in bytes that begin with the preamble.
func frames(in bytes: [UInt8]) throws -> [Frame] {
    var decoder = FrameDecoder(maximumPayloadBytes: 1 << 24)
    bytes.withUnsafeBytes { decoder.append($0) }
    var result: [Frame] = []
    while let frame = try decoder.next() {
        result.append(frame)
    }
    return result
}
