import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import TransportSecurity

/// Why a question was not answered.
public enum PeerQuestionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody answered: nothing listens there, or the connection broke, or it took too long.
    case unreachable(reason: String)
    /// This side's certificates cannot be used, or the other side's are not to be trusted.
    case notSecure(reason: String)
    /// Too much is asked there at the moment: ask again later.
    case busy
    /// The other side refuses to answer.
    case refused(reason: String)
    /// What came is no answer.
    case malformed(reason: String)

    public var description: String {
        switch self {
        case .unreachable(let reason), .notSecure(let reason): reason
        case .busy: "it is asked too much at the moment"
        case .refused(let reason): "it refuses to answer: \(reason)"
        case .malformed(let reason): "its answer cannot be read: \(reason)"
        }
    }
}

/// One question to a node whose peer this process is not, on a connection of its own that ends with the answer.
public enum PeerQuestion {
    /// A question's most bytes: what a stranger may send before the handshake, less what frames it.
    public static let maximumSizeBytes = ProtocolVersion.maximumHandshakeBytes - 12
    public static let maximumAnswerSizeBytes = 1 << 20

    /// Asks whoever listens there. The future, which belongs to `loop`, fails with ``PeerQuestionError`` only.
    public static func ask(
        _ question: [UInt8], host: String, port: Int, limits: PeerTransportLimits = PeerTransportLimits(),
        security: PeerSecurity = .plaintext, loop: any EventLoop, logger: Logger
    ) -> EventLoopFuture<[UInt8]> {
        precondition(question.count <= maximumSizeBytes, "a question is larger than questions may be")
        let promise = loop.makePromise(of: [UInt8].self)
        let certificates: CertificateStore?
        do throws(TLSError) {
            certificates = try security.certificateFiles.map { (files) throws(TLSError) in
                try CertificateStore(
                    files, for: .peers,
                    reloadIntervalMilliseconds: limits.certificateReloadIntervalMilliseconds, logger: logger)
            }
        } catch {
            promise.fail(PeerQuestionError.notSecure(reason: "\(error)"))
            return promise.futureResult
        }
        let milliseconds = limits.connectTimeoutMilliseconds + limits.questionTimeoutMilliseconds
        let timeout = loop.scheduleTask(in: .milliseconds(Int64(milliseconds))) {
            promise.fail(PeerQuestionError.unreachable(reason: "no answer within \(milliseconds) ms"))
        }
        promise.futureResult.whenComplete { _ in timeout.cancel() }
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(.milliseconds(Int64(limits.connectTimeoutMilliseconds)))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try certificates?.secureDialled(channel, host: host)
                    try channel.pipeline.syncOperations.addHandler(
                        QuestionHandler(question, answer: promise))
                }
            }
        bootstrap.connect(host: host, port: port).whenComplete { result in
            switch result {
            case .success(let channel):
                promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
            case .failure(let error):
                let reason = error.isConnectionRefused ? "nothing listens there" : "\(error)"
                promise.fail(PeerQuestionError.unreachable(reason: reason))
            }
        }
        return promise.futureResult
    }
}

/// Writes the question and reads the answer.
private final class QuestionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let question: [UInt8]
    private let answer: EventLoopPromise<[UInt8]>
    private var decoder = FrameDecoder(
        maximumPayloadBytes: PeerQuestion.maximumAnswerSizeBytes + ProtocolVersion.maximumHandshakeBytes)

    init(_ question: [UInt8], answer: EventLoopPromise<[UInt8]>) {
        self.question = question
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        var buffer = ByteBuffer(bytes: FrameDecoder.preamble)
        buffer.writeFrame(kind: .question, payload: QuestionFrame.encode(question))
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data))
        do {
            guard let frame = try decoder.next() else { return }
            answer.completeWith(Result { try read(frame) })
        } catch {
            answer.fail(PeerQuestionError.malformed(reason: "\(error)"))
        }
    }

    private func read(_ frame: Frame) throws(PeerQuestionError) -> [UInt8] {
        let refusal: Refusal
        do throws(ByteDecodingError) {
            if frame.kind == .answer { return try QuestionFrame.decodeAnswer(frame.payload).bytes }
            guard frame.kind == .refusal else {
                throw ByteDecodingError(offset: 0, reason: "a frame of kind \(frame.kind) is no answer")
            }
            refusal = try Refusal(decoding: frame.payload)
        } catch {
            throw .malformed(reason: "\(error)")
        }
        throw refusal.code == Refusal.Code.busy.rawValue ? .busy : .refused(reason: refusal.reason)
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(PeerQuestionError.unreachable(reason: "the connection was closed before an answer came"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.fail(
            error is TLSError
                ? PeerQuestionError.notSecure(reason: "\(error)")
                : PeerQuestionError.unreachable(reason: "\(error)"))
        context.close(promise: nil)
    }
}
