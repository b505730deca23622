import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where a node's certificate, its key and the authorities that it trusts are, all in PEM.
public struct CertificateFiles: Hashable, Sendable {
    /// The certificate first, then what links it to an authority.
    public var certificateFile: String
    /// Not encrypted.
    public var keyFile: String
    /// The authorities whose certificates the other side may use; `nil`: it is not asked for one.
    public var trustFile: String?

    public init(certificateFile: String, keyFile: String, trustFile: String?) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.trustFile = trustFile
    }

    /// Throws what is wrong with the files at this moment.
    public func requireUsable() throws(TLSError) {
        _ = try LoadedCertificates(self, contents: readContents(), use: .peers)
    }

    /// What the files hold.
    struct Contents: Hashable {
        let certificate: [UInt8]
        let key: [UInt8]
        let trust: [UInt8]?
    }

    func readContents() throws(TLSError) -> Contents {
        var trust: [UInt8]?
        if let trustFile { trust = try Self.bytes(of: trustFile) }
        return Contents(
            certificate: try Self.bytes(of: certificateFile), key: try Self.bytes(of: keyFile), trust: trust)
    }

    /// More than any chain or bundle of authorities in use.
    private static let maximumFileSizeBytes = 4 << 20

    private static func bytes(of path: String) throws(TLSError) -> [UInt8] {
        // Not to wait for a writer where the path is a pipe's.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .unreadableFile(path, reason: errorText(errno)) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .unreadableFile(path, reason: errorText(errno)) }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
            guard bytes.count <= maximumFileSizeBytes else {
                throw .malformedFile(
                    path, reason: "is larger than \(maximumFileSizeBytes) bytes; give a file in PEM")
            }
        }
    }

    private static func errorText(_ code: Int32) -> String {
        String(cString: strerror(code))
    }
}

/// Seconds since 1970 as people read them.
enum CertificateTime {
    static var now: Int { time(nil) }

    static func text(_ secondsSince1970: Int) -> String {
        var seconds = time_t(secondsSince1970)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1_900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
    }
}
