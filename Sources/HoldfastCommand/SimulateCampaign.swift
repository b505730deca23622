import HoldfastSimulation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Runs many seeds on all cores, one run per thread.
///
/// Sendable without a lock of its own: what changes is in `state`.
final class SimulateCampaign: Sendable {
    /// A run that is over.
    struct Finished: Sendable {
        let job: SimulationJob
        let outcome: SimulationOutcome
    }

    private struct State: Sendable {
        var nextSeed: UInt64?
        var totals = CampaignTotals()
        /// Of the lowest seed that failed.
        var failed: Finished?
        /// Runs that are over and wait for those of lower seeds to be printed.
        var unprinted: [UInt64: String] = [:]
        var nextPrinted: UInt64
    }

    /// How often a progress line is written to standard error.
    private static let progressIntervalSeconds = 10
    /// The stack of a thread: some of what is simulated calls itself.
    private static let stackSizeBytes = 64 << 20

    private let job: SimulationJob
    private let seeds: ClosedRange<UInt64>
    private let deadline: UInt64?
    private let threadCount: Int
    private let isVerbose: Bool
    private let state: Mutex<State>

    init(
        job: SimulationJob, seeds: ClosedRange<UInt64>, minutes: Int?, threadCount: Int?, isVerbose: Bool
    ) {
        self.job = job
        self.seeds = seeds
        deadline = minutes.map { Clock.monotonicNanoseconds + UInt64($0) * 60_000_000_000 }
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let wanted = min(threadCount ?? cores, InFlightSeeds.maximumThreads)
        self.threadCount = seeds.count < wanted ? max(seeds.count, 1) : wanted
        // A few seeds are shown one by one.
        self.isVerbose = isVerbose || minutes == nil && seeds.count <= 10
        state = Mutex(State(nextSeed: seeds.lowerBound, nextPrinted: seeds.lowerBound))
    }

    /// Returns the run of the lowest seed that failed.
    func run() -> Finished? {
        InFlightSeeds.install(job)
        var threads: [pthread_t] = []
        for number in 0..<threadCount {
            threads.append(startThread(number))
        }
        waitAndSayProgress()
        for thread in threads { pthread_join(thread, nil) }
        return state.withLock { state in
            if state.totals.runCount > 1 {
                for line in state.totals.report { printLine(line) }
                printLine("\(state.failed == nil ? "clean" : "FAILED"): \(state.totals.progress)")
            }
            return state.failed
        }
    }

    // MARK: Threads

    private final class Start {
        let campaign: SimulateCampaign
        let number: Int

        init(_ campaign: SimulateCampaign, _ number: Int) {
            self.campaign = campaign
            self.number = number
        }
    }

    private func startThread(_ number: Int) -> pthread_t {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, SimulateCampaign.stackSizeBytes)
        let start = Unmanaged.passRetained(Start(self, number)).toOpaque()
        #if canImport(Glibc)
            var thread = pthread_t()
            let code = pthread_create(
                &thread, &attributes,
                { argument in
                    SimulateCampaign.runThread(argument)
                    return nil
                }, start)
            precondition(code == 0, "the system makes no more threads: error \(code)")
            return thread
        #else
            var thread: pthread_t?
            let code = pthread_create(
                &thread, &attributes,
                { argument in
                    SimulateCampaign.runThread(argument)
                    return nil
                }, start)
            precondition(code == 0, "the system makes no more threads: error \(code)")
            return thread!
        #endif
    }

    private static func runThread(_ argument: UnsafeMutableRawPointer?) {
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        start.campaign.work(start.number)
    }

    private func work(_ number: Int) {
        while let seed = takeSeed() {
            InFlightSeeds.set(number, seed)
            var job = job
            job.seed = seed
            let before = Clock.threadNanoseconds
            let outcome = SimulationTool.run(job)
            finish(Finished(job: job, outcome: outcome), Clock.threadNanoseconds - before)
            InFlightSeeds.clear(number)
        }
    }

    private func takeSeed() -> UInt64? {
        if let deadline, Clock.monotonicNanoseconds >= deadline { return nil }
        return state.withLock { state in
            guard state.failed == nil, let seed = state.nextSeed else { return nil }
            state.nextSeed = seed < seeds.upperBound ? seed + 1 : nil
            return seed
        }
    }

    private func finish(_ finished: Finished, _ processorNanoseconds: UInt64) {
        let seed = finished.job.seed
        state.withLock { state in
            state.totals.add(finished.outcome, processorNanoseconds: processorNanoseconds)
            if finished.outcome.failure != nil, seed < state.failed?.job.seed ?? .max {
                state.failed = finished
            }
            guard isVerbose else { return }
            state.unprinted[seed] =
                "seed \(seed): \(finished.job.command)\nseed \(seed): \(finished.outcome.summary)"
            while let lines = state.unprinted.removeValue(forKey: state.nextPrinted) {
                printLine(lines)
                state.nextPrinted += 1
            }
        }
    }

    /// Until no run is under way.
    private func waitAndSayProgress() {
        var lastSaid = Clock.monotonicNanoseconds
        while !InFlightSeeds.areDone(threadCount) || hasMore {
            usleep(20_000)
            let now = Clock.monotonicNanoseconds
            guard now - lastSaid >= UInt64(SimulateCampaign.progressIntervalSeconds) * 1_000_000_000 else {
                continue
            }
            lastSaid = now
            let line = state.withLock { $0.totals.progress } + "\n"
            line.withCString { _ = write(STDERR_FILENO, $0, strlen($0)) }
        }
    }

    private var hasMore: Bool {
        if let deadline, Clock.monotonicNanoseconds >= deadline { return false }
        return state.withLock { $0.failed == nil && $0.nextSeed != nil }
    }
}

/// Real time, for progress and speed only: nothing that is simulated knows of it.
private enum Clock {
    static var monotonicNanoseconds: UInt64 { read(CLOCK_MONOTONIC) }

    static var threadNanoseconds: UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
