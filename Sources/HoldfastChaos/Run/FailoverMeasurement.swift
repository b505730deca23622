import ConsensusTypes

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Measures how long a cluster takes no writes when its leader is killed or paused, again and again.
public final class FailoverMeasurement: Sendable {
    public enum Loss: String, CaseIterable, Hashable, Sendable {
        /// SIGKILL.
        case kill
        /// SIGSTOP.
        case pause
    }

    /// How often which loss is measured.
    public struct Plan: Hashable, Sendable {
        public struct Part: Hashable, Sendable {
            public let loss: Loss
            public let count: Int
        }

        public private(set) var parts: [Part] = []

        /// `kill:20,pause:20`.
        public init(_ text: String) throws(ChaosFailure) {
            for part in text.split(separator: ",") {
                let fields = part.split(separator: ":", omittingEmptySubsequences: false)
                guard fields.count == 2, let loss = Loss(rawValue: String(fields[0])),
                    let count = Int(fields[1]), (1...10_000).contains(count)
                else {
                    throw ChaosFailure("'\(part)' is not like kill:20 or pause:20")
                }
                parts.append(Part(loss: loss, count: count))
            }
            guard !parts.isEmpty else { throw ChaosFailure("nothing to measure; write kill:20,pause:20") }
        }
    }

    static let settleMilliseconds = 1_500
    static let patienceMilliseconds = 30_000

    private let cluster: ChaosCluster
    private let workload: Workload
    private let control: RunControl
    private let report: @Sendable (String) -> Void

    init(
        cluster: ChaosCluster, workload: Workload, control: RunControl,
        report: @escaping @Sendable (String) -> Void
    ) {
        self.cluster = cluster
        self.workload = workload
        self.control = control
        self.report = report
    }

    /// The lengths in milliseconds, for each loss of the plan; fewer where the run was ended.
    func run(_ plan: Plan) async throws(ChaosFailure) -> [(loss: Loss, times: [Double])] {
        var results: [(loss: Loss, times: [Double])] = []
        for part in plan.parts {
            let (loss, count) = (part.loss, part.count)
            var times: [Double] = []
            for number in 1...count {
                guard await control.sleep(milliseconds: FailoverMeasurement.settleMilliseconds) else { break }
                let (node, time) = try await measure(loss)
                times.append(time)
                report(
                    "\(loss.rawValue) \(number)/\(count): \(cluster.nodes[node].name), \(decimal(time, 1)) ms"
                )
            }
            results.append((loss, times))
        }
        return results
    }

    /// From the signal to the first answer to a write that was sent after it through another node.
    private func measure(_ loss: Loss) async throws(ChaosFailure) -> (node: Int, milliseconds: Double) {
        let leader = await poll(forMilliseconds: FailoverMeasurement.patienceMilliseconds) {
            await cluster.leader()
        }
        guard let leader else { throw ChaosFailure("no node leads") }
        let node = cluster.nodes[leader]
        if loss == .kill { await node.prepareKill() }
        let begin = ChaosClock.now()
        node.send(loss == .kill ? SIGKILL : SIGSTOP)
        let others = workload.probers.filter { $0.node != leader }
        let answer = await poll(
            forMilliseconds: FailoverMeasurement.patienceMilliseconds, everyMilliseconds: 2
        ) {
            others.compactMap { $0.firstAcknowledgement(sentAfter: begin) }.min()
        }
        if loss == .kill {
            await node.kill()
            try await node.start()
        } else {
            node.send(SIGCONT)
        }
        guard let answer else {
            throw ChaosFailure(
                "no write was acknowledged within 30 s after the loss of the leader, \(node.name)")
        }
        try await cluster.waitUntilHealthy(milliseconds: 30_000, control: nil)
        try await waitUntilLevel(leader)
        return (leader, answer.milliseconds(since: begin))
    }

    /// Until the node has what the others had when this began, and takes writes again.
    private func waitUntilLevel(_ node: Int) async throws(ChaosFailure) {
        let begin = ChaosClock.now()
        var goal: Int64 = 0
        for endpoint in cluster.endpoints { goal = max(goal, await endpoint.status()?.header.revision ?? 0) }
        let target = goal
        let isLevel = await poll(forMilliseconds: FailoverMeasurement.patienceMilliseconds) {
            let revision = await cluster.endpoints[node].status()?.header.revision ?? 0
            let writes = workload.probers[node].lastAcknowledgement ?? .zero
            return revision >= target && writes >= begin ? true : nil
        }
        guard isLevel != nil else {
            throw ChaosFailure("\(cluster.nodes[node].name) did not catch up within 30 s")
        }
    }

    static func lines(_ results: [(loss: Loss, times: [Double])]) -> [String] {
        var lines = [
            "time from the loss of the leader to the next acknowledged write through another node, in milliseconds:",
            "  signal            count      min      p50      p90      p99      max",
        ]
        for (loss, times) in results {
            let statistics = GapStatistics(times)
            let values = [
                statistics.minimum, statistics.percentile(50), statistics.percentile(90),
                statistics.percentile(99), statistics.maximum,
            ]
            let name = loss == .kill ? "SIGKILL" : "SIGSTOP"
            let cells = ["\(statistics.count)"] + values.map { $0.map { decimal($0, 1) } ?? "-" }
            let padded = cells.map { String(repeating: " ", count: max(0, 8 - $0.count)) + $0 }
            lines.append("  \(name)        " + padded.joined(separator: " "))
        }
        return lines
    }
}
