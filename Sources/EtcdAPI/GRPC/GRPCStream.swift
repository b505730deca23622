import NIOCore
import NIOHTTP2

/// What serves a call that carries more than one message in a direction. Every call comes on the event loop.
protocol StreamHandler: AnyObject {
    /// One message from the client.
    func receive(_ message: ByteBuffer)
    /// The client will send no more.
    func halfClosed()
    /// There is room again after ``GRPCCall/hasRoom`` was false.
    func roomAvailable()
    /// The call is over, whoever ended it; nothing can be sent any more. Called exactly once.
    func ended()
    /// Called about once a second.
    func sweep(now: NIODeadline)
}

/// One call on one connection.
final class GRPCStream {
    let id: HTTP2StreamID
    var method: Method?
    var reader: MessageReader
    /// The request of a unary call, once it is complete.
    var message: ByteBuffer?
    var handler: (any StreamHandler)?
    var deadline = NIODeadline.distantFuture
    /// Bytes handed to HTTP/2 that it has not written, because the client does not take them.
    var unsentBytes = 0
    /// What the connection counts as held for this stream.
    var bufferedBytes = 0
    var headersSent = false
    /// The status has been handed to HTTP/2, or the stream was reset: nothing more may be sent.
    var isFinished = false
    /// The client has ended its side.
    var isRemoteClosed = false
    var isDispatched = false
    /// Nothing more of this stream is carried out until there is room for answers.
    var isWaitingForRoom = false
    /// Stands among the connection's ``GRPCConnection/deferred`` for room.
    var isDeferred = false
    /// When the connection was last read before this stream began.
    let openedAt: NIODeadline
    /// What the stream's window was not opened by while it waited.
    var withheldWindowBytes = 0
    /// The client wants the call to end when there is no leader (metadata `hasleader`).
    var requiresLeader = false

    init(id: HTTP2StreamID, maximumMessageSizeBytes: Int, openedAt: NIODeadline) {
        self.id = id
        self.openedAt = openedAt
        reader = MessageReader(maximumSizeBytes: maximumMessageSizeBytes)
    }
}

/// What the code that serves a call holds of it. Answers to a call that is over are dropped.
struct GRPCCall {
    let connection: GRPCConnection
    let streamID: HTTP2StreamID

    var core: ServerCore { connection.core }
    var allocator: ByteBufferAllocator { connection.allocator }

    /// Answers a unary call with a message that ``MessageFraming`` made.
    func respond(_ framed: ByteBuffer) {
        connection.respond(streamID, framed)
    }

    /// Sends one message of many.
    func send(_ framed: ByteBuffer) {
        connection.send(streamID, framed)
    }

    /// Ends the call.
    func finish(_ status: GRPCStatus) {
        connection.finish(streamID, status)
    }

    /// More messages may be sent; where this is false, ``StreamHandler/roomAvailable()`` will be called.
    var hasRoom: Bool { connection.hasRoom(streamID) }

    /// The connection's unsent responses allow another one to be made; where not, `body` runs later.
    func whenUncongested(_ body: @escaping () -> Void) {
        connection.whenUncongested(streamID, body)
    }
}
