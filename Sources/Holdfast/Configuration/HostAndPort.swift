/// An address as people write it: `host:port`, `1.2.3.4:port` or `[::1]:port`.
struct HostAndPort: Hashable, Sendable, CustomStringConvertible {
    /// Without brackets.
    let host: String
    let port: Int

    /// `nil` where the text is something else, or the port is not from 1 to 65535.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        if host.first == "[", host.last == "]" {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        let digits = text[text.index(after: colon)...]
        guard !host.isEmpty, !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }),
            let port = Int(digits), (1...65_535).contains(port)
        else { return nil }
        self.host = String(host)
        self.port = port
    }

    /// Whether only processes of this machine can reach it.
    var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    var description: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
