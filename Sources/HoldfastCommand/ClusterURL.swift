/// One `http://host:port`, as etcd's flags take it.
struct ClusterURL: Hashable {
    let host: String
    let port: Int

    /// Throws ``CommandFailure`` (exit code 64) that names the flag.
    init(_ text: String, flag: String) throws {
        func failure(_ reason: String) -> CommandFailure {
            CommandFailure(
                message: "\(flag): '\(text)' \(reason); write it as http://127.0.0.1:2379", exitCode: 64)
        }
        if text.hasPrefix("https://") {
            throw CommandFailure(
                message: "\(flag): '\(text)' asks for TLS, which this version does not offer; use http://",
                exitCode: 64)
        }
        guard text.hasPrefix("http://") else { throw failure("is not an http:// address") }
        var rest = text.dropFirst("http://".count)
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
        host.contains(":") ? "http://[\(host)]:\(port)" : "http://\(host):\(port)"
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
