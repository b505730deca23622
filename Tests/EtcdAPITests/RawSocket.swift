import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// Bytes to and from the server without any protocol, to say what no client would.
final class RawSocket: Sendable {
    private let channel: any Channel
    private let state: Inbox

    final class Inbox: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        struct State {
            var bytes: [UInt8] = []
            var isClosed = false
            /// By ALPN, where TLS is spoken.
            var negotiatedProtocol: String?
        }
        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            state.withLock { $0.bytes.append(contentsOf: bytes.readableBytesView) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
                state.withLock { $0.negotiatedProtocol = negotiated }
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            state.withLock { $0.isClosed = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    private init(channel: any Channel, state: Inbox) {
        self.channel = channel
        self.state = state
    }

    static func connect(port: Int, securedBy context: NIOSSLContext? = nil) async throws -> RawSocket {
        let inbox = Inbox()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let operations = channel.pipeline.syncOperations
                    if let context {
                        try operations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                    }
                    try operations.addHandler(inbox)
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return RawSocket(channel: channel, state: inbox)
    }

    /// A peer that has closed already makes this fail, which is no matter.
    func send(_ bytes: [UInt8]) async {
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    func send(_ frames: Frame...) async {
        await send(frames.flatMap(\.bytes))
    }

    func close() async {
        try? await channel.close()
    }

    var received: [UInt8] { state.state.withLock { $0.bytes } }

    var negotiatedProtocol: String? { state.state.withLock { $0.negotiatedProtocol } }

    var isClosed: Bool { state.state.withLock { $0.isClosed } }

    var frames: [Frame] { Frame.parse(received) }

    /// Waits until the server has said enough; false where it never does.
    func until(_ condition: (RawSocket) -> Bool) async -> Bool {
        for _ in 0..<2_000 {
            if condition(self) { return true }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return condition(self)
    }

    func untilClosed() async -> Bool {
        await until { $0.isClosed }
    }
}

/// One HTTP/2 frame, as bytes.
struct Frame {
    enum Kind {
        static let data: UInt8 = 0
        static let headers: UInt8 = 1
        static let reset: UInt8 = 3
        static let settings: UInt8 = 4
        static let ping: UInt8 = 6
        static let goAway: UInt8 = 7
        static let windowUpdate: UInt8 = 8
        static let continuation: UInt8 = 9
    }

    static let endStream: UInt8 = 1
    static let endHeaders: UInt8 = 4
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    var kind: UInt8
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var payload: [UInt8] = []

    var bytes: [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), kind, flags]
            + Frame.big(stream) + payload
    }

    static func big(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
    }

    static func parse(_ bytes: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var offset = 0
        while offset + 9 <= bytes.count {
            let length = Int(bytes[offset]) << 16 | Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2])
            guard offset + 9 + length <= bytes.count else { break }
            let stream = bytes[offset + 5..<offset + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            frames.append(
                Frame(
                    kind: bytes[offset + 3], flags: bytes[offset + 4], stream: stream,
                    payload: Array(bytes[offset + 9..<offset + 9 + length])))
            offset += 9 + length
        }
        return frames
    }

    /// The error code of a GOAWAY or RST_STREAM frame.
    var errorCode: UInt8? {
        switch kind {
        case Kind.goAway: payload.count >= 8 ? payload[7] : nil
        case Kind.reset: payload.last
        default: nil
        }
    }

    static func settings(_ values: [(UInt16, UInt32)] = []) -> Frame {
        Frame(
            kind: Kind.settings,
            payload: values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 0xFF)] + big($0.1) })
    }

    /// The headers of a gRPC call, each as a literal that is not indexed.
    static func call(
        _ path: String, stream: UInt32, method: String = "POST", contentType: String = "application/grpc",
        extra: [(String, String)] = [], flags: UInt8 = endHeaders
    ) -> Frame {
        let fields =
            [
                (":method", method), (":scheme", "http"), (":path", path), (":authority", "test"),
                ("content-type", contentType), ("te", "trailers"),
            ] + extra
        return Frame(
            kind: Kind.headers, flags: flags, stream: stream,
            payload: fields.flatMap { literal($0.0, $0.1) })
    }

    static func literal(_ name: String, _ value: String) -> [UInt8] {
        [0] + string(name) + string(value)
    }

    private static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        if bytes.count < 127 { return [UInt8(bytes.count)] + bytes }
        var length: [UInt8] = [127]
        var rest = bytes.count - 127
        while rest >= 128 {
            length.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return length + [UInt8(rest)] + bytes
    }

    static func message(_ body: [UInt8], stream: UInt32, flag: UInt8 = 0, endStream: Bool = true) -> Frame {
        Frame(
            kind: Kind.data, flags: endStream ? Frame.endStream : 0, stream: stream,
            payload: [flag] + big(UInt32(body.count)) + body)
    }

    static func windowUpdate(_ increment: UInt32, stream: UInt32 = 0) -> Frame {
        Frame(kind: Kind.windowUpdate, stream: stream, payload: big(increment))
    }

    static func reset(_ stream: UInt32) -> Frame {
        Frame(kind: Kind.reset, stream: stream, payload: [0, 0, 0, 8])
    }

    static func ping() -> Frame {
        Frame(kind: Kind.ping, payload: [UInt8](repeating: 0, count: 8))
    }
}
