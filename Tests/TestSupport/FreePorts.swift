import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Ports that nothing listens on. Below those that the system gives to outgoing connections and to who asks for
/// any port, so that a node finds its port free when it is started again, and nobody else listens there when it
/// has stopped, however many tests run at the same time.
public enum FreePorts {
    public struct NoneLeft: Error {}

    private static let last = Mutex(13_000 + Int(getpid()) * 37 % 16_000)

    /// A port that this process has not given out for a long time.
    public static func take() throws -> Int {
        try last.withLock { last in
            for _ in 0..<16_000 {
                last = last >= 28_999 ? 13_000 : last + 1
                if isFree(last) { return last }
            }
            throw NoneLeft()
        }
    }

    /// The first of so many ports in a row; none of them was given out for a long time.
    public static func take(consecutive count: Int) throws -> Int {
        try last.withLock { last in
            for _ in 0..<16_000 {
                let base = last + 1 + count > 28_999 ? 13_000 : last + 1
                if (base..<base + count).allSatisfy(isFree) {
                    last = base + count - 1
                    return base
                }
                last = base
            }
            throw NoneLeft()
        }
    }

    /// A base port for `holdfast dev` with three nodes.
    public static func takeBase() throws -> Int {
        for base in stride(from: 10_000 + Int(getpid()) % 1_300 * 2, to: 12_700, by: 2)
        where [0, 1, 20_000, 20_001, 30_000, 30_001].allSatisfy({ isFree(base + $0) }) {
            return base
        }
        throw NoneLeft()
    }

    public static func isFree(_ port: Int) -> Bool {
        #if canImport(Glibc)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
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
