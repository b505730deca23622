import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A process that the run started, in a process group of its own so that Ctrl-C does not reach it.
final class ChildProcess: Sendable {
    enum Ending: Hashable, Sendable, CustomStringConvertible {
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
    private let known = Mutex<Ending?>(nil)

    /// Output is appended to the file. `input` is a descriptor that becomes standard input.
    init(
        _ executable: String, _ arguments: [String], outputPath: String, input: Int32? = nil
    ) throws(ChaosFailure) {
        var actions = Self.makeFileActions()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        #if canImport(Glibc)
            for descriptor: Int32 in 3..<1_024 {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
        #endif

        var attributes = Self.makeAttributes()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setsigmask(&attributes, &noSignals)

        var pointers = ([executable] + arguments).map { strdup($0) } + [nil]
        defer { pointers.forEach { free($0) } }
        var processID: pid_t = 0
        let code = posix_spawn(&processID, executable, &actions, &attributes, &pointers, environ)
        guard code == 0 else {
            throw ChaosFailure("cannot start \(executable): \(errorText(code))")
        }
        self.processID = processID
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
            if known == nil { _ = kill(processID, signal) }
        }
    }

    /// Sends SIGKILL where the process has not ended by itself in time.
    @discardableResult
    func waitForEnd(milliseconds: Int) async -> Ending {
        if let ending = await poll(forMilliseconds: milliseconds, everyMilliseconds: 2, { ending }) {
            return ending
        }
        send(SIGKILL)
        while true {
            if let ending { return ending }
            await pause(milliseconds: 1)
        }
    }

    /// Runs a program to its end; throws what it said where that is not exit code 0.
    static func run(
        _ executable: String, _ arguments: [String], outputPath: String, milliseconds: Int = 20_000
    ) async throws(ChaosFailure) {
        let process = try ChildProcess(executable, arguments, outputPath: outputPath)
        let ending = await process.waitForEnd(milliseconds: milliseconds)
        guard ending == .code(0) else {
            let said = TextFile.read(outputPath, lastBytes: 500) ?? ""
            throw ChaosFailure(
                "\(executable) \(arguments.joined(separator: " ")) ended with \(ending): \(said)")
        }
    }

    #if canImport(Darwin)
        private static func makeFileActions() -> posix_spawn_file_actions_t? { nil }
        private static func makeAttributes() -> posix_spawnattr_t? { nil }
    #else
        private static func makeFileActions() -> posix_spawn_file_actions_t { .init() }
        private static func makeAttributes() -> posix_spawnattr_t { .init() }
    #endif
}

func errorText(_ code: Int32) -> String {
    String(cString: strerror(code))
}
