import NIOHPACK

/// The header blocks of responses, made once: HPACK then sends each field as one byte.
enum ResponseHeaders {
    static let initial: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]
    static let okTrailers: HPACKHeaders = ["grpc-status": "0"]

    /// A message may quote what a client sent; the headers must stay small all the same.
    private static let maximumMessageSizeBytes = 1_024

    private static func add(_ message: String, to headers: inout HPACKHeaders) {
        guard !message.isEmpty else { return }
        let bytes = message.utf8.prefix(maximumMessageSizeBytes)
        headers.add(
            name: "grpc-message", value: PercentEncoding.encode(String(decoding: bytes, as: UTF8.self)))
    }

    /// The end of a call whose headers were sent.
    static func trailers(_ status: GRPCStatus) -> HPACKHeaders {
        var headers: HPACKHeaders = ["grpc-status": String(status.code.rawValue)]
        add(status.message, to: &headers)
        return headers
    }

    /// The whole answer to a call that failed before it had one.
    static func trailersOnly(_ status: GRPCStatus, httpStatus: Int = 200) -> HPACKHeaders {
        var headers: HPACKHeaders = [
            ":status": String(httpStatus), "content-type": "application/grpc",
            "grpc-status": String(status.code.rawValue),
        ]
        add(status.message, to: &headers)
        return headers
    }
}
