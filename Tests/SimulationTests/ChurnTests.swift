import ConsensusTypes
import Testing

@testable import HoldfastSimulation

/// Clusters whose members change while faults happen.
@Suite struct ChurnTests {
    private func job(_ seed: UInt64) -> SimulationJob {
        var job = SimulationJob()
        job.seed = seed
        job.stepCount = 6_000
        job.changesMembers = true
        return job
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func aChangingClusterKeepsItsPromises(seed: UInt64) {
        let outcome = SimulationTool.run(job(seed))
        #expect(outcome.failure == nil, "\(job(seed).command)")
    }

    @Test func membersChangeAndTheLeadershipMoves() {
        var counts = MembershipCounts()
        for seed in 1...8 as ClosedRange<UInt64> {
            var job = job(seed)
            job.stepCount = 20_000
            counts.add(SimulationTool.run(job).memberships)
        }
        #expect(counts.changes > 10)
        #expect(counts.transfers > 0)
    }

    @Test func theFaultsOfAChangingRunRepeatIt() throws {
        var job = job(2)
        let first = SimulationTool.run(job)
        #expect(first.injectedFaults.faults.contains { $0.kind.isOperation })
        #expect(SimulationTool.run(job).traceHash == first.traceHash)
        job.faults = try FaultList(parsing: first.injectedFaults.text).faults
        #expect(SimulationTool.run(job).traceHash == first.traceHash)
    }

    /// Five nodes, two die and are evicted, a third dies: two of three write. All come back: five vote.
    @Test func deadNodesAreEvictedAndComeBack() {
        var job = SimulationJob()
        job.scenario = "evict-and-return"
        let outcome = SimulationTool.run(job)
        #expect(outcome.failure == nil)
        #expect(outcome.memberships.evictions >= 2)
        #expect(outcome.memberships.returns >= outcome.memberships.evictions)
        #expect(outcome.simulatedTime >= .milliseconds(22_000))
    }

    @Test func aJobWithChangesSaysWhatIsWrongWithIt() {
        var job = job(1)
        #expect(job.problem == nil)
        #expect(job.command == "holdfast simulate --seed 1 --steps 6000 --churn")
        job.nodeCount = 2
        #expect(job.problem?.contains("3 to 5") == true)
        job.nodeCount = nil
        job.scenario = "star"
        #expect(job.problem?.contains("--scenario") == true)
    }
}

/// Every check of memberships fails where it should.
@Suite struct MembershipCheckerTests {
    private func world(_ change: (inout FaultPlan) -> Void) -> World {
        var plan = FaultPlan()
        plan.changesMembers = true
        change(&plan)
        return World(
            SimulationSettings(seed: 1, nodeCount: 5), plan: plan, random: SeededRandom(seed: 1))
    }

    private func property(_ body: () throws(SimulationFailure) -> Void) -> String? {
        do throws(SimulationFailure) {
            try body()
            return nil
        } catch {
            return error.property
        }
    }

    private func ids(_ nodes: UInt64...) -> [NodeID] { nodes.map { NodeID($0) } }

    @Test func evictionsLeaveEnoughVoters() {
        var checker = MembershipChecker()
        let before = Membership(voters: ids(1, 2, 3, 4))
        let after = Membership(voters: ids(1, 2, 3), evicted: ids(4))
        #expect(
            property { () throws(SimulationFailure) in
                try checker.checkEviction(from: before, to: after, minimumVoters: 3)
            } == nil)
        #expect(
            property { () throws(SimulationFailure) in
                try checker.checkEviction(from: before, to: after, minimumVoters: 4)
            } == "evictions")
        #expect(checker.counts.evictions == 2)
    }

    @Test func aGroupIsNotLeftAloneByATransfer() {
        let world = world { $0.world.electionTimeoutMilliseconds = 200 }
        var checker = MembershipChecker()
        checker.noteTransfer(now: world.now)
        var found: String?
        for _ in 0..<5 where found == nil {
            found = property { () throws(SimulationFailure) in try checker.checkTransfer(world) }
            world.now = world.now + .milliseconds(101)
        }
        #expect(found == "transfers")
        checker.noteTransfer(now: world.now)
        checker.noteFault()
        world.now = world.now + .seconds(10)
        #expect(property { () throws(SimulationFailure) in try checker.checkTransfer(world) } == nil)
    }

    @Test func demandedWritesMustCome() {
        let world = world {
            $0.demands = [ProgressDemand(fromMilliseconds: 100, toMilliseconds: 200, entryCount: 1)]
        }
        var checker = MembershipChecker()
        #expect(property { () throws(SimulationFailure) in try checker.checkDemands(world) } == nil)
        world.now = world.now + .milliseconds(150)
        #expect(property { () throws(SimulationFailure) in try checker.checkDemands(world) } == nil)
        world.now = world.now + .milliseconds(150)
        #expect(property { () throws(SimulationFailure) in try checker.checkDemands(world) } == "progress")
    }
}
