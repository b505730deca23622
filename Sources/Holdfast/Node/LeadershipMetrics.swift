import ConsensusTypes
import Metrics

/// What swift-metrics is told of leadership.
///
/// - `holdfast_is_leader`: 1 while this node is told to lead.
/// - `holdfast_term`: the newest term that the node has heard of.
/// - `holdfast_election_timeout_milliseconds`: the one in force, which follows round trips.
/// - `holdfast_leaderships_total`, `holdfast_leadership_losses_total`.
///
/// The dimensions are `node` and `group`.
struct LeadershipMetrics {
    private let isLeader: Gauge
    private let term: Gauge
    private let electionTimeout: Gauge
    private let gains: Counter
    private let losses: Counter
    private var lastTerm: Term?
    private var lastElectionTimeout: Interval?

    init(node: String, group: String, factory: any MetricsFactory) {
        let dimensions = [("node", node), ("group", group)]
        isLeader = Gauge(label: "holdfast_is_leader", dimensions: dimensions, factory: factory)
        term = Gauge(label: "holdfast_term", dimensions: dimensions, factory: factory)
        electionTimeout = Gauge(
            label: "holdfast_election_timeout_milliseconds", dimensions: dimensions, factory: factory)
        gains = Counter(label: "holdfast_leaderships_total", dimensions: dimensions, factory: factory)
        losses = Counter(label: "holdfast_leadership_losses_total", dimensions: dimensions, factory: factory)
        isLeader.record(0)
    }

    mutating func note(_ term: Term, electionTimeout timeout: Interval) {
        if term != lastTerm {
            lastTerm = term
            self.term.record(term.rawValue)
        }
        if timeout != lastElectionTimeout {
            lastElectionTimeout = timeout
            electionTimeout.record(timeout.nanoseconds / 1_000_000)
        }
    }

    func gained() {
        gains.increment()
        isLeader.record(1)
    }

    func lost() {
        losses.increment()
        isLeader.record(0)
    }
}
