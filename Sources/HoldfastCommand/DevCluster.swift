#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The nodes of `holdfast dev`: starts them, watches them and stops them, on one thread.
final class DevCluster {
    private static let restartDelayNanoseconds: UInt64 = 3_000_000_000
    private static let startTimeoutNanoseconds: UInt64 = 60_000_000_000
    private static let stopTimeoutNanoseconds: UInt64 = 10_000_000_000

    private let directory: String
    private let basePort: Int
    private var nodes: [DevNode]
    private var leader: (name: String, term: Int)?

    init(directory: String, basePort: Int, nodeCount: Int, witnessCount: Int, logLevel: String) {
        self.directory = directory
        self.basePort = basePort
        let ports = (0..<nodeCount).map { DevCluster.clientPort(of: $0, basePort: basePort) }
        let cluster = ports.enumerated()
            .map { "n\($0.offset + 1)=http://127.0.0.1:\($0.element + 1)" }
            .joined(separator: ",")
        let witnesses = (nodeCount - witnessCount..<nodeCount).map { "n\($0 + 1)" }.joined(separator: ",")
        nodes = ports.enumerated().map { position, port in
            DevNode(
                name: "n\(position + 1)", clientPort: port, directory: directory, initialCluster: cluster,
                witnesses: witnesses.isEmpty ? nil : witnesses, logLevel: logLevel)
        }
    }

    /// 2379, 22379, 32379, ...: the ports that etcd's own examples use.
    static func clientPort(of position: Int, basePort: Int) -> Int {
        position == 0 ? basePort : basePort + 10_000 * (position + 1)
    }

    func run() throws {
        TerminationSignals.block()
        guard mkdir(directory, 0o755) == 0 || errno == EEXIST else {
            throw CommandFailure(
                message: "cannot create \(directory): \(errorText(errno)); choose another with --data-dir")
        }
        try checkPorts()
        do {
            for position in nodes.indices {
                try nodes[position].start()
            }
            try waitUntilHealthy()
            printWelcome()
            try watch()
        } catch {
            stopAll()
            throw error
        }
        printLine("stopping")
        stopAll()
        printLine("stopped; the data is in \(directory)")
    }

    private func checkPorts() throws {
        for node in nodes {
            for port in [node.clientPort, node.peerPort] where !LoopbackPort.isFree(port) {
                throw CommandFailure(
                    message: "port \(port) is in use; stop the process that uses it or choose other ports "
                        + "with --base-port")
            }
        }
    }

    private func waitUntilHealthy() throws {
        let deadline = monotonicNanoseconds() + DevCluster.startTimeoutNanoseconds
        while monotonicNanoseconds() < deadline {
            for position in nodes.indices {
                if let status = nodes[position].exitStatus() {
                    throw CommandFailure(
                        message: "node \(nodes[position].name) did not start: "
                            + (nodes[position].lastLogLine ?? status))
                }
            }
            if nodes.allSatisfy({ LoopbackProbe.isHealthy(port: $0.clientPort) }) { return }
            if TerminationSignals.wait(milliseconds: 50) {
                throw CommandFailure(message: "interrupted before the cluster was healthy")
            }
        }
        throw CommandFailure(
            message: "the cluster was not healthy after 60 s; the nodes' logs are in \(directory)")
    }

    private func printWelcome() {
        printLine("Holdfast \(HoldfastVersion.text): \(nodes.count) nodes are up, data under \(directory)")
        for node in nodes {
            printLine(
                "  \(node.name)  http://127.0.0.1:\(node.clientPort)  pid \(node.processID)"
                    + (node.isWitness ? "  (witness: no data)" : ""))
        }
        let endpoints = nodes.filter { !$0.isWitness }.map { "127.0.0.1:\($0.clientPort)" }.joined(
            separator: ",")
        printLine("Try:")
        printLine("  etcdctl --endpoints=\(endpoints) put greeting hello")
        printLine("  etcdctl --endpoints=\(endpoints) get greeting")
        let victim = nodes.first { LoopbackProbe.termIfLeader(port: $0.clientPort) != nil } ?? nodes[0]
        printLine("  kill -9 \(victim.processID)   # \(victim.name), the leader; then read again")
        printLine("Ctrl-C stops the cluster.")
    }

    /// Shows what happens until the user wants to stop.
    private func watch() throws {
        while !TerminationSignals.wait(milliseconds: 100) {
            for position in nodes.indices {
                try watch(&nodes[position])
            }
            showLeader()
        }
    }

    private func watch(_ node: inout DevNode) throws {
        if let status = node.exitStatus() {
            let line = node.wasKilled ? status : node.lastLogLine ?? status
            printLine("\(node.name) ended (\(line)); starting it again in 3 s")
            node.restartAt = monotonicNanoseconds() + DevCluster.restartDelayNanoseconds
        }
        if let restartAt = node.restartAt, restartAt <= monotonicNanoseconds() {
            try node.start()
            printLine("\(node.name) started again, pid \(node.processID)")
        }
    }

    private func showLeader() {
        for node in nodes where node.isRunning {
            guard let term = LoopbackProbe.termIfLeader(port: node.clientPort) else { continue }
            // A leader of an older term has not noticed yet that it was replaced.
            if let leader, leader.term >= term { continue }
            leader = (node.name, term)
            printLine("leader: \(node.name) (term \(term))")
        }
    }

    private func stopAll() {
        for node in nodes {
            node.send(SIGTERM)
        }
        let deadline = monotonicNanoseconds() + DevCluster.stopTimeoutNanoseconds
        for position in nodes.indices {
            while nodes[position].isRunning, nodes[position].exitStatus() == nil {
                if monotonicNanoseconds() > deadline {
                    nodes[position].send(SIGKILL)
                }
                usleep(5_000)
            }
        }
    }
}
