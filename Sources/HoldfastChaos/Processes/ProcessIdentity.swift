#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A process that no later one with the same number is taken for.
public struct ProcessIdentity: Hashable, Sendable {
    public let processID: Int32
    /// When it began, in the kernel's ticks; 0 where the system does not say.
    let startTicks: UInt64

    /// `nil` where there is no such process.
    public init?(_ processID: Int32) {
        guard processID > 1, kill(processID, 0) == 0 || errno == EPERM else { return nil }
        self.processID = processID
        startTicks = Self.startTicks(of: processID)
    }

    init(processID: Int32, startTicks: UInt64) {
        self.processID = processID
        self.startTicks = startTicks
    }

    public var isAlive: Bool {
        kill(processID, 0) == 0 && Self.startTicks(of: processID) == startTicks
    }

    /// Does nothing where the process has ended.
    public func send(_ signal: Int32) {
        if isAlive { _ = kill(processID, signal) }
    }

    /// Field 22 of /proc/PID/stat; the second one, in parentheses, may contain anything.
    private static func startTicks(of processID: Int32) -> UInt64 {
        guard let text = TextFile.read("/proc/\(processID)/stat"), let end = text.lastIndex(of: ")") else {
            return 0
        }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) ?? 0 : 0
    }
}
