/// A point on a node's monotonic clock, in nanoseconds since an arbitrary origin of that node.
///
/// Instants of different nodes cannot be compared. A core never reads a clock: it is given an `Instant`
/// with each event.
@frozen
public struct Instant: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let nanoseconds: UInt64

    @inlinable
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    @inlinable public static var zero: Instant { Instant(nanoseconds: 0) }

    /// Later than every real instant: a deadline that never comes.
    @inlinable public static var distantFuture: Instant { Instant(nanoseconds: .max) }

    @inlinable
    public static func + (instant: Instant, interval: Interval) -> Instant {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(interval.nanoseconds)
        return overflow ? .distantFuture : Instant(nanoseconds: sum)
    }

    /// The earlier instant, clamped at zero.
    @inlinable
    public static func - (instant: Instant, interval: Interval) -> Instant {
        Instant(
            nanoseconds: instant.nanoseconds < interval.nanoseconds
                ? 0 : instant.nanoseconds - interval.nanoseconds)
    }

    /// The time from `right` to `left`; zero where `left` is the earlier one.
    @inlinable
    public static func - (left: Instant, right: Instant) -> Interval {
        Interval(nanoseconds: left.nanoseconds < right.nanoseconds ? 0 : left.nanoseconds - right.nanoseconds)
    }

    @inlinable
    public static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    public var description: String {
        let microseconds = nanoseconds / 1_000
        let fraction = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
    }
}

/// A length of time in nanoseconds, never negative.
@frozen
public struct Interval: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let nanoseconds: UInt64

    @inlinable
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    @inlinable
    public static func microseconds(_ count: Int) -> Interval {
        Interval(nanoseconds: UInt64(count) * 1_000)
    }

    @inlinable
    public static func milliseconds(_ count: Int) -> Interval {
        Interval(nanoseconds: UInt64(count) * 1_000_000)
    }

    @inlinable
    public static func seconds(_ count: Int) -> Interval {
        Interval(nanoseconds: UInt64(count) * 1_000_000_000)
    }

    @inlinable public static var zero: Interval { Interval(nanoseconds: 0) }

    /// Whole milliseconds, rounded down.
    @inlinable public var milliseconds: Int { Int(nanoseconds / 1_000_000) }

    @inlinable
    public static func + (left: Interval, right: Interval) -> Interval {
        Interval(nanoseconds: left.nanoseconds + right.nanoseconds)
    }

    @inlinable
    public static func * (interval: Interval, factor: Int) -> Interval {
        Interval(nanoseconds: interval.nanoseconds * UInt64(factor))
    }

    @inlinable
    public static func / (interval: Interval, divisor: Int) -> Interval {
        Interval(nanoseconds: interval.nanoseconds / UInt64(divisor))
    }

    @inlinable
    public static func < (left: Interval, right: Interval) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    public var description: String {
        "\(nanoseconds / 1_000)us"
    }
}
