import ArgumentParser

/// `holdfast dev`: a whole cluster on this machine, to try things out.
struct DevCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev", abstract: "Starts a cluster on this machine: every node a process of its own.",
        discussion: """
            Runs until Ctrl-C, which stops all nodes cleanly. A second start finds the data again. A node \
            that is killed is started again after three seconds, so that you can watch the others go on.
            """)

    @Option(help: "Where the nodes keep their data and their logs.")
    var dataDir = "./holdfast-dev"

    @Option(help: "The first node's client port. The others' follow at +20000, +30000, ...; peers at +1.")
    var basePort = 2_379

    @Option(help: "How many nodes: 1, 3 or 5.")
    var nodes = 3

    @Option(help: "How many of them, the last ones, are witnesses: they vote and keep no data.")
    var witnesses = 0

    @Option(help: "What the nodes write to their logs: trace, debug, info, notice, warn, error, critical.")
    var logLevel = "info"

    func run() throws {
        guard [1, 3, 5].contains(nodes) else {
            throw CommandFailure(message: "--nodes must be 1, 3 or 5, not \(nodes)", exitCode: 64)
        }
        guard (0...nodes / 2).contains(witnesses) else {
            throw CommandFailure(
                message: "--witnesses must be from 0 to \(nodes / 2) with --nodes \(nodes), not \(witnesses)",
                exitCode: 64)
        }
        let highest = DevCluster.clientPort(of: nodes - 1, basePort: basePort) + 1
        guard basePort >= 1, highest <= 65_535 else {
            throw CommandFailure(
                message: "--base-port \(basePort) would need port \(highest) for node \(nodes); "
                    + "choose one from 1 to \(basePort - highest + 65_535)", exitCode: 64)
        }
        try DevCluster(
            directory: dataDir, basePort: basePort, nodeCount: nodes, witnessCount: witnesses,
            logLevel: logLevel
        ).run()
    }
}
