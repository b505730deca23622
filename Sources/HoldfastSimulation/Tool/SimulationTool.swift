import ConsensusTypes

/// Runs jobs, for the command and for tests.
public enum SimulationTool {
    /// The names that ``SimulationJob/stateMachine`` may have.
    public static var stateMachines: [String] { [SimulationJob.keyValue] + StateMachineRegistry.names }

    /// The state machine must be one of ``stateMachines``.
    public static func run(_ job: SimulationJob) -> SimulationOutcome {
        if job.stateMachine == SimulationJob.keyValue { return Simulation.run(job.settings) }
        guard let outcome = StateMachineRegistry.run(job.stateMachine, job.settings) else {
            preconditionFailure("there is no state machine \(job.stateMachine)")
        }
        return outcome
    }

    /// The fewest of the faults that a failed run injected which make it fail in the same way, and how many
    /// runs it took to find them. `nil` where the list does not repeat the failure.
    public static func shrink(
        _ job: SimulationJob, _ outcome: SimulationOutcome, maximumRuns: Int = 400
    ) -> (faults: FaultList, runCount: Int)? {
        guard let failure = outcome.failure else { return nil }
        var shrinker = FaultShrinker(maximumRuns: maximumRuns) { faults in
            var shorter = job
            shorter.faults = faults
            return run(shorter).failure?.property == failure.property
        }
        guard let faults = shrinker.shrink(outcome.injectedFaults.faults) else { return nil }
        return (FaultList(faults), shrinker.runCount)
    }
}
