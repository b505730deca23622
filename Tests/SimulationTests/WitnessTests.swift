import ConsensusTypes
import Testing

@testable import HoldfastSimulation

/// Clusters of which some members keep no data.
@Suite struct WitnessTests {
    private func job(_ seed: UInt64, churns: Bool = false) -> SimulationJob {
        var job = SimulationJob()
        job.seed = seed
        job.stepCount = 6_000
        job.hasWitnesses = true
        job.changesMembers = churns
        return job
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func aClusterWithWitnessesKeepsItsPromises(seed: UInt64) {
        let outcome = SimulationTool.run(job(seed))
        #expect(outcome.failure == nil, "\(job(seed).command)")
        #expect(outcome.acknowledgedWriteCount > 0)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func soDoesOneWhoseMembersChange(seed: UInt64) {
        let outcome = SimulationTool.run(job(seed, churns: true))
        #expect(outcome.failure == nil, "\(job(seed, churns: true).command)")
    }

    /// The state machines of users run on members with data.
    @Test(arguments: ["bank", "register"])
    func anyStateMachineHasWitnesses(name: String) {
        var job = job(3)
        job.stateMachine = name
        let outcome = SimulationTool.run(job)
        #expect(outcome.failure == nil, "\(job.command)")
    }

    /// Witnesses are wiped, damaged and left behind; the others go on with and without them.
    @Test func witnessesAreRepairedAndCaughtUp() {
        var reached = RarePathSet()
        for seed in 1...6 as ClosedRange<UInt64> {
            var job = SimulationJob()
            job.seed = seed
            job.scenario = "witness"
            let outcome = SimulationTool.run(job)
            #expect(outcome.failure == nil, "\(job.command)")
            reached.formUnion(outcome.rarePaths)
        }
        for path in [
            RarePath.witnessWithTooFewData, .withheldSnapshotSent, .adoptedByLeader, .restoredExactly,
        ] {
            #expect(reached.contains(path), "\(path)")
        }
        #expect(!reached.contains(.withheldRefusedByDataMember))
    }

    @Test func howManyThereAreFollowsFromTheVoters() {
        var job = job(1)
        #expect(job.settings.nodeCount == 5 && job.settings.witnessCount == 2)
        #expect(job.settings.isWitness(3) && job.settings.isWitness(4) && !job.settings.isWitness(2))
        #expect(job.command == "holdfast simulate --seed 1 --steps 6000 --nodes 5 --witnesses")
        job.seed = 2
        #expect(job.settings.nodeCount == 3 && job.settings.witnessCount == 1)
        job.nodeCount = 2
        #expect(job.problem?.contains("from 3 to 7") == true)
        job.nodeCount = nil
        job.scenario = "star"
        #expect(job.problem?.contains("--witnesses") == true)
        job = self.job(1, churns: true)
        // Nodes that join later have data.
        #expect(job.settings.voterCount == 4 && job.settings.witnessCount == 1)
        #expect(job.settings.isWitness(3) && !job.settings.isWitness(4))
    }
}
