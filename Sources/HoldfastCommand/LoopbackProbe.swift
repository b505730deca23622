#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Asks a node on this machine, with plain blocking sockets, how it is.
enum LoopbackProbe {
    static func isHealthy(port: Int) -> Bool {
        get("/health", port: port)?.contains("\"health\":\"true\"") ?? false
    }

    /// The node's term where it leads, `nil` where it follows or does not answer.
    static func termIfLeader(port: Int) -> Int? {
        guard let text = get("/metrics", port: port) else { return nil }
        var isLeader = false
        var term: Int?
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("etcd_server_is_leader ") { isLeader = line.hasSuffix(" 1") }
            if line.hasPrefix("holdfast_raft_term ") {
                term = Int(line.dropFirst("holdfast_raft_term ".count))
            }
        }
        return isLeader ? term : nil
    }

    private static func get(_ path: String, port: Int) -> String? {
        guard let descriptor = LoopbackPort.connect(port) else { return nil }
        defer { close(descriptor) }
        var timeout = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let request = "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        guard request.withCString({ send(descriptor, $0, strlen($0), 0) }) == request.utf8.count else {
            return nil
        }
        var response: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while response.count < 1 << 20 {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            response += buffer[..<count]
        }
        return String(decoding: response, as: UTF8.self)
    }
}

/// Ports of the loopback interface.
enum LoopbackPort {
    static func isFree(_ port: Int) -> Bool {
        guard let descriptor = makeSocket() else { return false }
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        return withAddress(port) { bind(descriptor, $0, $1) } == 0
    }

    static func connect(_ port: Int) -> Int32? {
        guard let descriptor = makeSocket() else { return nil }
        if withAddress(port, { connectSocket(descriptor, $0, $1) }) == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    private static func makeSocket() -> Int32? {
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        return descriptor < 0 ? nil : descriptor
    }

    private static func withAddress(
        _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

private func connectSocket(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t)
    -> Int32
{
    connect(descriptor, address, length)
}
