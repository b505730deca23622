import Foundation
import HoldfastChaos
import Testing
import TestSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ProcessTests {
    /// Starts that cannot go well: one line that says what to do, and exit code 1 or 64.
    @Suite struct StartOptionsTests {
        private func expectOneLine(
            _ result: (ending: ChildProcess.Ending, output: String, errors: String), code: Int32,
            naming texts: [String], _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let lines = result.errors.split(separator: "\n").filter { $0.hasPrefix("holdfast: ") }
            #expect(result.ending == .code(code), "\(arguments): \(result)", sourceLocation: sourceLocation)
            #expect(lines.count == 1, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
            if code == 64 {
                #expect(
                    result.errors.count { $0 == "\n" } == 1 && result.output.isEmpty,
                    "\(arguments): \(result)", sourceLocation: sourceLocation)
            }
            for text in texts {
                #expect(
                    lines.first?.contains(text) == true, "\(arguments): no '\(text)' in \(result.errors)",
                    sourceLocation: sourceLocation)
            }
        }

        @Test(
            .timeLimit(.minutes(1)),
            arguments: [
                (["nonsense"], "nonsense"),
                (["serve", "--nonsense"], "--nonsense"),
                (["serve", "--name"], "--name"),
                (["serve", "--listen-client-urls", "ftp://127.0.0.1:1"], "--listen-client-urls"),
                (["serve", "--listen-client-urls", "https://127.0.0.1:1"], "--cert-file"),
                (["serve", "--cert-file", "c", "--key-file", "k"], "https://"),
                (["serve", "--client-cert-auth"], "https://"),
                (
                    [
                        "serve", "--listen-client-urls", "https://127.0.0.1:1", "--cert-file", "c",
                        "--key-file",
                        "k", "--client-cert-auth",
                    ], "--trusted-ca-file"
                ),
                (["serve", "--listen-peer-urls", "https://127.0.0.1:1"], "both http:// and https://"),
                (
                    [
                        "serve", "--listen-peer-urls", "https://127.0.0.1:1",
                        "--initial-advertise-peer-urls", "https://127.0.0.1:1", "--peer-cert-file", "c",
                    ], "--peer-trusted-ca-file"
                ),
                (["serve", "--peer-cert-file", "c"], "https://"),
                (["serve", "--listen-client-urls", "http://127.0.0.1"], "port"),
                (["serve", "--listen-client-urls", "http://127.0.0.1:99999"], "99999"),
                (["serve", "--listen-client-urls", ""], "--listen-client-urls"),
                (["serve", "--listen-peer-urls", ""], "--listen-peer-urls"),
                (["serve", "--advertise-client-urls", ""], "--advertise-client-urls"),
                (["serve", "--name", "a", "--initial-cluster", "b=http://127.0.0.1:1"], "--initial-cluster"),
                (["serve", "--initial-cluster", "nothing"], "--initial-cluster"),
                (
                    ["serve", "--initial-cluster", "default=http://127.0.0.1:1"],
                    "--initial-advertise-peer-urls"
                ),
                (["serve", "--initial-cluster-state", "maybe"], "--initial-cluster-state"),
                (["serve", "--heartbeat-interval", "0"], "--heartbeat-interval"),
                (["serve", "--election-timeout", "5"], "--election-timeout"),
                (["serve", "--snapshot-count", "0"], "--snapshot-count"),
                (["serve", "--quota-backend-bytes", "-1"], "--quota-backend-bytes"),
                (["serve", "--quota-backend-bytes", "much"], "--quota-backend-bytes"),
                (["serve", "--max-request-bytes", "99999999999"], "--max-request-bytes"),
                (["serve", "--log-level", "loud"], "--log-level"),
                (["serve", "--initial-cluster-witnesses", "n9"], "n9"),
                (["serve", "--initial-cluster-witnesses", "default"], "at most 0"),
                (["dev", "--witnesses", "2"], "--witnesses"),
                (["dev", "--nodes", "2"], "--nodes"),
                (["dev", "--base-port", "70000"], "--base-port"),
                (["dev", "--base-port", "0"], "--base-port"),
                (["simulate", "--steps", "0"], "--steps"),
            ] as [([String], String)])
        func wrongOptions(arguments: [String], text: String) async throws {
            let directory = try TemporaryDirectory()
            var complete = arguments
            if arguments[0] == "serve" || arguments[0] == "dev" {
                complete.insert(contentsOf: ["--data-dir", directory.path + "/data"], at: 1)
            }
            let result = try await ChildProcess.run(
                Programs.holdfast.get(), complete, in: directory, within: .seconds(20))
            expectOneLine(result, code: 64, naming: [text], arguments)
            #expect(!FileManager.default.fileExists(atPath: directory.path + "/data"))
        }

        /// Data of another cluster or name, and data that is in use.
        @Test(.timeLimit(.minutes(1))) func foreignAndLockedDirectories() async throws {
            try await TestCluster.run(size: 1) { cluster in
                let node = cluster.nodes[0]
                let running = try #require(node.running)
                // On other ports, so that only the directory is in the way.
                let other = TestNode(
                    name: "n1", clientPort: try FreePorts.take(), peerPort: try FreePorts.take(),
                    directory: cluster.directory.path)
                let initialCluster = "n1=\(other.peerURL)"
                let locked = other.arguments(initialCluster: initialCluster, options: [])
                expectOneLine(
                    try await run(locked, cluster), code: 1,
                    naming: [node.dataDirectory, "in use by another process", "\(running.processID)"], locked)
                #expect(await node.isHealthy())

                #expect(try await node.stop() == .code(0))
                let token = cluster.arguments(of: node) + ["--initial-cluster-token", "another"]
                expectOneLine(
                    try await run(token, cluster), code: 1,
                    naming: [node.dataDirectory + "/IDENTITY", "says node"], token)
                let address = locked
                expectOneLine(
                    try await run(address, cluster), code: 1, naming: [node.dataDirectory + "/IDENTITY"],
                    address)
                var name = cluster.arguments(of: node)
                name[2] = "n2"
                name[name.firstIndex(of: cluster.initialCluster)!] = "n2=\(node.peerURL)"
                expectOneLine(
                    try await run(name, cluster), code: 1,
                    naming: [node.dataDirectory + "/IDENTITY", "name", "n1", "n2"], name)
                // None of that did any harm.
                try cluster.start(node)
                try await node.waitUntilHealthy()
            }
        }

        @Test(.timeLimit(.minutes(1))) func portsInUse() async throws {
            try await TestCluster.run(size: 1) { cluster in
                let taken = cluster.nodes[0]
                func node(_ clientPort: Int, _ peerPort: Int) throws -> [String] {
                    let node = TestNode(
                        name: "other\(clientPort)", clientPort: clientPort, peerPort: peerPort,
                        directory: cluster.directory.path)
                    return node.arguments(initialCluster: "\(node.name)=\(node.peerURL)", options: [])
                }
                let client = try node(taken.clientPort, FreePorts.take())
                expectOneLine(
                    try await run(client, cluster), code: 1,
                    naming: ["127.0.0.1:\(taken.clientPort)", "--listen-client-urls"], client)
                let peer = try node(FreePorts.take(), taken.peerPort)
                expectOneLine(
                    try await run(peer, cluster), code: 1,
                    naming: ["127.0.0.1:\(taken.peerPort)", "--listen-peer-urls"], peer)
                let dev = [
                    "dev", "--base-port", "\(taken.clientPort)", "--data-dir",
                    cluster.directory.path + "/dev",
                ]
                expectOneLine(
                    try await run(dev, cluster), code: 1,
                    naming: ["port \(taken.clientPort)", "--base-port"], dev)
                #expect(await taken.isHealthy())
            }
        }

        private func run(
            _ arguments: [String], _ cluster: TestCluster
        ) async throws -> (ending: ChildProcess.Ending, output: String, errors: String) {
            try await ChildProcess.run(
                Programs.holdfast.get(), arguments, in: cluster.directory, within: .seconds(20))
        }
    }
}
