import MetricsTestKit
import Testing

@testable import Holdfast

@Suite(.timeLimit(.minutes(10))) struct MetricsTests {
    @Test func commandsReadsAndLeadershipAreCounted() async throws {
        let metrics = TestMetrics()
        var configuration = TestMembers().configuration("a")
        configuration.peers = [configuration.peers[0]]
        configuration.metricsFactory = metrics
        let machine = try ReplicatedStateMachine(TallyState.self, configuration)
        let dimensions = [("node", "a"), ("group", "state")]
        try await whileRunning([machine]) {
            for _ in 0..<3 { _ = try await machine.submit(1) }
            _ = try await machine.read(true)
            let gauge = try metrics.expectGauge("holdfast_is_leader", dimensions)
            #expect(gauge.lastValue == 1)
        }
        let committed = try metrics.expectCounter(
            "holdfast_commands_total", dimensions + [("outcome", "committed")])
        #expect(committed.totalValue == 3)
        let reads = try metrics.expectCounter(
            "holdfast_reads_total", dimensions + [("consistency", "linearizable")])
        #expect(reads.totalValue == 1)
        #expect(try metrics.expectTimer("holdfast_command_duration", dimensions).values.count == 3)
        #expect(try metrics.expectGauge("holdfast_is_leader", dimensions).lastValue == 0)
        #expect(try metrics.expectGauge("holdfast_term", dimensions).lastValue == 1)
        #expect(
            try metrics.expectGauge("holdfast_election_timeout_milliseconds", dimensions).lastValue
                ?? 0 >= 400)
    }
}
