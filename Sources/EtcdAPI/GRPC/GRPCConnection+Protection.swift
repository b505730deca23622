import NIOCore
import NIOHTTP2

// What a client may not do: break the protocol, flood, or fall silent.
extension GRPCConnection {
    func noteControlFrame() {
        idleControlFrames += 1
        if idleControlFrames > limits.maximumIdleControlFrames {
            goAwayAndClose(.enhanceYourCalm, "too_many_pings")
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if protocolError != nil {
            context.flush()
            close("\(error)")
            return
        }
        if didHandlerReset {
            // The fault was one stream's; NIOHTTP2 has reset it.
            didHandlerReset = false
            return
        }
        if error is NIOHTTP2Errors.NoSuchStream || error is NIOHTTP2Errors.StreamClosed
            || error is NIOHTTP2Errors.StreamError
        {
            return
        }
        close("\(error)")
    }

    func goAwayAndClose(_ code: HTTP2ErrorCode, _ reason: String) {
        guard let context, !isClosing else { return }
        writeOwn(
            HTTP2Frame(
                streamID: .rootStream,
                payload: .goAway(
                    lastStreamID: highestStreamID, errorCode: code,
                    opaqueData: allocator.buffer(string: reason))))
        context.flush()
        close(reason)
    }

    /// Closes the connection now; what comes in after this is not looked at.
    func close(_ reason: String?) {
        guard let context, !isClosing else { return }
        isClosing = true
        if let reason {
            core.logger.debug("closing a client connection", metadata: ["reason": "\(reason)"])
        }
        context.close(promise: nil)
    }

    /// Called about once a second.
    func sweep(now: NIODeadline) {
        if !isHandshakeDone, now - acceptedAt > .milliseconds(Int64(limits.handshakeTimeoutMilliseconds)) {
            goAwayAndClose(.settingsTimeout, "no SETTINGS frame came in time")
            return
        }
        if let pingSentAt {
            if now - pingSentAt > .milliseconds(Int64(limits.keepaliveTimeoutMilliseconds)) {
                close("a keepalive PING was not answered")
                return
            }
        } else if now - lastReadAt > .milliseconds(Int64(limits.keepaliveIntervalMilliseconds)) {
            pingSentAt = now
            write(
                HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(withInteger: 1), ack: false)))
            markDirty()
        }
        if now - idleControlFramesSince > .seconds(30) {
            idleControlFrames = 0
            idleControlFramesSince = now
        }
        if !deferred.isEmpty, !isCongested {
            markDirty()
        }
        if isHoardingWithoutProgress(now: now) {
            goAwayAndClose(.enhanceYourCalm, "answers are left unread while the server is short of room")
            return
        }
        let leaderless = core.isLeaderlessForLong
        for stream in Array(streams.values) where !stream.isFinished {
            if leaderless, stream.requiresLeader {
                finish(stream, EtcdStatus.noLeader)
            } else if !stream.isDispatched,
                now - stream.openedAt > .milliseconds(Int64(limits.requestTimeoutMilliseconds))
            {
                finish(stream, GRPCStatus(.deadlineExceeded, "the request did not arrive in time"))
            } else {
                stream.handler?.sweep(now: now)
            }
        }
    }

    /// All connections together have more unsent than they may, and this one holds a part of it that its
    /// client does not take.
    private func isHoardingWithoutProgress(now: NIODeadline) -> Bool {
        guard !hasProgressed, core.unsentBytes > limits.maximumUnsentBytes,
            unsentBytes > limits.shareBytesPerConnection
        else {
            hasProgressed = false
            stalledSince = nil
            return false
        }
        guard let since = stalledSince else {
            stalledSince = now
            return false
        }
        return now - since > .milliseconds(Int64(limits.keepaliveTimeoutMilliseconds))
    }

    /// Ends calls whose time is up.
    func expireDeadlines(now: NIODeadline) {
        guard deadlineCount > 0 else { return }
        for stream in Array(streams.values) where stream.deadline <= now && !stream.isFinished {
            finish(stream, GRPCStatus(.deadlineExceeded, "context deadline exceeded"))
        }
    }

    func setDeadline(_ stream: GRPCStream, nanoseconds: Int64) {
        // A year is for ever, and does not overflow the clock.
        guard nanoseconds < 365 * 86_400 * 1_000_000_000 else { return }
        stream.deadline = .now() + .nanoseconds(nanoseconds)
        deadlineCount += 1
        core.watchDeadlines()
    }
}
