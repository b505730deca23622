#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One `holdfast serve` process of a ``DevCluster``.
struct DevNode {
    let name: String
    let clientPort: Int
    let directory: String
    let initialCluster: String
    /// The names of the cluster's witnesses, separated by commas; `nil` where there are none.
    let witnesses: String?
    let logLevel: String

    private(set) var processID: pid_t = 0
    private(set) var isRunning = false
    /// Whether a signal, rather than a mistake, ended the process.
    private(set) var wasKilled = false
    /// When to start the process again, on the monotonic clock.
    var restartAt: UInt64?

    init(
        name: String, clientPort: Int, directory: String, initialCluster: String, witnesses: String?,
        logLevel: String
    ) {
        self.name = name
        self.clientPort = clientPort
        self.directory = directory
        self.initialCluster = initialCluster
        self.witnesses = witnesses
        self.logLevel = logLevel
    }

    var isWitness: Bool { witnesses?.split(separator: ",").contains { $0 == name } ?? false }

    var peerPort: Int { clientPort + 1 }

    private var logPath: String { "\(directory)/\(name).log" }

    private var arguments: [String] {
        [
            "holdfast", "serve", "--name", name, "--data-dir", "\(directory)/\(name)",
            "--listen-client-urls", "http://127.0.0.1:\(clientPort)",
            "--advertise-client-urls", "http://127.0.0.1:\(clientPort)",
            "--listen-peer-urls", "http://127.0.0.1:\(peerPort)",
            "--initial-advertise-peer-urls", "http://127.0.0.1:\(peerPort)",
            "--initial-cluster", initialCluster, "--initial-cluster-token", "holdfast-dev",
            "--log-level", logLevel, "--exit-with-parent",
        ] + (witnesses.map { ["--initial-cluster-witnesses", $0] } ?? [])
    }

    mutating func start() throws {
        restartAt = nil
        var fileActions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&fileActions)
        defer { posix_spawn_file_actions_destroy(&fileActions) }
        posix_spawn_file_actions_addopen(
            &fileActions, STDOUT_FILENO, logPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&fileActions, STDOUT_FILENO, STDERR_FILENO)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own: Ctrl-C is for the one who started the nodes, which then ends them in order.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)

        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        pointers.append(nil)
        defer { pointers.forEach { free($0) } }
        let code = posix_spawn(&processID, executablePath, &fileActions, &attributes, pointers, environ)
        guard code == 0 else {
            throw CommandFailure(message: "cannot start node \(name): \(errorText(code))")
        }
        isRunning = true
    }

    /// How the process ended, told once; `nil` while it runs.
    mutating func exitStatus() -> String? {
        guard isRunning else { return nil }
        var status: Int32 = 0
        guard waitpid(processID, &status, WNOHANG) == processID else { return nil }
        isRunning = false
        let signal = status & 0x7f
        wasKilled = signal != 0
        return wasKilled ? "signal \(signal)" : "exit code \((status >> 8) & 0xff)"
    }

    func send(_ signal: Int32) {
        if isRunning {
            kill(processID, signal)
        }
    }

    /// What the process last said, without the program's name.
    var lastLogLine: String? {
        guard let file = fopen(logPath, "r") else { return nil }
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        fseek(file, max(0, ftell(file) - 4_096), SEEK_SET)
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = fread(&bytes, 1, bytes.count, file)
        let text = String(decoding: bytes[..<count], as: UTF8.self)
        guard let line = text.split(separator: "\n").last(where: { $0.hasPrefix("holdfast: ") }) else {
            return nil
        }
        return String(line.dropFirst("holdfast: ".count))
    }
}

/// The path of the running program.
var executablePath: String {
    #if os(Linux)
        "/proc/self/exe"
    #else
        CommandLine.arguments[0]
    #endif
}

func errorText(_ code: Int32) -> String {
    String(cString: strerror(code))
}

func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
