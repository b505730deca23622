import Foundation
import HoldfastChaos
import TestSupport
import Testing

extension ProcessTests {
    /// `holdfast serve` with TLS between nodes and to clients, used by etcd's own command line.
    @Suite struct SecuredClusterTests {
        /// Nodes that reach each other and are reached at `https://`.
        private final class Cluster: Sendable {
            let directory: TemporaryDirectory
            let authority: TestAuthority
            let nodes: [TestNode]
            private let options: [String]

            /// - Parameter options: flags more, for each node.
            init(size: Int, options: (TestAuthority) -> [String]) throws {
                let directory = try TemporaryDirectory()
                let authority = try TestAuthority()
                self.directory = directory
                self.authority = authority
                self.options = options(authority)
                nodes = try (1...size).map { number in
                    try authority.issue("n\(number)")
                    return TestNode(
                        name: "n\(number)", clientPort: try FreePorts.take(), peerPort: try FreePorts.take(),
                        directory: directory.path)
                }
            }

            func start(_ node: TestNode) throws {
                let peers = nodes.map { "\($0.name)=https://127.0.0.1:\($0.peerPort)" }.joined(separator: ",")
                let own = "https://127.0.0.1:\(node.peerPort)"
                let base = authority.directory + "/" + node.name
                try node.start(
                    [
                        "serve", "--name", node.name, "--data-dir", node.dataDirectory,
                        "--listen-client-urls", "https://127.0.0.1:\(node.clientPort)",
                        "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
                        "--initial-cluster", peers, "--exit-with-parent",
                        "--peer-cert-file", base + ".pem", "--peer-key-file", base + ".key",
                        "--peer-trusted-ca-file", authority.trustFile, "--peer-client-cert-auth",
                        "--cert-file", base + ".pem", "--key-file", base + ".key",
                    ] + options)
            }

            /// Runs etcdctl against some nodes.
            func etcdctl(
                _ arguments: [String], _ nodes: [TestNode], scheme: String = "https"
            ) async throws -> (ending: ChildProcess.Ending, output: String, errors: String) {
                let endpoints = nodes.map { "\(scheme)://127.0.0.1:\($0.clientPort)" }
                return try await ChildProcess.run(
                    Programs.etcdctl ?? "",
                    [
                        "--endpoints", endpoints.joined(separator: ","), "--dial-timeout=2s",
                        "--command-timeout=4s",
                    ]
                        + arguments,
                    in: directory, environment: ["ETCDCTL_API": "3"])
            }

            func waitUntilHealthy(_ flags: [String]) async throws {
                for node in nodes {
                    let problem = "\(node.name) is not healthy; its log ends: \(node.lastLogLines)"
                    _ = try await waitFor(problem, within: .seconds(30)) {
                        if let ending = node.running?.ending {
                            throw TestFailure("\(node.name) ended: \(ending): \(node.lastLogLines)")
                        }
                        return try await etcdctl(flags + ["get", "health"], [node]).ending == .code(0)
                            ? true : nil
                    }
                }
            }

            func end() {
                for node in nodes { node.kill() }
            }
        }

        private static let isRunnable = Programs.etcdctl != nil

        @Test(
            .enabled(if: isRunnable, "etcdctl is not installed: apt-get install etcd-client"),
            .timeLimit(.minutes(3)))
        func bothSidesHaveCertificates() async throws {
            let cluster = try Cluster(size: 3) {
                ["--client-cert-auth=true", "--trusted-ca-file", $0.trustFile]
            }
            defer { cluster.end() }
            for node in cluster.nodes { try cluster.start(node) }
            let client = try cluster.authority.issue("client")
            let trust = ["--cacert", cluster.authority.trustFile]
            let flags = trust + ["--cert", client.certificateFile, "--key", client.keyFile]
            try await cluster.waitUntilHealthy(flags)

            let put = try await cluster.etcdctl(flags + ["put", "k", "v"], [cluster.nodes[0]])
            #expect(put.output == "OK\n", "\(put)")
            for node in cluster.nodes {
                let get = try await cluster.etcdctl(flags + ["get", "k"], [node])
                #expect(get.output == "k\nv\n", "\(get)")
            }
            let members = try await cluster.etcdctl(flags + ["member", "list"], [cluster.nodes[0]])
            for node in cluster.nodes {
                #expect(members.output.contains("https://127.0.0.1:\(node.peerPort)"), "\(members)")
                #expect(members.output.contains("https://127.0.0.1:\(node.clientPort)"), "\(members)")
            }

            // Who may not.
            let node = cluster.nodes[0]
            let other = try TestAuthority(named: "Another Authority")
            let stranger = try other.issue("client")
            let refused = [
                trust,
                ["--cacert", other.trustFile, "--cert", client.certificateFile, "--key", client.keyFile],
                trust + ["--cert", stranger.certificateFile, "--key", stranger.keyFile],
            ]
            for flags in refused {
                let get = try await cluster.etcdctl(flags + ["get", "k"], [node])
                #expect(get.ending != .code(0) && !get.output.contains("v"), "\(flags): \(get)")
            }
            let plain = try await cluster.etcdctl(["get", "k"], [node], scheme: "http")
            #expect(plain.ending != .code(0) && !plain.output.contains("v"), "\(plain)")
            for text in [
                "the other side gave no certificate",
                "no authority in \(cluster.authority.trustFile) vouches",
                "the other side speaks plaintext",
            ] {
                #expect(node.log.contains(text), "no '\(text)' in \(node.log)")
            }

            // A node that was killed comes back under TLS.
            cluster.nodes[1].kill()
            let without = try await cluster.etcdctl(
                flags + ["put", "k", "w"], [cluster.nodes[0], cluster.nodes[2]])
            #expect(without.output == "OK\n", "\(without)")
            try cluster.start(cluster.nodes[1])
            try await cluster.waitUntilHealthy(flags)
            let get = try await cluster.etcdctl(flags + ["get", "k"], [cluster.nodes[1]])
            #expect(get.output == "k\nw\n", "\(get)")
        }

        @Test(
            .enabled(if: isRunnable, "etcdctl is not installed: apt-get install etcd-client"),
            .timeLimit(.minutes(2)))
        func clientsWithoutCertificates() async throws {
            let cluster = try Cluster(size: 1) { _ in [] }
            defer { cluster.end() }
            try cluster.start(cluster.nodes[0])
            let trust = ["--cacert", cluster.authority.trustFile]
            try await cluster.waitUntilHealthy(trust)
            let put = try await cluster.etcdctl(trust + ["put", "k", "v"], cluster.nodes)
            #expect(put.output == "OK\n", "\(put)")
            let other = try TestAuthority(named: "Another Authority")
            let get = try await cluster.etcdctl(["--cacert", other.trustFile, "get", "k"], cluster.nodes)
            #expect(get.ending != .code(0) && !get.output.contains("v"), "\(get)")
        }

        /// One line that names file and remedy, and nothing is made on disk.
        @Test(.timeLimit(.minutes(1)), arguments: ["missing", "expired", "key", "peers"])
        func unusableFiles(what: String) async throws {
            let directory = try TemporaryDirectory()
            let authority = try TestAuthority()
            var identity = try authority.issue("node")
            var trust = authority.trustFile
            let text: String
            switch what {
            case "missing":
                trust = authority.directory + "/missing.pem"
                text = "--trusted-ca-file: \(trust) cannot be read: No such file"
            case "expired":
                identity = try authority.issue("old", days: -1)
                text = "\(identity.certificateFile) expired on"
            case "key":
                identity = .init(
                    certificateFile: identity.certificateFile, keyFile: try authority.issue("other").keyFile)
                text = "is not that of the first certificate in \(identity.certificateFile)"
            default:
                text = "--peer-trusted-ca-file: \(directory.path)/missing.pem cannot be read"
            }
            let peerPort = try FreePorts.take()
            let peerURL = "\(what == "peers" ? "https" : "http")://127.0.0.1:\(peerPort)"
            let peerFlags = [
                "--peer-cert-file", identity.certificateFile, "--peer-key-file", identity.keyFile,
                "--peer-trusted-ca-file", directory.path + "/missing.pem",
            ]
            let result = try await ChildProcess.run(
                Programs.holdfast.get(),
                [
                    "serve", "--data-dir", directory.path + "/data",
                    "--listen-client-urls", "https://127.0.0.1:\(try FreePorts.take())",
                    "--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL,
                    "--cert-file", identity.certificateFile, "--key-file", identity.keyFile,
                    "--trusted-ca-file", trust,
                ] + (what == "peers" ? peerFlags : []), in: directory, within: .seconds(20))
            #expect(result.ending == .code(1), "\(result)")
            #expect(result.errors.count { $0 == "\n" } == 1 && result.errors.contains(text), "\(result)")
            #expect(!FileManager.default.fileExists(atPath: directory.path + "/data"))
        }

        @Test(.timeLimit(.minutes(1))) func plaintextBeyondLoopbackIsWarnedOf() async throws {
            let directory = try TemporaryDirectory()
            let node = TestNode(
                name: "n1", clientPort: try FreePorts.take(), peerPort: try FreePorts.take(),
                directory: directory.path)
            defer { node.kill() }
            // The later of two flags holds.
            let arguments = node.arguments(initialCluster: "n1=\(node.peerURL)", options: [])
            try node.start(arguments + ["--listen-client-urls", "http://0.0.0.0:\(node.clientPort)"])
            try await node.waitUntilHealthy()
            let warnings = node.log.split(separator: "\n").filter { $0.contains("in plaintext") }
            #expect(warnings.count == 1, "\(node.log)")
            #expect(warnings.first?.contains("http://0.0.0.0:\(node.clientPort) takes clients") == true)
        }
    }
}
