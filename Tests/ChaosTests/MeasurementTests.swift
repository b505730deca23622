import ConsensusTypes
import Testing

@testable import HoldfastChaos

/// Numbers of reports.
@Suite struct MeasurementTests {
    private func at(_ milliseconds: Int) -> Instant { .zero + .milliseconds(milliseconds) }

    @Test func percentilesAreOfTheNearestRank() {
        let statistics = GapStatistics((1...200).map(Double.init).reversed())
        #expect(statistics.minimum == 1 && statistics.maximum == 200)
        #expect(statistics.percentile(50) == 100)
        #expect(statistics.percentile(99) == 198)
        #expect(statistics.percentile(100) == 200)
        let one = GapStatistics([7])
        #expect(one.percentile(1) == 7 && one.percentile(50) == 7 && one.percentile(100) == 7)
        let three = GapStatistics([3, 1, 2])
        #expect(three.percentile(50) == 2 && three.percentile(67) == 3 && three.percentile(33) == 1)
        let none = GapStatistics([])
        #expect(none.percentile(50) == nil && none.minimum == nil && none.count == 0)
    }

    @Test func gapsBelongToTheFaultThatWasNear() {
        let faults = [
            InjectedFault(kind: .kill, begin: at(1_000), end: at(2_000), nodes: [0]),
            InjectedFault(kind: .pause, begin: at(10_000), end: at(12_000), nodes: [1]),
        ]
        let finder = AvailabilityGaps(faults: faults, settleMilliseconds: 3_000)
        // In no order, as they come from several probers.
        let moments = [7_000, 900, 1_300, 1_350, 6_800, 9_990, 10_500, 16_000, 16_100].map(at)
        let gaps = finder.gaps(in: moments)
        #expect(gaps.map(\.milliseconds) == [400, 5_450, 200, 2_990, 510, 5_500])
        #expect(gaps.map(\.kind) == [.kill, .kill, nil, nil, .pause, .pause])
        // What goes wrong while a gap is there has not made it.
        let later = InjectedFault(kind: .kill, begin: at(5_000), end: at(6_000), nodes: [0])
        let full = InjectedFault(kind: .diskFull, begin: at(500), end: at(8_000), nodes: [1])
        #expect(
            AvailabilityGaps(faults: [full, later]).gaps(in: [at(1_000), at(9_000)]).map(\.kind) == [
                .diskFull
            ])
        #expect(AvailabilityGaps(faults: [later]).gaps(in: [at(1_000), at(9_000)]).map(\.kind) == [.kill])
        // Exactly the threshold is no gap.
        #expect(finder.gaps(in: [at(0), at(100)]).isEmpty)
        #expect(finder.gaps(in: [at(0), at(101)]).count == 1)
        #expect(finder.gaps(in: []).isEmpty && finder.gaps(in: [at(1)]).isEmpty)
    }

    @Test func gapsThroughANodeThatWasStoppedSayNothing() {
        let fault = InjectedFault(kind: .kill, begin: at(1_000), end: nil, nodes: [0])
        let finder = AvailabilityGaps(faults: [fault])
        let moments = [at(900), at(2_000)]
        #expect(finder.gaps(in: moments, through: 0).isEmpty)
        #expect(finder.gaps(in: moments, through: 1).map(\.kind) == [.kill])
    }

    @Test func plansOfMeasurements() throws {
        let plan = try FailoverMeasurement.Plan("kill:20,pause:3")
        #expect(plan.parts.map(\.loss) == [.kill, .pause])
        #expect(plan.parts.map(\.count) == [20, 3])
        for text in ["", "kill", "kill:0", "kill:x", "cut:3", "kill:1:2"] {
            #expect(throws: ChaosFailure.self) { try FailoverMeasurement.Plan(text) }
        }
    }

    @Test func decimals() {
        #expect(decimal(1.26, 1) == "1.3")
        #expect(decimal(0.96, 1) == "1.0")
        #expect(decimal(12.004, 2) == "12.00")
        #expect(decimal(-0.04, 1) == "0.0")
        #expect(decimal(-2.5, 1) == "-2.5")
        #expect(decimal(41.6, 0) == "42")
    }
}
