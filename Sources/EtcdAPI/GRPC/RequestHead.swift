import NIOHPACK

/// The headers of a request as far as gRPC asks for them.
struct RequestHead {
    var path = ""
    var httpMethod = ""
    var contentType = ""
    var timeout: String?
    var encoding: String?
    var requiresLeader = false

    init(_ headers: HPACKHeaders) {
        for (name, value, _) in headers {
            switch name {
            case ":path": path = value
            case ":method": httpMethod = value
            case "content-type": contentType = value
            case "grpc-timeout": timeout = value
            case "grpc-encoding": encoding = value
            case "hasleader": requiresLeader = value == "true"
            default: break
            }
        }
    }

    struct Rejection {
        let httpStatus: Int
        let status: GRPCStatus
        /// Name our encodings, so that the client can choose one.
        var namesEncodings = false
    }

    /// Why the request is no gRPC call that can be served, if so.
    var rejection: Rejection? {
        guard httpMethod == "POST" else {
            return Rejection(
                httpStatus: 405,
                status: GRPCStatus(
                    .internal, "Received a HEADERS frame with :method \"\(httpMethod)\" which should be POST")
            )
        }
        guard RequestHead.isGRPC(contentType) else {
            return Rejection(
                httpStatus: 415,
                status: GRPCStatus(
                    .invalidArgument, "invalid gRPC request content-type \"\(contentType)\""))
        }
        if let encoding, encoding != "identity" {
            return Rejection(
                httpStatus: 200,
                status: GRPCStatus(
                    .unimplemented,
                    "grpc: Decompressor is not installed for grpc-encoding \"\(encoding)\""),
                namesEncodings: true)
        }
        if let timeout, GRPCTimeout.parse(timeout) == nil {
            return Rejection(
                httpStatus: 400,
                status: GRPCStatus(.internal, "malformed grpc-timeout: \"\(timeout)\""))
        }
        return nil
    }

    /// `application/grpc`, alone or with a subtype that means protobuf, or parameters.
    static func isGRPC(_ contentType: String) -> Bool {
        if contentType == "application/grpc" { return true }
        let base = "application/grpc"
        guard contentType.lowercased().hasPrefix(base) else { return false }
        let rest = contentType.dropFirst(base.count)
        if rest.first == ";" { return true }
        guard rest.first == "+" else { return false }
        let subtype = rest.dropFirst().prefix { $0 != ";" }
        return subtype == "proto"
    }
}
