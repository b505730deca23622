import HoldfastSimulation
import Testing

/// A few seeds, so that `swift test` alone shows the simulator at work; CI runs many more from a release
/// build.
@Suite struct FixedSeedTests {
    @Test(arguments: [1, 39, 63, 101, 202, 303] as [UInt64])
    func aClusterOfThreeKeepsItsPromises(seed: UInt64) {
        let outcome = Simulation.run(SimulationSettings(seed: seed, stepCount: 6_000))
        #expect(outcome.failure == nil, "holdfast simulate --seed \(seed) --steps 6000")
        #expect(outcome.acknowledgedWriteCount > 0)
    }

    @Test(arguments: [7, 8, 9] as [UInt64])
    func aClusterOfFiveKeepsItsPromises(seed: UInt64) {
        let outcome = Simulation.run(SimulationSettings(seed: seed, stepCount: 6_000, nodeCount: 5))
        #expect(outcome.failure == nil, "holdfast simulate --seed \(seed) --steps 6000 --nodes 5")
    }

    @Test func aSingleNodeKeepsItsPromises() {
        let outcome = Simulation.run(SimulationSettings(seed: 5, stepCount: 6_000, nodeCount: 1))
        #expect(outcome.failure == nil, "holdfast simulate --seed 5 --steps 6000 --nodes 1")
        #expect(outcome.acknowledgedWriteCount > 0)
    }

    @Test func theSameSeedGivesTheSameRun() {
        let settings = SimulationSettings(seed: 11, stepCount: 6_000)
        let first = Simulation.run(settings)
        let second = Simulation.run(settings)
        #expect(first.traceHash == second.traceHash)
        #expect(first.eventCount == second.eventCount)
        #expect(Simulation.run(SimulationSettings(seed: 12, stepCount: 6_000)).traceHash != first.traceHash)
    }

    /// Faults happen: a run that injected none would prove nothing.
    @Test func faultsAreInjected() {
        var plan = FaultPlan()
        plan.lossPerThousand = 50
        plan.duplicationPerThousand = 50
        plan.reorderingPerThousand = 50
        plan.crashIntervalMilliseconds = 500
        plan.partitionIntervalMilliseconds = 500
        plan.hasOneWayPartitions = true
        plan.hasClusterCrashes = true
        var settings = SimulationSettings(seed: 21, stepCount: 12_000)
        settings.plan = plan
        let outcome = Simulation.run(settings)
        #expect(outcome.failure == nil)
        #expect(outcome.faults.crashes > 0)
        #expect(outcome.faults.tornWrites > 0)
        #expect(outcome.faults.partitions > 0)
        #expect(outcome.faults.lostMessages > 0)
        #expect(outcome.faults.duplicatedMessages > 0)
        #expect(outcome.faults.reorderedMessages > 0)
    }
}
