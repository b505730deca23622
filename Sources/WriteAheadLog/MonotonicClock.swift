import ConsensusTypes

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The operating system's monotonic clock: `CLOCK_MONOTONIC`, or `CLOCK_UPTIME_RAW` on Darwin.
public enum MonotonicClock {
    @Sendable
    public static func now() -> Instant {
        #if canImport(Darwin)
            return Instant(nanoseconds: clock_gettime_nsec_np(CLOCK_UPTIME_RAW))
        #else
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC, &time)
            return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
        #endif
    }
}
