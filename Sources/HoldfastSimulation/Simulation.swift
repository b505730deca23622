import ConsensusTypes

/// A cluster of production nodes in one thread, on a simulated network, disk and clock, under faults.
///
/// Everything follows from the seed: the same settings give the same run, event by event.
public enum Simulation {
    /// Runs production's key-value machine, with its leases and watches.
    public static func run(_ settings: SimulationSettings) -> SimulationOutcome {
        run(settings) { KeyValueService($0, $1) }
    }

    /// Runs the service that is made.
    static func run<Service: SimulatedService>(
        _ settings: SimulationSettings, makeService: (SimulationSettings, FaultPlan) -> Service
    ) -> SimulationOutcome {
        let run = SimulationRun(settings, makeService: makeService)
        var failure: SimulationFailure?
        do throws(SimulationFailure) {
            try run.run()
        } catch {
            failure = error
        }
        return run.outcome(failure)
    }
}
