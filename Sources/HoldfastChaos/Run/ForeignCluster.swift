import ConsensusTypes
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Somebody's own cluster: only the processes that were named are touched, and only with SIGSTOP, SIGCONT and, where
/// there is a command that starts a node again, SIGKILL.
final class ForeignCluster: FaultTarget {
    let endpoints: [Endpoint]
    private let restartCommand: String?
    private let directory: String
    private let processGuard: ProcessGuard
    private let processes: Mutex<[ProcessIdentity]>

    init(
        endpoints: [Endpoint], processIDs: [Int32], restartCommand: String?, executable: String,
        directory: String
    ) throws(ChaosFailure) {
        guard endpoints.count == processIDs.count, endpoints.count >= 2 else {
            throw ChaosFailure(
                "--against names \(endpoints.count) endpoints and --pids \(processIDs.count) processes; name one "
                    + "process for each endpoint, in the same order, of at least two nodes")
        }
        var found: [ProcessIdentity] = []
        for processID in processIDs {
            guard processID != getpid(), let identity = ProcessIdentity(processID), identity.isAlive else {
                throw ChaosFailure("there is no process \(processID) that may be signalled; see --pids")
            }
            guard !found.contains(identity) else {
                throw ChaosFailure("process \(processID) is named twice in --pids")
            }
            found.append(identity)
        }
        self.endpoints = endpoints
        self.restartCommand = restartCommand
        self.directory = directory
        processGuard = try ProcessGuard(executable: executable, directory: directory)
        processes = Mutex(found)
    }

    /// The faults that can be injected into such a cluster.
    static func kinds(hasRestartCommand: Bool) -> [FaultKind] {
        hasRestartCommand ? [.kill, .pause] : [.pause]
    }

    var nodeCount: Int { endpoints.count }

    func leader() async -> Int? {
        await endpoints.leader()
    }

    private func process(_ node: Int) -> ProcessIdentity {
        processes.withLock { $0[node] }
    }

    func inject(_ fault: ScheduledFault, at node: Int, context: FaultContext) async throws(ChaosFailure) {
        let process = process(node)
        guard process.isAlive else {
            context.log.skip(fault.kind)
            return
        }
        switch fault.kind {
        case .pause:
            let number = context.log.begin(.pause, nodes: [node])
            processGuard.notePaused(process)
            process.send(SIGSTOP)
            await context.wait(fault)
            process.send(SIGCONT)
            context.log.end(number)
        case .kill:
            guard let restartCommand else {
                context.log.skip(.kill)
                return
            }
            let number = context.log.begin(.kill, nodes: [node])
            process.send(SIGKILL)
            await context.wait(fault)
            try await restart(node, restartCommand)
            context.log.end(number)
        default:
            context.log.skip(fault.kind)
        }
    }

    /// The command says the new process's id in its last line.
    private func restart(_ node: Int, _ command: String) async throws(ChaosFailure) {
        let text = ForeignCluster.command(command, node)
        let output = "\(directory)/restart-\(node)-\(ChaosClock.now().nanoseconds).log"
        try await ChildProcess.run("/bin/sh", ["-c", text], outputPath: output, milliseconds: 60_000)
        let words = (TextFile.read(output) ?? "").split(whereSeparator: \.isWhitespace)
        guard let processID = words.last.flatMap({ Int32($0) }), let identity = ProcessIdentity(processID)
        else {
            throw ChaosFailure(
                "the command '\(text)' did not print the id of the process that it started as its last word")
        }
        processes.withLock { $0[node] = identity }
    }

    /// The command for one node: `{index}` stands for its place in the lists, from 1 on.
    static func command(_ template: String, _ node: Int) -> String {
        var result = ""
        var rest = template[...]
        while let character = rest.first {
            if rest.hasPrefix("{index}") {
                result += "\(node + 1)"
                rest = rest.dropFirst("{index}".count)
            } else {
                result.append(character)
                rest = rest.dropFirst()
            }
        }
        return result
    }

    func restartFallen() async throws(ChaosFailure) -> [String] { [] }

    /// Lets everything go on.
    func release() async {
        for process in processes.withLock({ $0 }) { process.send(SIGCONT) }
        await processGuard.dismiss()
    }
}
