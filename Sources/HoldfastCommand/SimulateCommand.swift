import ArgumentParser
import HoldfastSimulation

/// `holdfast simulate`: clusters in one thread each, from one seed each, under faults.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Runs simulated clusters under faults and checks them.",
        discussion: """
            The same seed gives the same run, in every process: its trace hash is printed. A failure prints \
            the property that did not hold, the last events, the command that repeats the run and the fewest \
            faults that still make it fail, and ends with exit code 1.
            """)

    @Option(help: "Where the run's randomness starts.")
    var seed: UInt64 = 1

    @Option(help: "Seeds to run, from A to B: A..B.")
    var seeds: String?

    @Option(help: "How many seeds to run, from --seed on.")
    var runs: Int?

    @Option(help: "Run seeds for so long, from --seed on.")
    var minutes: Int?

    @Option(help: "Events to simulate under faults, in each run (default: 20000, or the scenario's).")
    var steps: Int?

    @Option(help: "Nodes in the cluster: 1 to 7 (default: 3, or the scenario's).")
    var nodes: Int?

    @Flag(help: "Change the members and move the leadership too: --nodes are the first voters then (3 to 5).")
    var churn = false

    @Flag(help: "The last of the first members are witnesses: one of three or four, two of more.")
    var witnesses = false

    @Option(help: "Provoke one situation on purpose instead of injecting faults at random.")
    var scenario: String?

    @Flag(help: "List the scenarios.")
    var listScenarios = false

    @Option(help: "What the nodes run: \(SimulationTool.stateMachines.joined(separator: ", ")).")
    var stateMachine = SimulationJob.keyValue

    @Option(help: "Inject exactly these faults: a file, or the faults themselves, apart by semicolons.")
    var faults: String?

    @Option(help: "How many runs to do at a time (default: one per core).")
    var threads: Int?

    @Flag(help: "Print a line for every seed.")
    var verbose = false

    @Flag(inversion: .prefixedNo, help: "After a failure, search for the faults that matter.")
    var shrink = true

    func run() throws {
        if listScenarios { return SimulateCommand.printScenarios() }
        var job = SimulationJob()
        job.stepCount = steps
        job.nodeCount = nodes
        job.scenario = scenario
        job.changesMembers = churn
        job.hasWitnesses = witnesses
        job.stateMachine = stateMachine
        if let problem = job.problem { throw CommandFailure(message: problem, exitCode: 64) }
        guard SimulationTool.stateMachines.contains(stateMachine) else {
            throw CommandFailure(
                message: "there is no state machine \(stateMachine); there are "
                    + SimulationTool.stateMachines.joined(separator: ", "), exitCode: 64)
        }
        let range = try seedRange()
        if let faults {
            guard range.count == 1 else {
                throw CommandFailure(message: "--faults are those of one seed: give --seed", exitCode: 64)
            }
            job.faults = try SimulateCommand.parseFaults(faults)
        }
        guard threads ?? 1 >= 1, minutes ?? 1 >= 1 else {
            throw CommandFailure(message: "--threads and --minutes must be at least 1", exitCode: 64)
        }
        let campaign = SimulateCampaign(
            job: job, seeds: range, minutes: minutes, threadCount: threads, isVerbose: verbose)
        let failed = campaign.run()
        if let failed { try report(failed, campaign) }
    }

    private func seedRange() throws -> ClosedRange<UInt64> {
        let given = [seeds != nil, runs != nil, minutes != nil].filter(\.self).count
        guard given <= 1 else {
            throw CommandFailure(message: "give one of --seeds, --runs and --minutes", exitCode: 64)
        }
        if minutes != nil { return seed...UInt64.max }
        if let runs {
            guard runs >= 1 else { throw CommandFailure(message: "--runs must be at least 1", exitCode: 64) }
            return seed...seed + UInt64(runs - 1)
        }
        guard let seeds else { return seed...seed }
        let ends = seeds.split(separator: ".").compactMap { UInt64($0) }
        guard ends.count == 2, seeds == "\(ends[0])..\(ends[1])", ends[0] <= ends[1] else {
            throw CommandFailure(
                message: "--seeds must be of the form A..B, with A at most B, not \(seeds)", exitCode: 64)
        }
        return ends[0]...ends[1]
    }

    private static func parseFaults(_ text: String) throws -> [Fault] {
        let contents = try text.contains("=") || text.isEmpty ? text : TextFile.read(text)
        do throws(FaultList.ParsingError) {
            return try FaultList(parsing: contents).faults
        } catch {
            throw CommandFailure(message: "--faults: \(error)", exitCode: 64)
        }
    }

    private static func printScenarios() {
        for scenario in Scenario.all {
            let state: String
            switch scenario.proof {
            case .simulated(let setup):
                state =
                    "simulated, \(setup.nodeCount) nodes, seeds \(scenario.seeds.lowerBound)"
                    + "..\(scenario.seeds.upperBound)"
            case .elsewhere(let place): state = "elsewhere: \(place)"
            case .waiting(let reason): state = "waiting: \(reason)"
            }
            printLine("\(scenario.row)\t\(scenario.name)\t\(state)\t\(scenario.shows)")
        }
    }

    private func report(_ failed: SimulateCampaign.Finished, _ campaign: SimulateCampaign) throws {
        let failure = failed.outcome.failure!
        for line in failed.outcome.lastEvents { printLine("  \(line)") }
        printLine("seed \(failed.job.seed) FAILED: \(failure)")
        var repetition = failed.job.command
        if failed.job.faults != nil { repetition += " --faults '\(faults ?? "")'" }
        if shrink, let found = SimulationTool.shrink(failed.job, failed.outcome) {
            printLine(
                "of \(failed.outcome.injectedFaults.faults.count) faults these are enough "
                    + "(found in \(found.runCount) runs); give them with --faults:")
            printLine(found.faults.text)
        }
        throw CommandFailure(
            message: "seed \(failed.job.seed) failed: \(failure); repeat it with: \(repetition)")
    }
}
