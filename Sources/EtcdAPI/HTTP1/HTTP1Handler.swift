import NIOCore
import NIOHTTP1

/// Answers `/health`, `/version` and `/metrics`, for people, probes and Prometheus.
final class HTTP1Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// No request here has a body; more than this ends the connection.
    private static let maximumBodySizeBytes = 64 * 1_024
    private static let idleTimeout = TimeAmount.seconds(60)

    private let core: ServerCore
    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var bodySizeBytes = 0
    private var timer: Scheduled<Void>?

    init(core: ServerCore) {
        self.core = core
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        watch(.milliseconds(Int64(core.limits.handshakeTimeoutMilliseconds)))
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        self.context = nil
        core.remove(context.channel)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            bodySizeBytes = 0
        case .body(let bytes):
            bodySizeBytes += bytes.readableBytes
            if bodySizeBytes > HTTP1Handler.maximumBodySizeBytes {
                context.close(promise: nil)
            }
        case .end:
            guard let head else { return }
            self.head = nil
            timer?.cancel()
            answer(head)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// Closes a connection that takes this long for its next request.
    private func watch(_ time: TimeAmount) {
        guard let context else { return }
        let channel = context.channel
        timer?.cancel()
        timer = context.eventLoop.scheduleTask(in: time) {
            channel.close(promise: nil)
        }
    }

    private func answer(_ head: HTTPRequestHead) {
        let path = head.uri.prefix { $0 != "?" }
        guard head.method == .GET || head.method == .HEAD else {
            respond(head, .methodNotAllowed, "text/plain; charset=utf-8", "Method Not Allowed\n")
            return
        }
        switch path {
        case "/health":
            answerHealth(head)
        case "/version":
            respond(
                head, .ok, "application/json",
                "{\"etcdserver\":\"\(EtcdVersion.server)\",\"etcdcluster\":\"\(EtcdVersion.cluster)\"}")
        case "/metrics":
            respond(head, .ok, "text/plain; version=0.0.4; charset=utf-8", Metrics.text(core))
        default:
            respond(head, .notFound, "text/plain; charset=utf-8", "404 page not found\n")
        }
    }

    /// Healthy is a member that can show that it is part of a working cluster, and has room.
    private func answerHealth(_ head: HTTPRequestHead) {
        if core.service.status.isSpaceExhausted {
            respond(
                head, .serviceUnavailable, "application/json",
                "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}")
            return
        }
        guard core.service.membersWithData == nil else { return answerHealthOfWitness(head) }
        core.service.linearizableRead { [self] error in
            if let error {
                respond(
                    head, .serviceUnavailable, "application/json",
                    "{\"health\":\"false\",\"reason\":\"\(EtcdStatus.of(error).message)\"}")
            } else {
                respond(head, .ok, "application/json", "{\"health\":\"true\"}")
            }
        }
    }

    /// A witness answers no reads; it is healthy where it follows a leader.
    private func answerHealthOfWitness(_ head: HTTPRequestHead) {
        guard core.service.status.leader == nil else {
            return respond(head, .ok, "application/json", "{\"health\":\"true\"}")
        }
        respond(
            head, .serviceUnavailable, "application/json",
            "{\"health\":\"false\",\"reason\":\"\(EtcdStatus.noLeader.message)\"}")
    }

    private func respond(
        _ head: HTTPRequestHead, _ status: HTTPResponseStatus, _ contentType: String, _ body: String
    ) {
        // The client may have gone while its answer was made.
        guard let context else { return }
        var headers = HTTPHeaders()
        headers.add(name: "content-type", value: contentType)
        headers.add(name: "content-length", value: String(body.utf8.count))
        if !head.isKeepAlive {
            headers.add(name: "connection", value: "close")
        }
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: status, headers: headers))),
            promise: nil)
        if head.method != .HEAD {
            context.write(
                wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: body)))),
                promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        if head.isKeepAlive {
            watch(HTTP1Handler.idleTimeout)
        } else {
            context.close(promise: nil)
        }
    }
}
