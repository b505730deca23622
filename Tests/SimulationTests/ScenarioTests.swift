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

    @Test func aJobSaysWhatIsWrongWithIt() {
        var job = SimulationJob()
        #expect(job.problem == nil)
        job.scenario = "nonsense"
        #expect(job.problem?.contains("--list-scenarios") == true)
        job.scenario = "membership-at-commit"
        #expect(job.problem?.contains("issue 4") == true)
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
