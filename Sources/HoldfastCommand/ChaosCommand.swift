import ArgumentParser
import HoldfastChaos

/// `holdfast chaos`: real processes under faults, judged.
struct ChaosCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos",
        abstract: "Injects faults into a real cluster and checks what its clients were told.",
        discussion: """
            Starts a cluster on this machine with a proxy on every link between its nodes, injects faults, \
            records what clients ask and are told, and judges it. Exit code 0 where all was well, 1 where \
            something was violated. Ctrl-C heals everything and judges what there is.
            """)

    @Option(help: "How many nodes: 3 or 5.")
    var nodes = 3

    @Option(help: "How long faults are injected, in minutes.")
    var minutes: Double?

    @Option(help: "How long faults are injected, in seconds. (default: 60)")
    var seconds: Double?

    @Option(help: "Of the schedule of faults. Real processes make each run different all the same.")
    var seed: UInt64 = 1

    @Option(
        help: ArgumentHelp(
            "Which faults: \(FaultKind.allCases.map(\.rawValue).joined(separator: ",")). (default: all)"))
    var faults: String?

    @Option(
        help: ArgumentHelp(
            "Measures instead how long no write succeeds when the leader is lost, so many times: kill:20,pause:20.",
            valueName: "LOSS:COUNT,..."))
    var measureFailover: String?

    @Option(help: "An empty directory for the nodes' data and logs. (default: a temporary one)")
    var dataDir: String?

    @Option(help: "The first of ten ports for each node.")
    var basePort = 23_790

    @Option(help: "How many clients put, get, delete and swap, besides probers, watches and leases.")
    var clients = 6

    @Option(help: "MiB of the disks that disk-full fills.")
    var diskSize = 64

    @Option(help: "Applied entries between two snapshots of a node.")
    var snapshotCount = 2_000

    @Option(help: "Writes what the clients did to this file.")
    var history: String?

    @Option(help: "Judges a file that --history wrote, and does nothing else.")
    var check: String?

    @Option(help: "Uses a cluster that runs already: the client addresses of its nodes, separated by commas.")
    var against: String?

    @Option(help: "With --against: the nodes' process ids, in the same order. Nothing else is signalled.")
    var pids: String?

    @Option(
        help: ArgumentHelp(
            "With --against: a shell command that starts node {index} (from 1 on) and prints its process id last. "
                + "Without it no node is killed."))
    var restartCommand: String?

    @Option(help: "With --against: what the keys of the run begin with.")
    var prefix = "holdfast-chaos/"

    @Flag(help: "With --against: yes, this cluster may be disturbed.")
    var yes = false

    @Flag(help: .hidden)
    var guardOnly = false

    func run() throws {
        if guardOnly {
            ProcessGuard.runUntilInputEnds()
            return
        }
        if let check {
            try judgeFile(check)
            return
        }
        if let against {
            let settings = try foreignSettings(against)
            try ChaosRunner.run { control in
                try await ForeignRun(settings: settings, control: control, report: printLine).run().violations
                    .count
            }
            return
        }
        let settings = try settings()
        try ChaosRunner.run { control in
            try await ChaosRun(settings: settings, control: control, report: printLine).run().violations.count
        }
    }

    private func judgeFile(_ path: String) throws {
        let history = try chaosResult { () throws(ChaosFailure) in try HistoryFile.read(path) }
        let violations = HistoryVerdict.violations(in: history)
        for violation in violations.prefix(50) { printLine("  \(violation)") }
        guard violations.isEmpty else {
            throw CommandFailure(message: "\(path): \(violations.count) violations")
        }
        printLine("\(path): \(history.records.count) operations, linearizable, nothing acknowledged is lost")
    }

    private func foreignSettings(_ against: String) throws -> ForeignRun.Settings {
        guard yes else {
            throw CommandFailure(
                message: "--against disturbs the cluster at \(against): say --yes if that is meant",
                exitCode: 64)
        }
        let endpoints = try against.split(separator: ",").map { text in
            guard let endpoint = Endpoint(String(text)) else {
                throw CommandFailure(message: "--against: '\(text)' is not host:port", exitCode: 64)
            }
            return endpoint
        }
        let processIDs = try (pids ?? "").split(separator: ",").map { text in
            guard let processID = Int32(text), processID > 1 else {
                throw CommandFailure(message: "--pids: '\(text)' is no process id", exitCode: 64)
            }
            return processID
        }
        var settings = ForeignRun.Settings(
            executable: runningExecutable, endpoints: endpoints, processIDs: processIDs)
        settings.restartCommand = restartCommand
        settings.prefix = prefix
        if let faults { settings.kinds = try kinds(faults) }
        settings.milliseconds = try milliseconds()
        settings.seed = seed
        settings.clientCount = clients
        settings.historyPath = history
        return settings
    }

    private func kinds(_ text: String) throws -> [FaultKind] {
        try chaosResult(exitCode: 64) { () throws(ChaosFailure) in try FaultKind.list(text) }
    }

    private func settings() throws -> ChaosSettings {
        guard [3, 5].contains(nodes) else {
            throw CommandFailure(message: "--nodes must be 3 or 5, not \(nodes)", exitCode: 64)
        }
        guard (1...64).contains(clients), snapshotCount >= 1, (16...65_536).contains(diskSize) else {
            throw CommandFailure(
                message:
                    "--clients must be from 1 to 64, --snapshot-count at least 1, --disk-size from 16 to 65536",
                exitCode: 64)
        }
        let highest = basePort + ClusterLayout.portsPerNode * nodes - 1
        guard basePort >= 1, highest <= 65_535 else {
            throw CommandFailure(
                message: "--base-port \(basePort) would need port \(highest); choose a lower one",
                exitCode: 64)
        }
        var settings = ChaosSettings(executable: runningExecutable)
        settings.nodeCount = nodes
        settings.basePort = basePort
        settings.directory = dataDir
        settings.milliseconds = try milliseconds()
        settings.seed = seed
        if let faults { settings.kinds = try kinds(faults) }
        if let measureFailover {
            settings.failoverPlan = try chaosResult(exitCode: 64) { () throws(ChaosFailure) in
                try FailoverMeasurement.Plan(measureFailover)
            }
        }
        settings.clientCount = clients
        settings.snapshotCount = snapshotCount
        settings.diskMebibytes = diskSize
        settings.historyPath = history
        return settings
    }

    private func milliseconds() throws -> Int {
        guard minutes == nil || seconds == nil else {
            throw CommandFailure(message: "give --minutes or --seconds, not both", exitCode: 64)
        }
        let seconds = minutes.map { $0 * 60 } ?? seconds ?? 60
        guard seconds >= 1, seconds <= 86_400 else {
            throw CommandFailure(message: "a run takes from one second to a day", exitCode: 64)
        }
        return Int(seconds * 1_000)
    }
}
