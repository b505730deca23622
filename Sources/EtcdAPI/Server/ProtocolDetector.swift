import NIOCore
import NIOHTTP1
import NIOHTTP2
import TransportSecurity

/// Tells from the first bytes of a connection whether it speaks HTTP/2 or HTTP/1.1, and builds the pipeline
/// for it.
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let core: ServerCore
    private var received: ByteBuffer?
    private var timer: Scheduled<Void>?
    private var isDecided = false

    init(core: ServerCore) {
        self.core = core
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        core.add(channel)
        timer = context.eventLoop.scheduleTask(
            in: .milliseconds(Int64(core.limits.handshakeTimeoutMilliseconds))
        ) {
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        if !isDecided {
            core.remove(context.channel)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDecided else { return context.fireChannelRead(data) }
        var bytes = unwrapInboundIn(data)
        if received == nil {
            received = bytes
        } else {
            received!.writeBuffer(&bytes)
        }
        let held = received!.readableBytesView
        let isPreface = zip(held, ProtocolDetector.preface).allSatisfy { $0 == $1 }
        if isPreface, held.count < ProtocolDetector.preface.count { return }
        isDecided = true
        do {
            if isPreface {
                try addHTTP2(context)
            } else {
                try addHTTP1(context)
            }
        } catch {
            core.remove(context.channel)
            context.close(promise: nil)
            return
        }
        let first = received!
        received = nil
        context.fireChannelRead(wrapInboundOut(first))
        context.fireChannelReadComplete()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case TLSError.closedDuringHandshake, TLSError.closedAfterHandshake:
            // Whoever looks whether the port is open does this.
            break
        case let failure as TLSError:
            let client = context.channel.remoteAddress.map { "\($0)" } ?? "an unknown address"
            core.warn("a connection of a client at \(client) is refused: \(failure)")
        default:
            break
        }
        context.close(promise: nil)
    }

    private func addHTTP2(_ context: ChannelHandlerContext) throws {
        let limits = core.limits
        core.remove(context.channel)
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: limits.maximumConcurrentStreams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: limits.maximumHeaderListSizeBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: limits.streamWindowSizeBytes),
        ]
        // Clients that measure the bandwidth (Go's do) send a PING for almost every answer.
        configuration.controlFrameRateLimit.maximumCount = limits.maximumControlFramesPerSecond
        configuration.controlFrameRateLimit.windowLength = .seconds(1)
        configuration.maximumRecentlyResetStreams = 256
        configuration.maximumConnectionGlitches = 1_000
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.streamResetFrameRateLimit.maximumCount = limits.maximumResetsPerTenSeconds
        stream.streamResetFrameRateLimit.windowLength = .seconds(10)
        // In this order, because each writes as soon as it is added.
        let coalescer = OutboundCoalescer()
        let connection = GRPCConnection(core: core, allocator: context.channel.allocator)
        let http2 = NIOHTTP2Handler(
            mode: .server, frameDelegate: connection, connectionConfiguration: configuration,
            streamConfiguration: stream)
        let operations = context.pipeline.syncOperations
        try operations.addHandler(coalescer, position: .after(self))
        try operations.addHandler(http2, position: .after(coalescer))
        try operations.addHandler(connection, position: .after(http2))
    }

    private func addHTTP1(_ context: ChannelHandlerContext) throws {
        let operations = context.pipeline.syncOperations
        try operations.configureHTTPServerPipeline(
            position: .after(self), withPipeliningAssistance: true, withErrorHandling: true)
        try operations.addHandler(HTTP1Handler(core: core), position: .last)
    }
}
