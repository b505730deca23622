import EtcdAPI
import NIOCore
import NIOHPACK
import NIOHTTP2

/// The client's side of gRPC on one HTTP/2 connection. Lives on the connection's event loop.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    static let streamWindowSizeBytes = 4 << 20
    static let connectionWindowSizeBytes = 64 << 20

    /// One call. Exactly one `onEnd`, after which nothing comes.
    final class Stream {
        let id: HTTP2StreamID
        var reader = MessageReader(maximumSizeBytes: Int(Int32.max))
        var onMessage: (ByteBuffer) -> Void
        var onEnd: (GRPCStatus) -> Void
        var timer: Scheduled<Void>?
        var isLocalClosed = false

        init(
            id: HTTP2StreamID, onMessage: @escaping (ByteBuffer) -> Void,
            onEnd: @escaping (GRPCStatus) -> Void
        ) {
            self.id = id
            self.onMessage = onMessage
            self.onEnd = onEnd
        }
    }

    private var context: ChannelHandlerContext?
    private var streams: [HTTP2StreamID: Stream] = [:]
    private var nextID = HTTP2StreamID(1)
    private var isFlushScheduled = false
    private var isGoingAway = false
    private let authority: String

    init(authority: String) {
        self.authority = authority
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { openWindow(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        openWindow(context)
        context.fireChannelActive()
    }

    private func openWindow(_ context: ChannelHandlerContext) {
        write(
            HTTP2Frame(
                streamID: .rootStream,
                payload: .windowUpdate(
                    windowSizeIncrement: ClientConnection.connectionWindowSizeBytes - 65_535)))
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        endAll()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        endAll()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOHTTP2Errors.NoSuchStream || error is NIOHTTP2Errors.StreamError { return }
        context.close(promise: nil)
    }

    private func endAll() {
        isGoingAway = true
        for stream in Array(streams.values) {
            end(stream, ClientConnection.lost)
        }
    }

    static let lost = GRPCStatus(.unavailable, "the connection was closed")

    // MARK: Calls

    /// Begins a call; `nil` where the connection cannot take one.
    func open(
        path: String, timeout: TimeAmount?, onMessage: @escaping (ByteBuffer) -> Void,
        onEnd: @escaping (GRPCStatus) -> Void
    ) -> Stream? {
        guard let context, !isGoingAway else {
            onEnd(ClientConnection.lost)
            return nil
        }
        let stream = Stream(id: nextID, onMessage: onMessage, onEnd: onEnd)
        nextID = HTTP2StreamID(Int(nextID) + 2)
        streams[stream.id] = stream
        var headers: HPACKHeaders = [
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": authority,
            "content-type": "application/grpc", "te": "trailers",
        ]
        if let timeout {
            headers.add(
                name: "grpc-timeout", value: GRPCTimeout.format(nanoseconds: timeout.nanoseconds),
                indexing: .nonIndexable)
            stream.timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { [weak self] in
                self?.cancel(stream, GRPCStatus(.deadlineExceeded, "context deadline exceeded"))
            }
        }
        write(HTTP2Frame(streamID: stream.id, payload: .headers(.init(headers: headers))))
        return stream
    }

    func send(_ stream: Stream, _ framed: ByteBuffer, endStream: Bool) {
        guard streams[stream.id] != nil, !stream.isLocalClosed else { return }
        stream.isLocalClosed = endStream
        write(
            HTTP2Frame(
                streamID: stream.id, payload: .data(.init(data: .byteBuffer(framed), endStream: endStream))))
    }

    func halfClose(_ stream: Stream) {
        send(stream, ByteBuffer(), endStream: true)
    }

    func cancel(_ stream: Stream, _ status: GRPCStatus) {
        guard streams[stream.id] != nil else { return }
        write(HTTP2Frame(streamID: stream.id, payload: .rstStream(.cancel)))
        end(stream, status)
    }

    private func end(_ stream: Stream, _ status: GRPCStatus) {
        guard streams.removeValue(forKey: stream.id) != nil else { return }
        stream.timer?.cancel()
        let onEnd = stream.onEnd
        stream.onMessage = { _ in }
        stream.onEnd = { _ in }
        onEnd(status)
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.payload {
        case .headers(let payload):
            guard let stream = streams[frame.streamID] else { return }
            if payload.endStream {
                end(stream, ClientConnection.status(payload.headers))
            }
        case .data(let payload):
            guard let stream = streams[frame.streamID], case .byteBuffer(let bytes) = payload.data else {
                return
            }
            receive(stream, bytes, endStream: payload.endStream)
        case .rstStream(let code):
            guard let stream = streams[frame.streamID] else { return }
            end(stream, GRPCStatus(.unavailable, "the stream was reset: \(code)"))
        case .goAway(let last, let code, _):
            isGoingAway = true
            for stream in Array(streams.values) where stream.id > last {
                end(stream, GRPCStatus(.unavailable, "the server is going away: \(code)"))
            }
        default:
            break
        }
    }

    private func receive(_ stream: Stream, _ bytes: ByteBuffer, endStream: Bool) {
        stream.reader.append(bytes)
        do {
            while let message = try stream.reader.next() {
                stream.onMessage(message)
            }
        } catch {
            cancel(stream, GRPCStatus(.internal, "the response cannot be read: \(error)"))
            return
        }
        if endStream {
            end(stream, GRPCStatus(.internal, "the response has no status"))
        }
    }

    static func status(_ headers: HPACKHeaders) -> GRPCStatus {
        guard let text = headers.first(name: "grpc-status"), let number = Int(text) else {
            let http = headers.first(name: ":status") ?? "none"
            return GRPCStatus(.unknown, "the response has no grpc-status; its HTTP status is \(http)")
        }
        return GRPCStatus(
            GRPCStatus.Code(rawValue: number) ?? .unknown,
            PercentEncoding.decode(headers.first(name: "grpc-message") ?? ""))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            guard let size = event.inboundWindowSize else { return }
            let target =
                event.streamID == .rootStream
                ? ClientConnection.connectionWindowSizeBytes : ClientConnection.streamWindowSizeBytes
            guard size <= target / 2, event.streamID == .rootStream || streams[event.streamID] != nil
            else { return }
            write(
                HTTP2Frame(
                    streamID: event.streamID, payload: .windowUpdate(windowSizeIncrement: target - size)))
        case let event as StreamClosedEvent:
            if let stream = streams[event.streamID] {
                end(stream, GRPCStatus(.unavailable, "the stream was closed"))
            }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Writing

    /// Flushes once a turn of the event loop.
    private func write(_ frame: HTTP2Frame) {
        guard let context else { return }
        context.write(wrapOutboundOut(frame), promise: nil)
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute { [self] in
            isFlushScheduled = false
            self.context?.flush()
        }
    }
}
