import HoldfastSimulation
import Testing

/// A few seeds, so that `swift test` alone shows the simulator at work; CI runs many more from a release
/// build.
@Suite struct FixedSeedTests {
    @Test(arguments: [1, 39, 63, 101] as [UInt64])
    func aClusterOfThreeKeepsItsPromises(seed: UInt64) {
        let outcome = Simulation.run(SimulationSettings(seed: seed, stepCount: 6_000))
        #expect(outcome.failure == nil, "holdfast simulate --seed \(seed) --steps 6000")
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
        #expect(first.injectedFaults == second.injectedFaults)
        #expect(Simulation.run(SimulationSettings(seed: 12, stepCount: 6_000)).traceHash != first.traceHash)
    }

    /// What a run injected is all that it takes to repeat it, also as text.
    @Test(arguments: [2, 8] as [UInt64])
    func theFaultsOfARunRepeatIt(seed: UInt64) throws {
        var settings = SimulationSettings(seed: seed, stepCount: 6_000)
        let first = Simulation.run(settings)
        #expect(!first.injectedFaults.faults.isEmpty)
        settings.faults = try FaultList(parsing: first.injectedFaults.text).faults
        #expect(Simulation.run(settings).traceHash == first.traceHash)
    }

    @Test func theFaultsOfADirectedRunRepeatIt() throws {
        var job = SimulationJob()
        job.scenario = "two-snapshots"
        job.stepCount = 6_000
        let first = SimulationTool.run(job)
        #expect(first.injectedFaults.faults.count > 1)
        job.faults = first.injectedFaults.faults
        #expect(SimulationTool.run(job).traceHash == first.traceHash)
    }

    /// Faults happen: a run that injected none would prove nothing.
    @Test func faultsAreInjected() {
        var plan = FaultPlan()
        plan.constant = [
            Fault(.loss, amount: 50), Fault(.duplication, amount: 50), Fault(.reordering, amount: 50),
        ]
        // A disk that is put back has a scenario of its own, in which nothing else goes wrong.
        let kinds = FaultKind.allCases.filter { $0 != .rollBack && !$0.isOperation }
        plan.rates = kinds.map { kind in
            let isLoss = [.damage, .lostWrite, .misdirectedWrite, .wipe, .lyingSync].contains(kind)
            return FaultRate(
                kind, everyMilliseconds: 2_500, forMilliseconds: 300, amount: isLoss ? 0 : 20,
                target: isLoss ? .victim : .anyNode)
        }
        var settings = SimulationSettings(seed: 21, stepCount: 30_000)
        settings.plan = plan
        let outcome = Simulation.run(settings)
        #expect(outcome.failure == nil)
        for kind in kinds {
            #expect(outcome.faults[kind] > 0, "\(kind)")
        }
        #expect(outcome.faults.tornWrites > 0)
        #expect(outcome.faults.lostMessages > 0)
        #expect(outcome.faults.duplicatedMessages > 0)
        #expect(outcome.faults.reorderedMessages > 0)
    }

    /// While a cluster forms for the first time a node loses its records of peers and its log, over and over,
    /// and a peer that was away meanwhile has nobody who can vouch for it alone.
    @Test func damageWhileAClusterFormsEndsInALeader() throws {
        var settings = SimulationSettings(seed: 17_188)
        settings.faults = try FaultList(
            parsing: """
                loss at=0 amount=57
                duplication at=0 amount=91
                reordering at=0 amount=99
                damage at=154745 for=1569628 nodes=0 amount=7
                pause at=992227 for=4772812 nodes=1
                damage at=2799748 for=753131 nodes=0 amount=8
                damage at=5638750 for=8595 nodes=0 amount=11
                """
        ).faults
        #expect(Simulation.run(settings).failure == nil)
    }

    /// The last vote for a term arrives when the next has begun and committed what the late leader lacks: it was not
    /// committed in an earlier term than the late one, so nothing is wrong. Here node 2 leads, is cut off and holds
    /// writes that nobody else has. Node 0 stands for the next term, and stands still before node 1's vote arrives.
    /// Node 2 wins the term after that one and commits its writes. Then node 0 goes on and counts the vote.
    @Test func aLateLeaderMayLackWhatALaterTermCommitted() throws {
        var settings = SimulationSettings(seed: 8_512)
        settings.faults = try FaultList(
            parsing: """
                delay at=2500000 for=5000000 nodes=0,1,2 peers=0,1,2 amount=50000
                cut at=3500000 for=1800000 amount=197636
                pause at=4640000 for=4000000 nodes=0
                """
        ).faults
        #expect(Simulation.run(settings).failure == nil)
    }
}
