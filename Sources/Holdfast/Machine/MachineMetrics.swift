import Metrics

/// What swift-metrics is told of a replicated state machine.
///
/// - `holdfast_commands_total`, by `outcome`: `committed`, `unknown` or `refused`.
/// - `holdfast_command_retries_total`: how often a command was submitted again.
/// - `holdfast_command_duration`: from the call to the result.
/// - `holdfast_commands_outstanding`: on their way at present.
/// - `holdfast_reads_total`, by `consistency`.
///
/// The dimensions are `node` and `group`.
struct MachineMetrics: Sendable {
    private let committedCount: Counter
    private let unknownCount: Counter
    private let refusedCount: Counter
    private let retryCount: Counter
    private let duration: Timer
    private let outstanding: Gauge
    private let linearizableReads: Counter
    private let leaseReads: Counter
    private let staleReads: Counter

    init(node: String, group: String, factory: any MetricsFactory) {
        let dimensions = [("node", node), ("group", group)]
        func commands(_ outcome: String) -> Counter {
            Counter(
                label: "holdfast_commands_total", dimensions: dimensions + [("outcome", outcome)],
                factory: factory)
        }
        func reads(_ consistency: ReadConsistency) -> Counter {
            Counter(
                label: "holdfast_reads_total",
                dimensions: dimensions + [("consistency", consistency.rawValue)], factory: factory)
        }
        committedCount = commands("committed")
        unknownCount = commands("unknown")
        refusedCount = commands("refused")
        retryCount = Counter(
            label: "holdfast_command_retries_total", dimensions: dimensions, factory: factory)
        duration = Timer(label: "holdfast_command_duration", dimensions: dimensions, factory: factory)
        outstanding = Gauge(label: "holdfast_commands_outstanding", dimensions: dimensions, factory: factory)
        linearizableReads = reads(.linearizable)
        leaseReads = reads(.lease)
        staleReads = reads(.stale)
    }

    func committed(in elapsed: Duration) {
        committedCount.increment()
        let parts = elapsed.components
        duration.recordNanoseconds(parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
    }

    func failed(_ error: SubmitError) {
        if case .outcomeUnknown = error { unknownCount.increment() } else { refusedCount.increment() }
    }

    func retried() { retryCount.increment() }

    func noteOutstanding(_ count: Int) { outstanding.record(count) }

    func read(_ consistency: ReadConsistency) {
        switch consistency {
        case .linearizable: linearizableReads.increment()
        case .lease: leaseReads.increment()
        case .stale: staleReads.increment()
        }
    }
}
