/// One HTTP/2 frame, as bytes that no library has approved of.
public struct WireFrame: Sendable {
    public enum Kind {
        public static let data: UInt8 = 0
        public static let headers: UInt8 = 1
        public static let reset: UInt8 = 3
        public static let settings: UInt8 = 4
        public static let ping: UInt8 = 6
        public static let goAway: UInt8 = 7
        public static let windowUpdate: UInt8 = 8
        public static let continuation: UInt8 = 9
    }

    public static let endStream: UInt8 = 1
    public static let endHeaders: UInt8 = 4
    public static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// The setting.
    public static let initialWindowSize: UInt16 = 4

    public var kind: UInt8
    public var flags: UInt8 = 0
    public var stream: UInt32 = 0
    public var payload: [UInt8] = []

    public init(kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) {
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload
    }

    public var bytes: [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), kind, flags]
            + WireFrame.big(stream) + payload
    }

    public static func big(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
    }

    /// The whole frames in what was received.
    public static func parse(_ bytes: [UInt8]) -> [WireFrame] {
        var frames: [WireFrame] = []
        var offset = 0
        while offset + 9 <= bytes.count {
            let length = Int(bytes[offset]) << 16 | Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2])
            guard offset + 9 + length <= bytes.count else { break }
            let stream = bytes[offset + 5..<offset + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            frames.append(
                WireFrame(
                    kind: bytes[offset + 3], flags: bytes[offset + 4], stream: stream,
                    payload: Array(bytes[offset + 9..<offset + 9 + length])))
            offset += 9 + length
        }
        return frames
    }

    /// The error code of a GOAWAY or RST_STREAM frame.
    public var errorCode: UInt8? {
        switch kind {
        case Kind.goAway: payload.count >= 8 ? payload[7] : nil
        case Kind.reset: payload.last
        default: nil
        }
    }

    public static func settings(_ values: [(UInt16, UInt32)] = []) -> WireFrame {
        WireFrame(
            kind: Kind.settings,
            payload: values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 0xFF)] + big($0.1) })
    }

    /// The headers of a gRPC call, each as a literal that is not indexed.
    public static func call(
        _ path: String, stream: UInt32, method: String = "POST", contentType: String = "application/grpc",
        extra: [(String, String)] = [], flags: UInt8 = endHeaders
    ) -> WireFrame {
        let fields =
            [
                (":method", method), (":scheme", "http"), (":path", path), (":authority", "test"),
                ("content-type", contentType), ("te", "trailers"),
            ] + extra
        return WireFrame(
            kind: Kind.headers, flags: flags, stream: stream,
            payload: fields.flatMap { literal($0.0, $0.1) })
    }

    /// A header field that is not indexed.
    public static func literal(_ name: String, _ value: String) -> [UInt8] {
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

    /// A gRPC message in one frame. It may announce another size than it has.
    public static func message(
        _ body: [UInt8], stream: UInt32, flag: UInt8 = 0, announcing size: Int? = nil, endStream: Bool = true
    ) -> WireFrame {
        WireFrame(
            kind: Kind.data, flags: endStream ? WireFrame.endStream : 0, stream: stream,
            payload: [flag] + big(UInt32(size ?? body.count)) + body)
    }

    public static func windowUpdate(_ increment: UInt32, stream: UInt32 = 0) -> WireFrame {
        WireFrame(kind: Kind.windowUpdate, stream: stream, payload: big(increment))
    }

    public static func reset(_ stream: UInt32) -> WireFrame {
        WireFrame(kind: Kind.reset, stream: stream, payload: [0, 0, 0, 8])
    }

    public static func ping() -> WireFrame {
        WireFrame(kind: Kind.ping, payload: [UInt8](repeating: 0, count: 8))
    }
}
