import ConsensusTypes
import Testing

@testable import HoldfastSimulation

/// Jumps of the wall clock cannot be simulated, because there is none: nodes are given the time of a monotonic
/// clock with an origin of its own, and no two clocks show the same.
@Suite struct WallClockTests {
    @Test func noTwoNodesHaveTheSameTime() {
        let world = World(
            SimulationSettings(seed: 3, nodeCount: 5), plan: FaultPlan(), random: SeededRandom(seed: 3))
        let shown = (0..<5).map { world.now(of: $0).nanoseconds / 1_000_000_000 }
        #expect(Set(shown).count == 5)
    }

    /// However far apart clocks are, and however much they drift, nothing changes but when timers ring.
    @Test func driftBeyondEveryBoundIsSafe() {
        var settings = SimulationSettings(seed: 8, stepCount: 6_000)
        var plan = FaultPlan()
        plan.world.mixture.read = 20
        plan.constant = [
            Fault(.drift, nodes: NodeSet(0), amount: 2 * 900_000),
            Fault(.drift, nodes: NodeSet(1), amount: 2 * 700_000 + 1),
        ]
        plan.rates = [
            FaultRate(.pause, everyMilliseconds: 500, forMilliseconds: 3_000),
            FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 500),
        ]
        settings.plan = plan
        let outcome = Simulation.run(settings)
        #expect(outcome.failure == nil)
        #expect(outcome.faults[.drift] == 2 && outcome.readCount > 0)
    }
}
