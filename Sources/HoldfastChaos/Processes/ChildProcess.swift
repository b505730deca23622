import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A process that this one started. With a group of its own Ctrl-C does not reach it.
package final class ChildProcess: Sendable {
    package enum Ending: Hashable, Sendable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    package let processID: pid_t
    package let outputPath: String
    package let errorPath: String
    private let diesWithValue: Bool
    private let known = Mutex<Ending?>(nil)

    /// - Parameters:
    ///   - outputPath: what the process says is appended to this file.
    ///   - errorPath: the same for its errors; the same file where it is `nil`.
    ///   - inputPath: what it reads, unless `input` is a descriptor that becomes its standard input.
    ///   - environment: variables besides this process's, or instead of them.
    ///   - diesWithValue: whether the process is killed when this value goes.
    package init(
        _ executable: String, _ arguments: [String], outputPath: String, errorPath: String? = nil,
        inputPath: String = "/dev/null", input: Int32? = nil, environment: [String: String] = [:],
        hasOwnGroup: Bool = true, diesWithValue: Bool = false
    ) throws(ChaosFailure) {
        self.outputPath = outputPath
        self.errorPath = errorPath ?? outputPath
        self.diesWithValue = diesWithValue
        var actions = Self.makeFileActions()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, inputPath, O_RDONLY, 0)
        }
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, outputPath, flags, 0o644)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, self.errorPath, flags, 0o644)
        #if canImport(Glibc)
            // Sockets that this process has open must not live on in the child: a port that was closed would
            // still be listened on.
            for descriptor: Int32 in 3..<1_024 {
                posix_spawn_file_actions_addclose(&actions, descriptor)
            }
        #endif

        var attributes = Self.makeAttributes()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        let group = hasOwnGroup ? POSIX_SPAWN_SETPGROUP : 0
        posix_spawnattr_setflags(&attributes, Int16(group | POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setsigmask(&attributes, &noSignals)

        var pointers = ([executable] + arguments).map { strdup($0) } + [nil]
        var values = Self.variables(environment).map { strdup($0) } + [nil]
        defer {
            pointers.forEach { free($0) }
            values.forEach { free($0) }
        }
        var processID: pid_t = 0
        let code = posix_spawn(&processID, executable, &actions, &attributes, &pointers, &values)
        guard code == 0 else {
            throw ChaosFailure("cannot start \(executable): \(errorText(code))")
        }
        self.processID = processID
    }

    deinit {
        guard diesWithValue, ending == nil else { return }
        kill(processID, SIGKILL)
        var status: Int32 = 0
        waitpid(processID, &status, 0)
    }

    /// This process's variables with others added, or in the place of those of the same name.
    private static func variables(_ added: [String: String]) -> [String] {
        var result = added.map { "\($0.key)=\($0.value)" }.sorted()
        var next = environ
        while let variable = next.pointee {
            let text = String(cString: variable)
            if added[String(text.prefix { $0 != "=" })] == nil { result.append(text) }
            next += 1
        }
        return result
    }

    /// How the process ended; `nil` while it runs.
    package var ending: Ending? {
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
    package func send(_ signal: Int32) {
        known.withLock { known in
            if known == nil { _ = kill(processID, signal) }
        }
    }

    /// Sends SIGKILL where the process has not ended by itself in time.
    @discardableResult
    package func waitForEnd(milliseconds: Int) async -> Ending {
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
