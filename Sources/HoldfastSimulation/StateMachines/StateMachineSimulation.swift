import ConsensusTypes
import ReplicaRuntime

extension Simulation {
    /// Runs a user's state machine on a simulated cluster under faults.
    ///
    /// What is checked, apart from all that is checked of the cluster itself: every node is, after each
    /// entry, what the committed log makes of the machine; each command is executed at most once, and
    /// answered with the result that the log gives it; snapshots keep everything; the workload's invariant
    /// holds; the machine does what the model says; and the history of the clients, with its unknown
    /// outcomes, is linearizable.
    ///
    /// In the outcome, writes are commands and reads are queries.
    public static func run<Workload: StateMachineWorkload>(
        _ workload: Workload, _ settings: SimulationSettings
    ) -> SimulationOutcome {
        run(settings) { StateMachineService(workload, $0, $1) }
    }

    /// Runs a machine with itself as the specification.
    ///
    /// - Parameters:
    ///   - requests: what a client, given by its number, does next.
    ///   - invariant: says what is wrong with a state in which the machine must never be.
    public static func run<Machine: StateMachine & Hashable>(
        _ machine: Machine.Type, _ settings: SimulationSettings,
        requests: @escaping @Sendable (_ client: Int, inout SeededRandom) -> StateMachineRequest,
        invariant: @escaping @Sendable (Machine) -> String? = { _ in nil }
    ) -> SimulationOutcome {
        run(MachineWorkload<Machine>(requests: requests, invariant: invariant), settings)
    }
}
