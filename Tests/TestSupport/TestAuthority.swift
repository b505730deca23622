#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// An authority of a test's own, made with the `openssl` program, and the certificates that it signs. Its files go
/// when it goes.
public final class TestAuthority: Sendable {
    /// What openssl could not do.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// A certificate and its key.
    public struct Identity: Hashable, Sendable {
        public let certificateFile: String
        public let keyFile: String

        public init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    public let directory: String
    /// The authority's own certificate.
    public var trustFile: String { directory + "/authority.pem" }
    private var authorityKey: String { directory + "/authority.key" }

    public init(named name: String = "Test Authority") throws {
        var template = Array("/tmp/holdfast-certificates-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(description: "no temporary directory: \(String(cString: strerror(errno)))")
        }
        directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        let settings = directory + "/authority.cnf"
        try Self.write(
            """
            [req]
            distinguished_name = name
            prompt = no
            x509_extensions = authority
            [name]
            CN = \(name)
            [authority]
            basicConstraints = critical, CA:TRUE
            keyUsage = critical, keyCertSign, cRLSign
            subjectKeyIdentifier = hash

            """, to: settings)
        try Self.openssl([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "3650",
            "-keyout", authorityKey, "-out", directory + "/authority.pem", "-config", settings,
        ])
    }

    deinit {
        guard let stream = opendir(directory) else { return }
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink(directory + "/" + name)
        }
        closedir(stream)
        rmdir(directory)
    }

    /// Signs a certificate for a new key.
    ///
    /// - Parameters:
    ///   - name: of the files, each of which a certificate of the same name replaces.
    ///   - alternativeNames: `DNS:name` and `IP:address`.
    ///   - days: how long it is valid; not at all where negative.
    @discardableResult
    public func issue(
        _ name: String, for alternativeNames: [String] = ["IP:127.0.0.1", "DNS:localhost"], days: Int = 30
    ) throws -> Identity {
        let base = directory + "/" + name
        let identity = Identity(certificateFile: base + ".pem", keyFile: base + ".key")
        try Self.write(
            """
            [req]
            distinguished_name = name
            prompt = no
            [name]
            CN = \(name)
            [leaf]
            basicConstraints = critical, CA:FALSE
            subjectAltName = \(alternativeNames.joined(separator: ", "))
            extendedKeyUsage = serverAuth, clientAuth

            """, to: base + ".cnf")
        try Self.openssl([
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", identity.keyFile, "-out", base + ".csr", "-config", base + ".cnf",
        ])
        try Self.openssl([
            "x509", "-req", "-in", base + ".csr", "-CA", trustFile, "-CAkey", authorityKey,
            "-set_serial", "\(UInt32.random(in: 1...UInt32.max))", "-days", "\(days)",
            "-extfile", base + ".cnf", "-extensions", "leaf", "-out", identity.certificateFile,
        ])
        return identity
    }

    /// Puts the contents of one file into another, as who renews a certificate does.
    public static func copy(_ source: String, to target: String) throws {
        guard let input = fopen(source, "r") else {
            throw Failure(description: "cannot read \(source)")
        }
        defer { fclose(input) }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = fread(&buffer, 1, buffer.count, input)
        try write(String(decoding: buffer[..<count], as: UTF8.self), to: target)
    }

    public static func write(_ text: String, to path: String) throws {
        guard let output = fopen(path, "w") else {
            throw Failure(description: "cannot write \(path): \(String(cString: strerror(errno)))")
        }
        fputs(text, output)
        guard fclose(output) == 0 else { throw Failure(description: "cannot write \(path)") }
    }

    private static func openssl(_ arguments: [String]) throws {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
        #else
            var actions = posix_spawn_file_actions_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        #if canImport(Glibc)
            // Sockets of tests that run at the same time are not to live on in the child.
            for descriptor: Int32 in 3..<1_024 {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
        #endif
        var pointers = (["openssl"] + arguments).map { strdup($0) } + [nil]
        defer { pointers.forEach { free($0) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, "openssl", &actions, nil, &pointers, environ)
        guard code == 0 else {
            throw Failure(
                description:
                    "cannot start openssl: \(String(cString: strerror(code))); apt-get install openssl")
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else {
            throw Failure(description: "openssl \(arguments.joined(separator: " ")) failed with \(status)")
        }
    }
}
