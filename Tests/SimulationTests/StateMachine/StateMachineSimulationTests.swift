import ConsensusTypes
import HoldfastSimulation
import ReplicaRuntime
import Testing

/// State machines of users in the simulated world: right ones pass, and each kind of mistake is caught.
@Suite struct StateMachineSimulationTests {
    @Test(arguments: StateMachineRegistry.names, [1, 2, 3, 4] as [UInt64])
    func theMachinesOfTheToolKeepTheirPromises(name: String, seed: UInt64) throws {
        let settings = SimulationSettings(seed: seed, stepCount: 6_000)
        let outcome = try #require(StateMachineRegistry.run(name, settings))
        #expect(outcome.failure == nil, "\(name), seed \(seed)")
        #expect(outcome.acknowledgedWriteCount > 0)
    }

    @Test func anUnknownNameRunsNothing() {
        #expect(StateMachineRegistry.run("nothing", SimulationSettings(seed: 1)) == nil)
    }

    @Test func theSameSeedGivesTheSameRun() {
        let settings = SimulationSettings(seed: 9, stepCount: 4_000)
        let first = Simulation.run(CounterMachine<Sound>.self, settings, requests: CounterRequests.next)
        let second = Simulation.run(CounterMachine<Sound>.self, settings, requests: CounterRequests.next)
        #expect(first.failure == nil)
        #expect(first.traceHash == second.traceHash)
        #expect(first.acknowledgedWriteCount == second.acknowledgedWriteCount)
    }

    /// A run in which nothing went wrong would prove nothing.
    @Test func faultsReachTheMachine() {
        var paths = RarePathSet()
        var unknown = 0
        var reads = 0
        for seed in 1...12 as ClosedRange<UInt64> {
            let outcome = Simulation.run(
                CounterMachine<Sound>.self, SimulationSettings(seed: seed, stepCount: 6_000),
                requests: CounterRequests.next, invariant: CounterRequests.invariant)
            #expect(outcome.failure == nil, "seed \(seed)")
            paths.formUnion(outcome.rarePaths)
            unknown += outcome.unknownWriteCount
            reads += outcome.readCount
        }
        #expect(unknown > 0)
        #expect(reads > 0)
        #expect(paths.contains(.proposalProposedAgain))
    }

    private func firstFailure<Flaw: CounterFlaw>(_ flaw: Flaw.Type) -> SimulationFailure? {
        for seed in 1...10 as ClosedRange<UInt64> {
            let outcome = Simulation.run(
                CounterMachine<Flaw>.self, SimulationSettings(seed: seed, stepCount: 6_000),
                requests: CounterRequests.next, invariant: CounterRequests.invariant)
            if let failure = outcome.failure { return failure }
        }
        return nil
    }

    @Test func resultsThatDifferFromNodeToNodeAreCaught() throws {
        let failure = try #require(firstFailure(DependsOnTheNode.self))
        #expect(["replicas are equal", "snapshots keep everything"].contains(failure.property), "\(failure)")
    }

    @Test func aSnapshotThatForgetsAFieldIsCaught() throws {
        let failure = try #require(firstFailure(ForgetfulSnapshot.self))
        #expect(failure.property == "snapshots keep everything", "\(failure)")
    }

    @Test func aSnapshotThatCannotBeReadIsCaught() throws {
        let failure = try #require(firstFailure(UnreadableSnapshot.self))
        #expect(failure.property == "snapshots keep everything", "\(failure)")
    }

    @Test func aBrokenInvariantIsCaught() throws {
        let failure = try #require(firstFailure(GoesNegative.self))
        #expect(failure.property == "invariant", "\(failure)")
    }

    /// The machine is its own specification above, so a mistake that is the same everywhere needs a model.
    @Test func aLostUpdateIsCaughtByTheModel() throws {
        let settings = SimulationSettings(seed: 4, stepCount: 6_000)
        let failure = try #require(Simulation.run(CounterWorkload<LosesUpdates>(), settings).failure)
        #expect(failure.property == "model", "\(failure)")
        #expect(Simulation.run(CounterWorkload<Sound>(), settings).failure == nil)
    }
}
