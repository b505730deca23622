import EtcdAPI
import EtcdClient

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where a node serves clients.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port`, with or without `http://`; `nil` where it is neither.
    public init?(_ text: String) {
        let rest = text.hasPrefix("http://") ? text.dropFirst("http://".count) : text[...]
        guard let colon = rest.lastIndex(of: ":"), colon != rest.startIndex,
            let port = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(port)
        else { return nil }
        var host = rest[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    func connect(timeoutMilliseconds: Int = 500) async throws(GRPCStatus) -> EtcdClient {
        try await EtcdClient.connect(host: host, port: port, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// One question on a connection of its own; `nil` where there is no answer.
    func ask<Answer: Sendable>(_ question: (EtcdClient) async throws(GRPCStatus) -> Answer) async -> Answer? {
        guard let client = try? await connect() else { return nil }
        let answer = try? await question(client)
        await client.close()
        return answer
    }

    func status() async -> Etcdserverpb_StatusResponse? {
        await ask { client throws(GRPCStatus) in try await client.status(timeoutMilliseconds: 500) }
    }

    /// Whether the node answers a linearizable read.
    func isHealthy() async -> Bool {
        let answer = await ask { client throws(GRPCStatus) in
            try await client.range(Request.get("health"), timeoutMilliseconds: 1_000)
        }
        return answer != nil
    }
}

extension [Endpoint] {
    /// The position of the node that leads in the highest term that any node knows.
    func leader() async -> Int? {
        let answers = await withTaskGroup(of: (Int, Etcdserverpb_StatusResponse?).self) { group in
            for (index, endpoint) in enumerated() {
                group.addTask { (index, await endpoint.status()) }
            }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        let highest = answers.values.map(\.raftTerm).max()
        return answers.first {
            $0.value.raftTerm == highest && $0.value.leader == $0.value.header.memberID
        }?.key
    }
}

/// Ports of the loopback interface.
enum Loopback {
    static func isFree(_ port: Int) -> Bool {
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
