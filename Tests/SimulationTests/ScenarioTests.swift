import ConsensusTypes
import HoldfastSimulation
import Testing

@Suite struct ScenarioTests {
    @Test func everyRowHasAScenario() {
        for row in 1...40 {
            #expect(Scenario.all.contains { $0.row == row }, "row \(row)")
        }
        #expect(Set(Scenario.all.map(\.name)).count == Scenario.all.count)
    }

    static let simulated = Scenario.all.filter {
        if case .simulated = $0.proof { return true }
        return false
    }.map(\.name)

    /// Shorter than from the command line; CI runs the whole from a release build.
    @Test(arguments: simulated)
    func aScenarioIsClean(name: String) {
        var job = SimulationJob()
        job.scenario = name
        job.stepCount = 3_000
        let outcome = SimulationTool.run(job)
        #expect(outcome.failure == nil, "\(job.command)")
    }

    /// Branches that random runs hardly ever reach, each by the scenario that is made for it.
    @Test(arguments: [
        ("append-amid-snapshot", RarePath.snapshotKeepsSuffix, 8),
        ("full-disk", .appendRefusedWithoutRoom, 6), ("second-process", .copyOfNodeRefused, 4),
    ])
    func aScenarioReachesItsBranch(name: String, path: RarePath, seedCount: UInt64) {
        var job = SimulationJob()
        job.scenario = name
        var isReached = false
        for seed in 1...seedCount where !isReached {
            job.seed = seed
            let outcome = SimulationTool.run(job)
            #expect(outcome.failure == nil, "\(job.command)")
            isReached = outcome.rarePaths.contains(path)
        }
        #expect(isReached, "\(path) by \(name)")
    }

    /// What runs beside a node on a copy of its disk is found out and ends; a power cut takes away what syncs
    /// did not make durable.
    @Test func secondProcessesAndLiesAreCounted() {
        var job = SimulationJob()
        job.scenario = "second-process"
        job.stepCount = 8_000
        let second = SimulationTool.run(job).faults
        #expect(second.secondProcesses > 0)
        #expect(second.refusedSecondProcesses == second.secondProcesses)
        #expect(second.text.contains("second processes"))
        job.scenario = "lying-sync"
        let lies = SimulationTool.run(job).faults
        #expect(lies.powerCutsAfterLies > 0)
        #expect(lies.text.contains("power cuts after lying syncs"))
    }

    @Test func aJobSaysWhatIsWrongWithIt() {
        var job = SimulationJob()
        #expect(job.problem == nil)
        job.scenario = "nonsense"
        #expect(job.problem?.contains("--list-scenarios") == true)
        job.scenario = "authentication-toggled"
        #expect(job.problem?.contains("authentication") == true)
        job.scenario = nil
        job.nodeCount = 8
        #expect(job.problem != nil)
    }

    @Test func theCommandRepeatsTheJob() {
        var job = SimulationJob()
        job.seed = 7
        job.scenario = "star"
        #expect(job.command == "holdfast simulate --seed 7 --scenario star --steps 20000 --nodes 5")
    }
}
