import NIOCore
import NIOHPACK
import NIOHTTP2

// Answers.
extension GRPCConnection {
    /// The client leaves so much unread that no further answer may be made for it.
    var isCongested: Bool {
        unsentBytes > limits.unsentHighWatermarkBytes
            || core.unsentBytes > limits.maximumUnsentBytes && unsentBytes > limits.shareBytesPerConnection
    }

    func hasRoom(_ id: HTTP2StreamID) -> Bool {
        guard let stream = streams[id] else { return true }
        if stream.isWaitingForRoom { return false }
        if stream.unsentBytes > limits.streamUnsentHighWatermarkBytes {
            stream.isWaitingForRoom = true
            return false
        }
        if isCongested {
            stream.isWaitingForRoom = true
            waitForOthers(stream)
            return false
        }
        return true
    }

    /// Other streams' bytes are in the way, so this one's own will not tell when they have gone.
    private func waitForOthers(_ stream: GRPCStream) {
        guard !stream.isDeferred else { return }
        stream.isDeferred = true
        deferBody(of: stream.id) { [unowned self, unowned stream] in
            stream.isDeferred = false
            noteRoom(stream)
        }
    }

    private func noteRoom(_ stream: GRPCStream) {
        guard stream.isWaitingForRoom else { return }
        if isCongested { return waitForOthers(stream) }
        stream.isWaitingForRoom = false
        roomQueue.append(stream.id)
        markDirty()
    }

    func whenUncongested(_ id: HTTP2StreamID, _ body: @escaping () -> Void) {
        guard isCongested else { return body() }
        deferBody(of: id, body)
    }

    /// Runs `body` once the connection is no longer congested, if the stream is still there then.
    func deferBody(of id: HTTP2StreamID, _ body: @escaping () -> Void) {
        // Streams that were given up must not gather here.
        if deferred.count > 2 * limits.maximumConcurrentStreams {
            var live: CircularBuffer<(HTTP2StreamID, () -> Void)> = CircularBuffer()
            for item in deferred where streams[item.0].map({ !$0.isFinished }) ?? false {
                live.append(item)
            }
            deferred = live
        }
        deferred.append((id, body))
    }

    func respond(_ id: HTTP2StreamID, _ framed: ByteBuffer) {
        guard let stream = streams[id], !stream.isFinished else { return }
        guard put(stream, framed) else { return }
        noteFinished(stream)
        write(
            HTTP2Frame(
                streamID: id, payload: .headers(.init(headers: ResponseHeaders.okTrailers, endStream: true))))
    }

    func send(_ id: HTTP2StreamID, _ framed: ByteBuffer) {
        guard let stream = streams[id], !stream.isFinished else { return }
        if put(stream, framed) {
            idleControlFrames = 0
            markDirty()
        }
    }

    func finish(_ id: HTTP2StreamID, _ status: GRPCStatus) {
        guard let stream = streams[id] else { return }
        finish(stream, status)
    }

    func finish(_ stream: GRPCStream, _ status: GRPCStatus) {
        guard !stream.isFinished else { return }
        let headers: HPACKHeaders
        if stream.headersSent {
            headers = status == .ok ? ResponseHeaders.okTrailers : ResponseHeaders.trailers(status)
        } else {
            headers = ResponseHeaders.trailersOnly(status)
        }
        end(stream, headers)
    }

    func reject(_ stream: GRPCStream, _ rejection: RequestHead.Rejection) {
        var headers = ResponseHeaders.trailersOnly(rejection.status, httpStatus: rejection.httpStatus)
        if rejection.namesEncodings {
            headers.add(name: "grpc-accept-encoding", value: "identity")
        }
        end(stream, headers)
    }

    func end(_ stream: GRPCStream, _ headers: HPACKHeaders) {
        noteFinished(stream)
        write(HTTP2Frame(streamID: stream.id, payload: .headers(.init(headers: headers, endStream: true))))
        endHandler(stream)
    }

    /// Hands the headers, where they have not been sent, and one message to HTTP/2.
    func put(_ stream: GRPCStream, _ framed: ByteBuffer) -> Bool {
        let size = framed.readableBytes
        guard size - MessageFraming.prefixSizeBytes <= limits.maximumResponseSizeBytes else {
            finish(
                stream,
                GRPCStatus(
                    .resourceExhausted,
                    "grpc: trying to send message larger than max "
                        + "(\(size - MessageFraming.prefixSizeBytes) vs. \(limits.maximumResponseSizeBytes))")
            )
            return false
        }
        guard unsentBytes <= limits.maximumUnsentBytesPerConnection,
            core.unsentBytes <= 2 * limits.maximumUnsentBytes || unsentBytes <= limits.shareBytesPerConnection
        else {
            finish(
                stream,
                GRPCStatus(
                    .resourceExhausted,
                    "holdfast: the request was carried out, but its answer was dropped: "
                        + "the client leaves \(unsentBytes) bytes of earlier answers unread"))
            return false
        }
        if !stream.headersSent {
            stream.headersSent = true
            write(HTTP2Frame(streamID: stream.id, payload: .headers(.init(headers: ResponseHeaders.initial))))
        }
        stream.unsentBytes += size
        unsentBytes += size
        core.unsentBytes += size
        write(HTTP2Frame(streamID: stream.id, payload: .data(.init(data: .byteBuffer(framed)))))
        return true
    }

    /// Comes before the status is written, because writing it may close the stream.
    func noteFinished(_ stream: GRPCStream) {
        stream.isFinished = true
        stream.message = nil
        stream.reader.discard()
        countBuffered(stream)
        clearDeadline(stream)
        idleControlFrames = 0
        if !stream.isRemoteClosed {
            halfOpenFinishedCount += 1
        }
        markDirty()
    }

    func write(_ frame: HTTP2Frame) {
        context?.write(wrapOutboundOut(frame), promise: nil)
    }

    /// Writes a frame that must not be mistaken for one that NIOHTTP2 wrote by itself because of an error.
    func writeOwn(_ frame: HTTP2Frame) {
        isSendingOwnFrame = true
        write(frame)
        isSendingOwnFrame = false
    }

    func wroteFrame(_ frame: HTTP2Frame) {
        switch frame.payload {
        case .data(let payload):
            noteWritten(frame.streamID, payload.data.readableBytes)
        case .headers(let payload):
            if payload.endStream, halfOpenFinishedCount > 0, let stream = streams[frame.streamID],
                !stream.isRemoteClosed
            {
                resetQueue.append(frame.streamID)
                markDirty()
            }
        case .goAway(_, let code, _):
            if !isSendingOwnFrame {
                protocolError = code
            }
        case .rstStream:
            if !isSendingOwnFrame {
                didHandlerReset = true
            }
        default:
            break
        }
    }

    func noteWritten(_ id: HTTP2StreamID, _ size: Int) {
        guard size > 0, let stream = streams[id] else { return }
        stream.unsentBytes -= size
        unsentBytes -= size
        core.unsentBytes -= size
        hasProgressed = true
        if stream.isWaitingForRoom, stream.unsentBytes <= limits.streamUnsentHighWatermarkBytes / 2 {
            noteRoom(stream)
        }
        if !deferred.isEmpty, !isCongested {
            markDirty()
        }
    }
}
