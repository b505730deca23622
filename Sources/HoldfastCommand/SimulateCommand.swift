import ArgumentParser
import HoldfastSimulation

/// `holdfast simulate`: a cluster in one thread, from one seed, under faults.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Runs a simulated cluster under faults and checks it.",
        discussion: """
            The same seed gives the same run, in every process: its trace hash is printed. A failure prints \
            the property that did not hold and the command that repeats the run, and ends with exit code 1.
            """)

    @Option(help: "Where the run's randomness starts.")
    var seed: UInt64 = 1

    @Option(help: "How many seeds to run, from --seed on.")
    var runs = 1

    @Option(help: "Events to simulate under faults, in each run.")
    var steps = 20_000

    @Option(help: "Nodes in the cluster: 1 to 7.")
    var nodes = 3

    func run() throws {
        guard (1...7).contains(nodes), steps >= 1, runs >= 1 else {
            throw CommandFailure(
                message: "--nodes must be from 1 to 7, --steps and --runs at least 1", exitCode: 64)
        }
        for offset in 0..<UInt64(runs) {
            let seed = seed &+ offset
            let command = "holdfast simulate --seed \(seed) --steps \(steps) --nodes \(nodes)"
            // Said before the run, so that the seed is known even if an invariant stops the process.
            printLine("seed \(seed): \(command)")
            let outcome = Simulation.run(SimulationSettings(seed: seed, stepCount: steps, nodeCount: nodes))
            printLine("seed \(seed): \(outcome.summary)")
            if let failure = outcome.failure {
                for line in outcome.lastEvents {
                    printLine("  \(line)")
                }
                throw CommandFailure(message: "seed \(seed) failed: \(failure); repeat it with: \(command)")
            }
        }
    }
}
