import Logging
import NIOCore
import NIOHPACK
import NIOHTTP2

/// gRPC on one HTTP/2 connection.
///
/// Stands directly on ``NIOHTTP2Handler`` and keeps its own table of streams: a channel for each stream would
/// cost several times what a call costs. NIOHTTP2 keeps the protocol's rules and holds DATA back that the
/// client's windows do not allow; how much it holds is counted here, through the frames that it says it wrote.
///
/// Nothing is flushed until the end of the event loop's turn, so that the answers of a whole batch leave in
/// one system call.
final class GRPCConnection: ChannelInboundHandler, NIOHTTP2FrameDelegate {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    let core: ServerCore
    let allocator: ByteBufferAllocator
    var limits: ServerLimits { core.limits }
    var context: ChannelHandlerContext?
    var streams: [HTTP2StreamID: GRPCStream] = [:]

    /// Over all streams; see ``GRPCStream``.
    var unsentBytes = 0
    var bufferedBytes = 0
    /// Open streams with a deadline.
    var deadlineCount = 0
    /// Operations that the service was asked for and has not answered, also those whose client has gone.
    var outstandingOperations = 0
    var watchCount = 0

    /// Complete requests, and halves of them, that wait until the client has taken earlier answers.
    var deferred: CircularBuffer<(HTTP2StreamID, () -> Void)> = CircularBuffer(initialCapacity: 1)
    /// Streams with room again.
    var roomQueue: [HTTP2StreamID] = []
    /// Streams whose status was written while the client had not ended its side.
    var resetQueue: [HTTP2StreamID] = []
    var halfOpenFinishedCount = 0

    var isDirty = false
    var isReading = false
    var isEndingTurn = false
    var isSendingOwnFrame = false
    var protocolError: HTTP2ErrorCode?
    var didHandlerReset = false
    var isDraining = false
    var isClosing = false
    var isPeerLeaving = false

    var highestStreamID = HTTP2StreamID.rootStream
    var isHandshakeDone = false
    let acceptedAt = NIODeadline.now()
    var lastReadAt = NIODeadline.now()
    var pingSentAt: NIODeadline?
    /// The client has taken something since the last sweep.
    var hasProgressed = false
    var stalledSince: NIODeadline?
    var idleControlFrames = 0
    var idleControlFramesSince = NIODeadline.now()

    init(core: ServerCore, allocator: ByteBufferAllocator) {
        self.core = core
        self.allocator = allocator
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        core.add(self)
        let extra = limits.connectionWindowSizeBytes - 65_535
        if extra > 0 {
            write(HTTP2Frame(streamID: .rootStream, payload: .windowUpdate(windowSizeIncrement: extra)))
            markDirty()
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        tearDown()
    }

    func channelInactive(context: ChannelHandlerContext) {
        tearDown()
        context.fireChannelInactive()
    }

    /// Ends every stream and leaves the server's table. Harmless when done twice.
    func tearDown() {
        guard context != nil else { return }
        context = nil
        for id in Array(streams.keys) {
            removeStream(id)
        }
        deferred.removeAll()
        core.remove(self)
    }

    // MARK: Ending

    /// Takes no further call and closes once the open ones are answered. Streams that never end by
    /// themselves are ended.
    func drain() {
        guard context != nil, !isDraining else { return }
        isDraining = true
        writeOwn(
            HTTP2Frame(
                streamID: .rootStream,
                payload: .goAway(lastStreamID: highestStreamID, errorCode: .noError, opaqueData: nil)))
        for stream in Array(streams.values) where stream.method?.isStreaming == true && !stream.isFinished {
            finish(stream, EtcdStatus.stopped)
        }
        markDirty()
        closeIfIdle()
    }

    /// Closing comes after the flush at the end of the turn, or the last answer would be lost.
    func closeIfIdle() {
        if isDraining || isPeerLeaving, streams.isEmpty {
            markDirty()
        }
    }

    func removeStream(_ id: HTTP2StreamID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        unsentBytes -= stream.unsentBytes
        core.unsentBytes -= stream.unsentBytes
        bufferedBytes -= stream.bufferedBytes
        core.bufferedRequestBytes -= stream.bufferedBytes
        clearDeadline(stream)
        if stream.isFinished, !stream.isRemoteClosed {
            halfOpenFinishedCount -= 1
        }
        stream.isFinished = true
        endHandler(stream)
        if !deferred.isEmpty, !isCongested {
            markDirty()
        }
    }

    func clearDeadline(_ stream: GRPCStream) {
        guard stream.deadline != .distantFuture else { return }
        stream.deadline = .distantFuture
        deadlineCount -= 1
    }

    func endHandler(_ stream: GRPCStream) {
        guard let handler = stream.handler else { return }
        stream.handler = nil
        handler.ended()
    }
}
