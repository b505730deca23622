import NIOCore
import NIOHPACK
import NIOHTTP2

// What the client sends.
extension GRPCConnection {
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        isReading = true
        let frame = unwrapInboundIn(data)
        switch frame.payload {
        case .data(let payload):
            guard case .byteBuffer(let bytes) = payload.data else { return }
            receiveData(frame.streamID, bytes, endStream: payload.endStream)
        case .headers(let payload):
            receiveHeaders(frame.streamID, payload.headers, endStream: payload.endStream)
        case .settings(.settings):
            isHandshakeDone = true
            noteControlFrame()
        case .ping(_, let isAcknowledgement):
            if isAcknowledgement {
                pingSentAt = nil
            } else {
                noteControlFrame()
            }
        case .priority:
            noteControlFrame()
        case .goAway:
            isPeerLeaving = true
            closeIfIdle()
        case .settings(.ack), .rstStream, .windowUpdate, .pushPromise, .alternativeService, .origin:
            break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        lastReadAt = .now()
        if isDirty {
            endTurn()
        }
        context.fireChannelReadComplete()
    }

    func receiveHeaders(_ id: HTTP2StreamID, _ headers: HPACKHeaders, endStream: Bool) {
        if let stream = streams[id] {
            // Trailers of a request say nothing that gRPC uses.
            if endStream {
                noteRemoteClosed(stream)
                process(stream)
            }
            return
        }
        guard streams.count < limits.maximumConcurrentStreams, !isDraining else {
            // NIOHTTP2 counts only once the client has acknowledged our settings.
            writeOwn(HTTP2Frame(streamID: id, payload: .rstStream(.refusedStream)))
            markDirty()
            return
        }
        highestStreamID = max(highestStreamID, id)
        let stream = GRPCStream(
            id: id, maximumMessageSizeBytes: limits.maximumMessageSizeBytes, openedAt: lastReadAt)
        stream.isRemoteClosed = endStream
        streams[id] = stream
        let head = RequestHead(headers)
        if let rejection = head.rejection {
            reject(stream, rejection)
            return
        }
        switch Method.route(head.path) {
        case .failure(let status):
            finish(stream, status)
            return
        case .success(let method):
            stream.method = method
        }
        if stream.method!.needsData, let others = core.service.membersWithData {
            finish(stream, EtcdStatus.witness(others))
            return
        }
        if let timeout = head.timeout.flatMap(GRPCTimeout.parse) {
            setDeadline(stream, nanoseconds: timeout)
        }
        stream.requiresLeader = head.requiresLeader
        if head.requiresLeader, !core.hasLeader {
            finish(stream, EtcdStatus.noLeader)
            return
        }
        if stream.method!.isStreaming {
            stream.isDispatched = true
            let call = GRPCCall(connection: self, streamID: id)
            stream.handler = core.services.open(stream.method!, call)
        }
        if endStream {
            process(stream)
        }
    }

    func receiveData(_ id: HTTP2StreamID, _ bytes: ByteBuffer, endStream: Bool) {
        guard let stream = streams[id] else { return }
        if endStream {
            noteRemoteClosed(stream)
        }
        guard !stream.isFinished else { return }
        stream.reader.append(bytes)
        process(stream)
    }

    private func noteRemoteClosed(_ stream: GRPCStream) {
        guard !stream.isRemoteClosed else { return }
        stream.isRemoteClosed = true
        if stream.isFinished {
            halfOpenFinishedCount -= 1
        }
    }

    /// Carries out what has arrived on a stream as far as possible.
    func process(_ stream: GRPCStream) {
        guard !stream.isFinished else { return }
        do {
            if stream.method!.isStreaming {
                try processMessages(stream)
            } else {
                try processUnary(stream)
            }
        } catch {
            finish(stream, MessageReader.status(error))
            return
        }
        countBuffered(stream)
    }

    func processUnary(_ stream: GRPCStream) throws(MessageReader.Failure) {
        guard !stream.isDispatched else { return }
        if let message = try stream.reader.next() {
            guard stream.message == nil else {
                finish(stream, GRPCStatus(.internal, "a unary call carries one message, but two were sent"))
                return
            }
            stream.message = message
        }
        guard stream.isRemoteClosed else { return }
        guard stream.message != nil, stream.reader.bufferedBytes == 0 else {
            finish(stream, GRPCStatus(.internal, "the request ended before its message was complete"))
            return
        }
        stream.isDispatched = true
        if isCongested {
            // The message stays with the stream, so that it goes when the stream does.
            deferBody(of: stream.id) { [unowned self, unowned stream] in dispatch(stream) }
        } else {
            dispatch(stream)
        }
    }

    private func dispatch(_ stream: GRPCStream) {
        guard let message = stream.message else { preconditionFailure("a request is dispatched once") }
        stream.message = nil
        countBuffered(stream)
        guard outstandingOperations < limits.maximumConcurrentStreams * 2 else {
            // Requests that were sent and reset at once still cost what they cost.
            finish(stream, EtcdStatus.tooManyRequests)
            return
        }
        core.services.call(stream.method!, GRPCCall(connection: self, streamID: stream.id), message)
    }

    func processMessages(_ stream: GRPCStream) throws(MessageReader.Failure) {
        while !stream.isFinished {
            guard hasRoom(stream.id) else { return }
            guard let message = try stream.reader.next() else { break }
            stream.handler?.receive(message)
        }
        if stream.isRemoteClosed, !stream.isFinished, let handler = stream.handler {
            if stream.reader.bufferedBytes > 0 {
                finish(stream, GRPCStatus(.internal, "the stream ended before its message was complete"))
            } else {
                handler.halfClosed()
            }
        }
    }

    /// Keeps the counts of what incomplete requests hold, and their bounds.
    func countBuffered(_ stream: GRPCStream) {
        let held = stream.isFinished ? 0 : stream.reader.bufferedBytes + (stream.message?.readableBytes ?? 0)
        let change = held - stream.bufferedBytes
        guard change != 0 else { return }
        stream.bufferedBytes = held
        bufferedBytes += change
        core.bufferedRequestBytes += change
        if change > 0,
            bufferedBytes > limits.maximumBufferedRequestBytesPerConnection
                || core.bufferedRequestBytes > limits.maximumBufferedRequestBytes
                    && bufferedBytes > limits.shareBytesPerConnection
        {
            finish(stream, EtcdStatus.tooManyRequests)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as NIOHTTP2WindowUpdatedEvent:
            replenish(event)
        case let event as StreamClosedEvent:
            removeStream(event.streamID)
            closeIfIdle()
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// Opens a window again once half of it is used.
    func replenish(_ event: NIOHTTP2WindowUpdatedEvent) {
        guard let size = event.inboundWindowSize else { return }
        let target: Int
        if event.streamID == .rootStream {
            target = limits.connectionWindowSizeBytes
        } else {
            guard let stream = streams[event.streamID], !stream.isRemoteClosed, !stream.isFinished
            else { return }
            target = limits.streamWindowSizeBytes
            // A stream that is not being carried out keeps its window closed.
            stream.withheldWindowBytes = stream.isWaitingForRoom ? target - size : 0
            guard !stream.isWaitingForRoom else { return }
        }
        guard size <= target / 2 else { return }
        write(
            HTTP2Frame(
                streamID: event.streamID, payload: .windowUpdate(windowSizeIncrement: target - size)))
        markDirty()
    }
}
