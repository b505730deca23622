import NIOHPACK

/// The header blocks of responses, made once: HPACK then sends each field as one byte.
enum ResponseHeaders {
    static let initial: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]
    static let okTrailers: HPACKHeaders = ["grpc-status": "0"]

    /// The end of a call whose headers were sent.
    static func trailers(_ status: GRPCStatus) -> HPACKHeaders {
        var headers: HPACKHeaders = ["grpc-status": String(status.code.rawValue)]
        if !status.message.isEmpty {
            headers.add(name: "grpc-message", value: PercentEncoding.encode(status.message))
        }
        return headers
    }

    /// The whole answer to a call that failed before it had one.
    static func trailersOnly(_ status: GRPCStatus, httpStatus: Int = 200) -> HPACKHeaders {
        var headers: HPACKHeaders = [
            ":status": String(httpStatus), "content-type": "application/grpc",
            "grpc-status": String(status.code.rawValue),
        ]
        if !status.message.isEmpty {
            headers.add(name: "grpc-message", value: PercentEncoding.encode(status.message))
        }
        return headers
    }
}
