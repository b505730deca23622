/// One `http://host:port` or `https://host:port`, as etcd's flags take it.
struct ClusterURL: Hashable {
    /// Whether TLS is spoken there.
    let isSecure: Bool
    let host: String
    let port: Int

    /// Throws ``CommandFailure`` (exit code 64) that names the flag.
    init(_ text: String, flag: String) throws {
        func failure(_ reason: String) -> CommandFailure {
            CommandFailure(
                message:
                    "\(flag): '\(text)' \(reason); write it as http://127.0.0.1:2379 or https://127.0.0.1:2379",
                exitCode: 64)
        }
        isSecure = text.hasPrefix("https://")
        guard isSecure || text.hasPrefix("http://") else {
            throw failure("is not an http:// or https:// address")
        }
        var rest = text.dropFirst(isSecure ? "https://".count : "http://".count)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard let colon = rest.lastIndex(of: ":") else { throw failure("has no port") }
        guard let port = Int(rest[rest.index(after: colon)...]), (0...65_535).contains(port) else {
            throw failure("has a port that is not a number from 0 to 65535")
        }
        var host = rest[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("/") else { throw failure("has no host") }
        self.host = String(host)
        self.port = port
    }

    var text: String {
        (isSecure ? "https://" : "http://") + (host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")
    }

    /// Nobody else's machine can reach it.
    var isLoopback: Bool {
        host == "localhost" || host == "::1"
            || host.hasPrefix("127.") && host.allSatisfy { $0 == "." || $0.isNumber }
    }

    /// A comma-separated list of at least one address.
    static func list(_ text: String, flag: String) throws -> [ClusterURL] {
        let urls = try text.split(separator: ",").map { try ClusterURL(String($0), flag: flag) }
        guard !urls.isEmpty else {
            throw CommandFailure(
                message: "\(flag) names no address; write one, such as http://127.0.0.1:2379", exitCode: 64)
        }
        return urls
    }
}
