import ConsensusTypes
import NIOCore
import TransportSecurity

/// One TCP connection, at the end of its channel's pipeline: bytes to frames, and its stage of life.
final class PeerConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Stage {
        /// Dialled; the connect has not been reported yet.
        case connecting
        /// Dialled; our hello is out.
        case awaitingWelcome(PeerLink)
        /// Dialled and ready: our messages go out here.
        case sending(PeerLink)
        /// Accepted; nobody has said who it is.
        case awaitingHello
        /// Accepted and ready: the peer's messages come in here.
        case receiving(PeerLink)
        /// Accepted; a stranger's question is being answered, or the answer is on its way.
        case answering
        case closed
    }

    var stage: Stage
    /// The peer's, once the handshake is done.
    var incarnation: UInt64 = 0
    var establishedAt = NIODeadline.now()
    /// Handed to the socket and not yet taken by it.
    private(set) var inFlightBytes = 0
    /// Everything that the socket has taken: it grows while the peer acknowledges.
    private(set) var takenBytes: UInt64 = 0

    /// When the unanswered ping left.
    var pingSentAt: NIODeadline?
    /// Rounds of the ping timer since the last sign of life.
    var silentRounds = 0
    var takenBytesAtLastRound: UInt64 = 0

    private let transport: PeerTransport
    private var context: ChannelHandlerContext?
    private var decoder = FrameDecoder(maximumPayloadBytes: ProtocolVersion.maximumHandshakeBytes)
    private var hasUnreportedMessages = false
    private var handshakeTimeout: Scheduled<Void>?

    init(transport: PeerTransport, stage: Stage) {
        self.transport = transport
        self.stage = stage
    }

    var remoteDescription: String {
        context?.channel.remoteAddress.map { "\($0)" } ?? "an unknown address"
    }

    // MARK: - Sending

    /// Hands bytes to the socket; one write, one flush.
    func write(_ bytes: ByteBuffer) {
        guard let context else {
            return
        }
        let count = bytes.readableBytes
        inFlightBytes += count
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in
            self.inFlightBytes -= count
            self.takenBytes += UInt64(count)
        }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
    }

    func writeFrame(_ kind: FrameKind, _ payload: [UInt8], afterPreamble: Bool = false) {
        var buffer = ByteBuffer()
        if afterPreamble {
            buffer.writeBytes(FrameDecoder.preamble)
        }
        buffer.writeFrame(kind: kind, payload: payload)
        write(buffer)
    }

    // MARK: - The handshake

    func startHandshakeTimeout(milliseconds: Int) {
        handshakeTimeout = transport.loop.assumeIsolated().scheduleTask(
            in: .milliseconds(Int64(milliseconds))
        ) {
            switch self.stage {
            case .awaitingHello, .awaitingWelcome:
                self.fail("the handshake was not finished within \(milliseconds) ms")
            case .connecting, .sending, .receiving, .answering, .closed:
                break
            }
        }
    }

    func finishHandshake(incarnation: UInt64, stage: Stage, maximumPayloadBytes: Int) {
        handshakeTimeout?.cancel()
        handshakeTimeout = nil
        self.incarnation = incarnation
        self.stage = stage
        decoder.maximumPayloadBytes = maximumPayloadBytes
        establishedAt = .now()
    }

    // MARK: - Questions

    /// A stranger's question: nothing more is read. The connection ends with the answer, or after so long.
    func beginAnswering(timeoutMilliseconds: Int) {
        handshakeTimeout?.cancel()
        stage = .answering
        handshakeTimeout = transport.loop.assumeIsolated().scheduleTask(
            in: .milliseconds(Int64(timeoutMilliseconds))
        ) {
            self.fail("a question was not answered, or its answer not read, within \(timeoutMilliseconds) ms")
        }
    }

    /// The last that is said here: the connection is closed when the socket has taken it.
    func writeLast(_ kind: FrameKind, _ payload: [UInt8]) {
        guard let context, case .answering = stage else { return }
        var buffer = ByteBuffer(bytes: FrameDecoder.preamble)
        buffer.writeFrame(kind: kind, payload: payload)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.close() }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }

    // MARK: - Closing

    /// Closes because of what the other side did, and says so.
    func fail(_ reason: String) {
        guard !isClosed else {
            return
        }
        transport.warn("closing the connection with \(remoteDescription): \(reason)")
        close()
    }

    func close() {
        guard !isClosed else {
            return
        }
        let last = stage
        stage = .closed
        handshakeTimeout?.cancel()
        handshakeTimeout = nil
        // What the socket has not taken when it closes is not sent.
        context?.close(promise: nil)
        reportFinishedReading()
        transport.connectionClosed(self, last: last)
    }

    var isClosed: Bool {
        if case .closed = stage { true } else { false }
    }

    // MARK: - The channel's events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        close()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        close()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let failure = error as? TLSError else {
            transport.logger.debug("the connection with \(remoteDescription) failed: \(error)")
            close()
            return
        }
        guard !isClosed else { return }
        switch (stage, failure) {
        case (.awaitingWelcome(let link), _):
            link.reportFailure(failure.description, isFault: true)
            close()
        case (_, .closedDuringHandshake), (_, .closedAfterHandshake):
            // Whoever looks whether the port is open does this.
            transport.logger.debug("\(remoteDescription): \(failure)")
            close()
        default:
            fail(failure.description)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosed else {
            return
        }
        silentRounds = 0
        decoder.append(unwrapInboundIn(data))
        let delegate = transport.delegate
        do throws(FrameError) {
            while !isClosed, let frame = try decoder.next() {
                receive(frame, delegate: delegate)
            }
        } catch {
            fail(error.description)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        reportFinishedReading()
    }

    private func reportFinishedReading() {
        if hasUnreportedMessages {
            hasUnreportedMessages = false
            transport.delegate?.transportDidFinishReading()
        }
    }

    private func receive(_ frame: Frame, delegate: (any PeerTransportDelegate)?) {
        switch (stage, frame.kind) {
        case (.receiving(let link), .message):
            link.statistics.receivedFrames += 1
            link.statistics.receivedBytes += UInt64(FrameHeader.size + frame.payload.count)
            hasUnreportedMessages = true
            delegate?.transport(didReceive: frame.payload, kind: frame.channel, from: link.peer)
        case (.receiving, .ping):
            answerPing(frame)
        case (.sending(let link), .pong):
            receivePong(link)
        case (.awaitingHello, .hello):
            transport.receiveHello(frame.payload, on: self)
        case (.awaitingHello, .question):
            transport.receiveQuestion(frame.payload, on: self)
        case (.awaitingWelcome(let link), .welcome):
            link.receiveWelcome(frame.payload, on: self)
        case (.awaitingWelcome(let link), .refusal):
            link.receiveRefusal(frame.payload, on: self)
        default:
            fail("a frame of kind \(frame.kind) is out of place here")
        }
    }

    // MARK: - Pings

    func sendPing(now: NIODeadline) {
        pingSentAt = now
        writeFrame(.ping, [])
    }

    private func answerPing(_ frame: Frame) {
        // Who asks and never reads the answers does not make us keep them.
        guard frame.payload.isEmpty, inFlightBytes < 4_096 else {
            fail("pings come with a payload, or faster than their answers are read")
            return
        }
        writeFrame(.pong, [])
    }

    private func receivePong(_ link: PeerLink) {
        guard let sent = pingSentAt else {
            fail("a pong answers no ping")
            return
        }
        pingSentAt = nil
        link.statistics.roundTrip = Interval(nanoseconds: UInt64((NIODeadline.now() - sent).nanoseconds))
    }
}
