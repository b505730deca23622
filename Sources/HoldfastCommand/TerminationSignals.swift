#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// SIGINT and SIGTERM as a call instead of an interruption.
enum TerminationSignals {
    /// Must be called before any other thread exists, so that every thread inherits the mask and the
    /// signals stay for ``wait()``.
    static func block() {
        var signals = set
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// Returns when the process is asked to end.
    static func wait() -> Int32 {
        var signals = set
        var received: Int32 = 0
        while sigwait(&signals, &received) != 0 {}
        return received
    }

    /// Whether the process was asked to end within the time.
    static func wait(milliseconds: Int) -> Bool {
        var signals = set
        #if canImport(Glibc)
            var timeout = timespec(tv_sec: milliseconds / 1_000, tv_nsec: milliseconds % 1_000 * 1_000_000)
            return sigtimedwait(&signals, nil, &timeout) > 0
        #else
            var pending = sigset_t()
            usleep(useconds_t(milliseconds) * 1_000)
            sigpending(&pending)
            return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1
        #endif
    }

    private static var set: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        return signals
    }
}
