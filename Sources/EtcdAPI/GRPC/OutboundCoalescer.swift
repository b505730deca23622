import NIOCore

/// Stands between HTTP/2 and the socket and joins small writes, so that a batch of responses is one buffer
/// and one system call instead of four for each response. It also frees the HTTP/2 encoder's own buffer at
/// once, which that then uses again.
final class OutboundCoalescer: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// Larger writes are passed on as they are.
    private static let largestCopy = 4_096
    /// What is gathered is passed on at this size, so that the channel notices when it is not being read.
    private static let target = 64 * 1_024

    private var gathered: ByteBuffer?

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard promise == nil, case .byteBuffer(let bytes) = unwrapOutboundIn(data),
            bytes.readableBytes <= OutboundCoalescer.largestCopy
        else {
            passOn(context: context)
            context.write(data, promise: promise)
            return
        }
        if gathered == nil {
            gathered = context.channel.allocator.buffer(capacity: max(1_024, bytes.readableBytes * 2))
        }
        gathered!.writeImmutableBuffer(bytes)
        if gathered!.readableBytes >= OutboundCoalescer.target {
            passOn(context: context)
        }
    }

    func flush(context: ChannelHandlerContext) {
        passOn(context: context)
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        passOn(context: context)
        context.close(mode: mode, promise: promise)
    }

    private func passOn(context: ChannelHandlerContext) {
        guard let buffer = gathered else { return }
        gathered = nil
        context.write(wrapOutboundOut(.byteBuffer(buffer)), promise: nil)
    }
}
