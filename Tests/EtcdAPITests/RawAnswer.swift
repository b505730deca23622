import NIOCore
import NIOHPACK
import TestSupport

/// What a server said on one stream, its headers decoded.
struct RawAnswer {
    var headers: [String: String] = [:]
    var data: [UInt8] = []

    init(_ frames: [WireFrame], stream: UInt32 = 1) throws {
        var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
        for frame in frames {
            if frame.kind == WireFrame.Kind.headers {
                var block = ByteBuffer(bytes: frame.payload)
                let fields = try decoder.decodeHeaders(from: &block)
                guard frame.stream == stream else { continue }
                for (name, value, _) in fields { headers[name] = value }
            } else if frame.kind == WireFrame.Kind.data, frame.stream == stream {
                data += frame.payload
            }
        }
    }

    var http: String? { headers[":status"] }
    var code: Int? { headers["grpc-status"].flatMap { Int($0) } }
    var message: String { headers["grpc-message"] ?? "" }
}
