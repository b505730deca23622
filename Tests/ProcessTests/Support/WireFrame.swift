/// One HTTP/2 frame, as bytes that no library has approved of.
struct WireFrame {
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
    static let initialWindowSize: UInt16 = 4

    let kind: UInt8
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var payload: [UInt8] = []

    var bytes: [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), kind, flags]
            + Self.big(stream) + payload
    }

    static func big(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// The whole frames in what was received.
    static func parse(_ bytes: [UInt8]) -> [WireFrame] {
        var frames: [WireFrame] = []
        var offset = 0
        while offset + 9 <= bytes.count {
            let length = bytes[offset..<offset + 3].reduce(0) { $0 << 8 | Int($1) }
            let end = offset + 9 + length
            guard end <= bytes.count else { break }
            frames.append(
                WireFrame(
                    kind: bytes[offset + 3], flags: bytes[offset + 4],
                    stream: bytes[offset + 5..<offset + 9].reduce(0) { $0 << 8 | UInt32($1) },
                    payload: Array(bytes[offset + 9..<end])))
            offset = end
        }
        return frames
    }

    static func settings(_ values: [(UInt16, UInt32)] = []) -> WireFrame {
        WireFrame(
            kind: Kind.settings,
            payload: values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 0xFF)] + big($0.1) })
    }

    /// The head of a gRPC call, each field a literal that is not indexed.
    static func call(_ path: String, stream: UInt32, flags: UInt8 = endHeaders) -> WireFrame {
        let fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        return WireFrame(
            kind: Kind.headers, flags: flags, stream: stream,
            payload: fields.flatMap { field($0.0, $0.1) })
    }

    /// Texts of up to 126 bytes.
    static func field(_ name: String, _ value: String) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }

    /// A gRPC message in one frame.
    static func message(
        _ body: [UInt8], stream: UInt32, announcing size: Int? = nil, endStream: Bool = true
    ) -> WireFrame {
        WireFrame(
            kind: Kind.data, flags: endStream ? Self.endStream : 0, stream: stream,
            payload: [0] + big(UInt32(size ?? body.count)) + body)
    }

    static func reset(_ stream: UInt32) -> WireFrame {
        WireFrame(kind: Kind.reset, stream: stream, payload: [0, 0, 0, 8])
    }
}
