/// Rules for the modules that are pure values: ConsensusTypes, and every target whose name ends in Core.
enum PurityRules {
    /// Words that reach out of a pure module wherever they stand.
    private static let forbiddenWords: [String: String] = {
        let groups: [(reason: String, words: [String])] = [
            (
                "a core is given the time",
                [
                    "Date", "ContinuousClock", "SuspendingClock", "DispatchTime", "NIODeadline",
                    "clock_gettime",
                    "gettimeofday", "mach_absolute_time", "ProcessInfo",
                ]
            ),
            (
                "a core has no unseeded randomness",
                ["SystemRandomNumberGenerator", "arc4random", "getrandom", "UUID", "drand48"]
            ),
            (
                "a core runs in one step, without waiting",
                [
                    "async", "await", "Task", "TaskGroup", "actor", "AsyncStream", "MainActor", "Thread",
                    "DispatchQueue", "DispatchSemaphore", "pthread_create", "Mutex", "NSLock",
                ]
            ),
            (
                "a core has no input or output",
                [
                    "print", "debugPrint", "dump", "Logger", "NSLog", "readLine", "fopen", "fputs",
                    "FileManager",
                    "FileHandle", "FileDescriptor", "CommandLine", "getenv", "socket",
                ]
            ),
            ("a hash differs from process to process", ["hashValue"]),
            ("an address differs from process to process", ["ObjectIdentifier"]),
        ]
        return Dictionary(
            uniqueKeysWithValues: groups.flatMap { group in group.words.map { ($0, group.reason) } })
    }()

    private static let drawingMethods: Set<String> = ["random", "randomElement", "shuffled", "shuffle"]

    static func reaches(_ file: SourceFile) -> [Violation] {
        guard file.isPure else {
            return []
        }
        return file.tokens.indices.compactMap { index in
            let token = file.tokens[index]
            func violation(_ reason: String) -> Violation {
                Violation(path: file.path, line: token.line, reason: "\(token.text): \(reason)")
            }
            let isCall = file.text(index + 1) == "("
            if let reason = forbiddenWords[token.text] {
                // An argument's label or a case of that name reaches nothing.
                let isLabel = file.text(index + 1) == ":" && file.text(index - 1) != "?"
                return isLabel || file.text(index - 1) == "case" ? nil : violation(reason)
            }
            if token.text == "Hasher" && isCall {
                return violation("a hash differs from process to process")
            }
            if drawingMethods.contains(token.text) && isCall && file.text(index - 1) == "." {
                let end = SourceFile.behindMatch(of: index + 1, in: file.tokens)
                let hasGenerator = file.tokens[index + 1..<end].contains { $0.text == "using" }
                return hasGenerator ? nil : violation("a core has no unseeded randomness")
            }
            return nil
        }
    }
}
