import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A process that a test started. It does not outlive this value.
final class ChildProcess: Sendable {
    enum Ending: Hashable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)

        var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    let processID: pid_t
    let outputPath: String
    let errorPath: String
    private let known = Mutex<Ending?>(nil)

    /// Output is appended to the files at the two paths.
    init(
        _ executable: String, _ arguments: [String], outputPath: String, errorPath: String,
        inputPath: String = "/dev/null", environment: [String: String] = [:]
    ) throws {
        self.outputPath = outputPath
        self.errorPath = errorPath
        var actions = Self.makeFileActions()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, inputPath, O_RDONLY, 0)
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, flags, 0o644)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errorPath, flags, 0o644)
        #if canImport(Glibc)
            // Sockets of tests that run at the same time must not live on in the child: a port that such a
            // test has closed would still be listened on.
            for descriptor: Int32 in 3..<1_024 {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
        #endif

        var attributes = Self.makeAttributes()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setsigmask(&attributes, &noSignals)

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        var pointers = ([executable] + arguments).map { strdup($0) } + [nil]
        var values = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer {
            pointers.forEach { free($0) }
            values.forEach { free($0) }
        }
        var processID: pid_t = 0
        let code = posix_spawn(&processID, executable, &actions, &attributes, &pointers, &values)
        guard code == 0 else {
            throw TestFailure("cannot start \(executable): \(String(cString: strerror(code)))")
        }
        self.processID = processID
    }

    deinit {
        guard ending == nil else { return }
        kill(processID, SIGKILL)
        var status: Int32 = 0
        waitpid(processID, &status, 0)
    }

    /// How the process ended; `nil` while it runs.
    var ending: Ending? {
        known.withLock { known in
            if let known { return known }
            var status: Int32 = 0
            guard waitpid(processID, &status, WNOHANG) == processID else { return nil }
            let signal = status & 0x7f
            known = signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
            return known
        }
    }

    /// Does nothing where the process is known to have ended, because its id may be another's by then.
    func send(_ signal: Int32) {
        known.withLock { known in
            if known == nil { kill(processID, signal) }
        }
    }

    func waitForEnd(within limit: Duration = .seconds(30)) async throws -> Ending {
        try await waitFor(
            "process \(processID) has not ended; it said: \(errors)", within: limit, every: .milliseconds(2)
        ) {
            ending
        }
    }

    func killAndWait() {
        send(SIGKILL)
        while ending == nil { usleep(500) }
    }

    var output: String { Self.read(outputPath) }
    var errors: String { Self.read(errorPath) }

    private static func read(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Runs a program to its end.
    static func run(
        _ executable: String, _ arguments: [String], input: String? = nil, in directory: TemporaryDirectory,
        environment: [String: String] = [:], within limit: Duration = .seconds(30)
    ) async throws -> (ending: Ending, output: String, errors: String) {
        let name = directory.path + "/run-" + UUID().uuidString
        if let input { try Data(input.utf8).write(to: URL(fileURLWithPath: name + ".in")) }
        let process = try ChildProcess(
            executable, arguments, outputPath: name + ".out", errorPath: name + ".err",
            inputPath: input == nil ? "/dev/null" : name + ".in", environment: environment)
        let ending = try await process.waitForEnd(within: limit)
        return (ending, process.output, process.errors)
    }

    #if canImport(Darwin)
        private static func makeFileActions() -> posix_spawn_file_actions_t? { nil }
        private static func makeAttributes() -> posix_spawnattr_t? { nil }
    #else
        private static func makeFileActions() -> posix_spawn_file_actions_t { .init() }
        private static func makeAttributes() -> posix_spawnattr_t { .init() }
    #endif
}

/// A directory that goes when the value goes.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/holdfast-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}
