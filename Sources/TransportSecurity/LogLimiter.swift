import Logging
import NIOCore

/// Keeps strangers from filling the log: after `burst` lines within a window the rest is only counted, and
/// the count is said with the next line.
public struct LogLimiter {
    public let burst: Int
    public let windowSeconds: Int64
    private var windowStart: NIODeadline?
    private var lines = 0
    private var suppressed = 0

    public init(burst: Int = 10, windowSeconds: Int64 = 10) {
        self.burst = burst
        self.windowSeconds = windowSeconds
    }

    /// How many lines were left out since the last one, or `nil`: leave this one out too.
    public mutating func admit(now: NIODeadline) -> Int? {
        if windowStart.map({ now - $0 >= .seconds(windowSeconds) }) ?? true {
            windowStart = now
            lines = 0
        }
        guard lines < burst else {
            suppressed += 1
            return nil
        }
        lines += 1
        defer { suppressed = 0 }
        return suppressed
    }

    public mutating func warning(_ message: @autoclosure () -> String, to logger: Logger, now: NIODeadline) {
        guard let suppressed = admit(now: now) else {
            return
        }
        let text = message()
        logger.warning(
            suppressed == 0
                ? "\(text)" : "\(text) (\(suppressed) similar lines were left out before this one)")
    }
}
