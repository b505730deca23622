import ConsensusTypes
import Metrics

/// What swift-metrics is told of leadership.
///
/// - `holdfast_is_leader`: 1 while this node is told to lead.
/// - `holdfast_term`: the newest term that the node has heard of.
/// - `holdfast_leaderships_total`, `holdfast_leadership_losses_total`.
///
/// The dimensions are `node` and `group`.
struct LeadershipMetrics {
    private let isLeader: Gauge
    private let term: Gauge
    private let gains: Counter
    private let losses: Counter
    private var lastTerm: Term?

    init(node: String, group: String, factory: any MetricsFactory) {
        let dimensions = [("node", node), ("group", group)]
        isLeader = Gauge(label: "holdfast_is_leader", dimensions: dimensions, factory: factory)
        term = Gauge(label: "holdfast_term", dimensions: dimensions, factory: factory)
        gains = Counter(label: "holdfast_leaderships_total", dimensions: dimensions, factory: factory)
        losses = Counter(label: "holdfast_leadership_losses_total", dimensions: dimensions, factory: factory)
        isLeader.record(0)
    }

    mutating func note(_ term: Term) {
        guard term != lastTerm else { return }
        lastTerm = term
        self.term.record(term.rawValue)
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
