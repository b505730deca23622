import HoldfastSimulation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Which seeds are being run at the moment, for the case that one of them stops the process: then a signal
/// handler says which they were.
enum InFlightSeeds {
    static let maximumThreads = 256

    /// Each place is written by one thread with one store, and read by the handler of a process that is about
    /// to end; a torn read would print a wrong number, nothing worse.
    nonisolated(unsafe) private static let seeds: UnsafeMutablePointer<UInt64> = {
        let places = UnsafeMutablePointer<UInt64>.allocate(capacity: maximumThreads)
        places.initialize(repeating: idle, count: maximumThreads)
        return places
    }()

    private static let idle = UInt64.max

    /// What follows the seed on the command line that repeats a run. Written once, before the handler is there.
    nonisolated(unsafe) private static var rest: UnsafeMutablePointer<CChar>?

    /// From now on a crash names the seeds.
    static func install(_ job: SimulationJob) {
        for number in 0..<maximumThreads { seeds[number] = idle }
        let command = job.command
        let prefix = "holdfast simulate --seed \(job.seed)"
        rest = strdup(String(command.dropFirst(prefix.count)) + "\n")
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS] {
            signal(number, handle)
        }
    }

    static func set(_ thread: Int, _ seed: UInt64) {
        seeds[thread] = seed
    }

    static func clear(_ thread: Int) {
        seeds[thread] = idle
    }

    static func areDone(_ threadCount: Int) -> Bool {
        (0..<threadCount).allSatisfy { seeds[$0] == idle }
    }

    /// Calls nothing but what a signal handler may call.
    private static let handle: @convention(c) (Int32) -> Void = { number in
        for thread in 0..<InFlightSeeds.maximumThreads where InFlightSeeds.seeds[thread] != UInt64.max {
            InFlightSeeds.say("holdfast: this run was under way: holdfast simulate --seed ")
            InFlightSeeds.say(InFlightSeeds.seeds[thread])
            if let rest = InFlightSeeds.rest { _ = write(STDERR_FILENO, rest, strlen(rest)) }
        }
        signal(number, SIG_DFL)
        raise(number)
    }

    private static func say(_ text: StaticString) {
        _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
    }

    /// In decimal, digit by digit from the highest.
    private static func say(_ value: UInt64) {
        var power: UInt64 = 10_000_000_000_000_000_000
        var hasBegun = false
        while power > 0 {
            let digit = UInt8(value / power % 10)
            if digit != 0 || hasBegun || power == 1 {
                hasBegun = true
                var character = 0x30 + digit
                _ = write(STDERR_FILENO, &character, 1)
            }
            power /= 10
        }
    }
}
