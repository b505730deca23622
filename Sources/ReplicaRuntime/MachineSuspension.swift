import ConsensusTypes

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// For how long the machine has been suspended since it started: the clock by which nodes live stands still
/// meanwhile, and a lease that is measured with it would outlast what the other members know of.
public enum MachineSuspension {
    /// Between the two clocks that are compared, another thread may have run for so long at most; otherwise they
    /// are read again.
    private static let mostBetweenReadings: UInt64 = 200_000
    private static let mostReadings = 8

    /// `CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`, or on Darwin `CLOCK_MONOTONIC_RAW` (the time of
    /// `mach_continuous_time`) less `CLOCK_UPTIME_RAW`. Some microseconds uncertain, and never too much: what
    /// passes between the two readings makes it smaller.
    @Sendable
    public static func total() -> Interval {
        var result: UInt64 = 0
        for _ in 0..<mostReadings {
            let before = nanoseconds(running)
            let all = nanoseconds(continuous)
            let after = nanoseconds(running)
            result = max(result, all > after ? all - after : 0)
            if after - before <= mostBetweenReadings { break }
        }
        return Interval(nanoseconds: result)
    }

    #if canImport(Darwin)
        private static var running: clockid_t { CLOCK_UPTIME_RAW }
        private static var continuous: clockid_t { CLOCK_MONOTONIC_RAW }

        private static func nanoseconds(_ clock: clockid_t) -> UInt64 { clock_gettime_nsec_np(clock) }
    #else
        private static var running: clockid_t { CLOCK_MONOTONIC }
        private static var continuous: clockid_t { CLOCK_BOOTTIME }

        private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
            var time = timespec()
            clock_gettime(clock, &time)
            return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        }
    #endif
}

extension Replica {
    /// Longer suspensions than this are seen. A lease is shorter than what others are loyal for by far more.
    private static var unseenSuspension: Interval { .milliseconds(1) }

    /// To be called before a lease is relied on, after the clock was read: where the machine was suspended since the
    /// last call, what was confirmed before counts no more.
    func noteSuspension(now: Instant) {
        let total = environment.suspendedTime
        guard total > knownSuspension + Self.unseenSuspension else { return }
        let grown = Interval(nanoseconds: total.nanoseconds - knownSuspension.nanoseconds)
        knownSuspension = total
        core.voidLeases(through: now)
        guard core.role == .leader else { return }
        environment.report("the machine was suspended for \(grown): leases from before it are void")
    }

    /// Until when no other node can be elected, see ``RaftCore/leaseDeadline``; `nil` also where the machine was
    /// suspended since the last confirmation. `now` must be taken from the clock before.
    public func leaseDeadline(now: Instant) -> Instant? {
        noteSuspension(now: now)
        return core.leaseDeadline
    }
}
