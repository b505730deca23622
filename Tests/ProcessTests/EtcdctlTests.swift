import Foundation
import HoldfastChaos
import Testing

extension ProcessTests {
    /// etcd's own command line, unmodified, against a node.
    @Suite(.enabled(if: Programs.etcdctl != nil, "etcdctl is not installed: apt-get install etcd-client"))
    struct EtcdctlTests {
        private struct Shell {
            let cluster: TestCluster

            /// Runs etcdctl; throws unless it ends well.
            func callAsFunction(_ arguments: String..., input: String? = nil) async throws -> String {
                let result = try await run(arguments, input: input)
                guard result.ending == .code(0) else {
                    throw TestFailure("etcdctl \(arguments.joined(separator: " ")): \(result)")
                }
                return result.output
            }

            /// What etcdctl says when it fails.
            func error(_ arguments: String..., input: String? = nil) async throws -> String {
                let result = try await run(arguments, input: input)
                guard result.ending != .code(0) else {
                    throw TestFailure("etcdctl \(arguments.joined(separator: " ")) did not fail: \(result)")
                }
                return result.output + result.errors
            }

            private func run(
                _ arguments: [String], input: String?
            ) async throws -> (ending: ChildProcess.Ending, output: String, errors: String) {
                try await ChildProcess.run(
                    Programs.etcdctl ?? "", arguments, input: input, in: cluster.directory,
                    environment: environment)
            }

            /// For commands that go on until they are told to stop.
            func start(_ arguments: String...) throws -> ChildProcess {
                let path = cluster.directory.path + "/etcdctl-" + UUID().uuidString
                return try ChildProcess(
                    testing: Programs.etcdctl ?? "", arguments, outputPath: path, errorPath: path + ".err",
                    environment: environment)
            }

            private var environment: [String: String] {
                let endpoints = cluster.nodes.map { "127.0.0.1:\($0.clientPort)" }.joined(separator: ",")
                return ["ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoints]
            }
        }

        private func withNodes(_ size: Int = 1, _ body: (Shell) async throws -> Void) async throws {
            try await TestCluster.run(size: size) { try await body(Shell(cluster: $0)) }
        }

        private func object(_ json: String) throws -> [String: Any] {
            try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any] ?? [:]
        }

        private func expect(
            _ actual: String, _ wanted: String, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(actual == wanted, sourceLocation: sourceLocation)
        }

        @Test(.timeLimit(.minutes(2))) func putAndGet() async throws {
            try await withNodes { etcdctl in
                // Revisions 2 to 5; a1 twice.
                expect(try await etcdctl("put", "a1", "v1"), "OK\n")
                expect(try await etcdctl("put", "a2", "v2"), "OK\n")
                expect(try await etcdctl("put", "a3", "v0"), "OK\n")
                expect(try await etcdctl("put", "--prev-kv", "a1", "w1"), "OK\na1\nv1\n")
                expect(try await etcdctl("put", "b", input: "from stdin"), "OK\n")

                expect(try await etcdctl("get", "a1"), "a1\nw1\n")
                expect(try await etcdctl("get", "missing"), "")
                expect(try await etcdctl("get", "a1", "a3"), "a1\nw1\na2\nv2\n")
                expect(try await etcdctl("get", "a", "--prefix"), "a1\nw1\na2\nv2\na3\nv0\n")
                expect(try await etcdctl("get", "a3", "--from-key"), "a3\nv0\nb\nfrom stdin\n")
                expect(try await etcdctl("get", "--prefix", ""), "a1\nw1\na2\nv2\na3\nv0\nb\nfrom stdin\n")
                expect(try await etcdctl("get", "a1", "--rev=2"), "a1\nv1\n")
                expect(try await etcdctl("get", "a", "--prefix", "--rev=3"), "a1\nv1\na2\nv2\n")
                expect(try await etcdctl("get", "a", "--prefix", "--limit=2"), "a1\nw1\na2\nv2\n")
                expect(try await etcdctl("get", "a", "--prefix", "--keys-only"), "a1\n\na2\n\na3\n\n")
                expect(try await etcdctl("get", "a", "--prefix", "--print-value-only"), "w1\nv2\nv0\n")
                expect(try await etcdctl("get", "a1", "--consistency=s"), "a1\nw1\n")
                if try await etcdctl("get", "--help").contains("--count-only") {
                    let counted = try await etcdctl("get", "a", "--prefix", "--count-only", "-w", "fields")
                    #expect(counted.contains("\"Count\" : 3"))
                }
                #expect(try await etcdctl.error("get", "").contains("etcdserver: key is not provided"))
                #expect(try await etcdctl.error("put", "", "x").contains("etcdserver: key is not provided"))
                #expect(
                    try await etcdctl.error("get", "a1", "--rev=99")
                        .contains("etcdserver: mvcc: required revision is a future revision"))
            }
        }

        @Test(.timeLimit(.minutes(2))) func sortedGet() async throws {
            try await withNodes { etcdctl in
                for (key, value) in [("s1", "c"), ("s2", "a"), ("s3", "b"), ("s1", "d")] {
                    _ = try await etcdctl("put", key, value)
                }
                func keys(_ target: String, _ order: String) async throws -> String {
                    try await etcdctl(
                        "get", "s", "--prefix", "--keys-only", "--sort-by=\(target)", "--order=\(order)"
                    )
                    .split(separator: "\n").joined(separator: " ")
                }
                #expect(try await keys("KEY", "ASCEND") == "s1 s2 s3")
                #expect(try await keys("KEY", "DESCEND") == "s3 s2 s1")
                #expect(try await keys("CREATE", "DESCEND") == "s3 s2 s1")
                #expect(try await keys("MODIFY", "ASCEND") == "s2 s3 s1")
                #expect(try await keys("MODIFY", "DESCEND") == "s1 s3 s2")
                #expect(try await keys("VALUE", "ASCEND") == "s2 s3 s1")
                #expect(try await keys("VERSION", "DESCEND").hasPrefix("s1"))
                let limited = try await etcdctl(
                    "get", "s", "--prefix", "--limit=1", "--sort-by=MODIFY", "--order=DESCEND")
                expect(limited, "s1\nd\n")
            }
        }

        @Test(.timeLimit(.minutes(2))) func json() async throws {
            try await withNodes { etcdctl in
                _ = try await etcdctl("put", "k", "v")
                _ = try await etcdctl("put", "k", "w")
                let answer = try object(try await etcdctl("get", "k", "-w", "json"))
                #expect(answer["count"] as? Int == 1)
                let header = try #require(answer["header"] as? [String: Any])
                #expect(header["revision"] as? Int == 3)
                #expect(
                    header["cluster_id"] != nil && header["member_id"] != nil && header["raft_term"] != nil)
                let pair = try #require((answer["kvs"] as? [[String: Any]])?.first)
                #expect(pair["key"] as? String == "aw==")
                #expect(pair["value"] as? String == "dw==")
                #expect(pair["create_revision"] as? Int == 2)
                #expect(pair["mod_revision"] as? Int == 3)
                #expect(pair["version"] as? Int == 2)
            }
        }

        @Test(.timeLimit(.minutes(2))) func delete() async throws {
            try await withNodes { etcdctl in
                for key in ["a", "a1", "a2", "b", "c"] { _ = try await etcdctl("put", key, "of \(key)") }
                expect(try await etcdctl("del", "nothing"), "0\n")
                expect(try await etcdctl("del", "a", "--prev-kv"), "1\na\nof a\n")
                expect(try await etcdctl("del", "a", "--prefix", "--prev-kv"), "2\na1\nof a1\na2\nof a2\n")
                expect(try await etcdctl("del", "b", "--from-key"), "2\n")
                expect(try await etcdctl("get", "--prefix", ""), "")
            }
        }

        @Test(.timeLimit(.minutes(2))) func transactions() async throws {
            try await withNodes { etcdctl in
                _ = try await etcdctl("put", "k", "v")
                let script = "mod(\"k\") > \"0\"\nvalue(\"k\") = \"v\"\n\nput k changed\nget k\n\ndel k\n\n"
                expect(try await etcdctl("txn", input: script), "SUCCESS\n\nOK\n\nk\nchanged\n")
                expect(try await etcdctl("txn", input: script), "FAILURE\n\n1\n")
                let asked = try await etcdctl(
                    "txn", "--interactive", input: "ver(\"k\") = \"0\"\n\nput k new\n\n\n")
                #expect(asked.contains("compares:") && asked.hasSuffix("SUCCESS\n\nOK\n"))
                #expect(
                    try await etcdctl.error("txn", input: "\nput d 1\nput d 2\n\n\n")
                        .contains("etcdserver: duplicate key given in txn request"))
                expect(try await etcdctl("get", "k", "--print-value-only"), "new\n")
            }
        }

        @Test(.timeLimit(.minutes(2))) func watch() async throws {
            try await withNodes { etcdctl in
                for (key, value) in [("w1", "a"), ("w2", "b"), ("w1", "c")] {
                    _ = try await etcdctl("put", key, value)
                }
                let one = try etcdctl.start("watch", "w1", "--rev=2", "--prev-kv")
                let all = try etcdctl.start("watch", "w", "--prefix", "--rev=3")
                let new = try etcdctl.start("watch", "w3")
                let history = "PUT\n\n\nw1\na\nPUT\nw1\na\nw1\nc\n"
                _ = try await waitFor("no history: \(one.output)", within: .seconds(10)) {
                    one.output.contains("c\n") && all.output.contains("c\n") ? true : nil
                }
                _ = try await waitFor("the watch of a new key sees nothing", within: .seconds(10)) {
                    _ = try await etcdctl("put", "w3", "new")
                    return new.output.hasPrefix("PUT\nw3\nnew\n") ? true : nil
                }
                _ = try await etcdctl("del", "w1")
                _ = try await waitFor("no deletion: \(one.output)", within: .seconds(10)) {
                    one.output.contains("DELETE") && all.output.contains("DELETE\nw1\n") ? true : nil
                }
                let lines = one.output.split(separator: "\n")
                #expect(
                    lines == ["PUT", "w1", "a", "PUT", "w1", "a", "w1", "c", "DELETE", "w1", "c", "w1"],
                    "\(history)")
                #expect(all.output.hasPrefix("PUT\nw2\nb\nPUT\nw1\nc\nPUT\nw3\nnew\n"))
                for process in [one, all, new] { process.killAndWait() }
            }
        }

        @Test(.timeLimit(.minutes(2))) func leases() async throws {
            try await withNodes { etcdctl in
                let granted = try await etcdctl("lease", "grant", "100")
                #expect(granted.hasSuffix(" granted with TTL(100s)\n"))
                let lease = String(granted.split(separator: " ")[1])
                expect(try await etcdctl("lease", "list"), "found 1 leases\n\(lease)\n")
                expect(try await etcdctl("put", "--lease=\(lease)", "on", "lease"), "OK\n")
                let alive = try await etcdctl("lease", "timetolive", lease, "--keys")
                #expect(alive.hasPrefix("lease \(lease) granted with TTL(100s), remaining("))
                #expect(alive.hasSuffix("), attached keys([on])\n"))
                expect(
                    try await etcdctl("lease", "keep-alive", "--once", lease),
                    "lease \(lease) keepalived with TTL(100)\n")
                try await keepAliveUntilRevoked(etcdctl)
                expect(try await etcdctl("lease", "revoke", lease), "lease \(lease) revoked\n")
                expect(try await etcdctl("get", "on"), "")
                expect(try await etcdctl("lease", "timetolive", lease), "lease \(lease) already expired\n")
                expect(try await etcdctl("lease", "list"), "found 0 leases\n")
                let missing = "etcdserver: requested lease not found"
                #expect(try await etcdctl.error("lease", "revoke", lease).contains(missing))
                #expect(try await etcdctl.error("lease", "keep-alive", "--once", lease).contains(missing))
                #expect(try await etcdctl.error("put", "--lease=\(lease)", "k", "v").contains(missing))
                #expect(
                    try await etcdctl.error("lease", "grant", "99999999999")
                        .contains("etcdserver: too large lease TTL"))
            }
        }

        /// A short lease, because clients renew after a third of it and see only then that it is gone.
        private func keepAliveUntilRevoked(_ etcdctl: Shell) async throws {
            let lease = String(try await etcdctl("lease", "grant", "3").split(separator: " ")[1])
            let keeping = try etcdctl.start("lease", "keep-alive", lease)
            _ = try await waitFor("no keep-alive", within: .seconds(10)) {
                keeping.output.components(separatedBy: "keepalived with TTL(3)").count > 3 ? true : nil
            }
            expect(try await etcdctl("lease", "revoke", lease), "lease \(lease) revoked\n")
            _ = try await keeping.waitForEnd(within: .seconds(20))
            #expect(keeping.output.contains("expired or revoked"), "\(keeping.output)")
        }

        /// A lease that nobody keeps alive takes its keys with it.
        @Test(.timeLimit(.minutes(2))) func leaseExpiry() async throws {
            try await withNodes(3) { etcdctl in
                let lease = String(try await etcdctl("lease", "grant", "2").split(separator: " ")[1])
                _ = try await etcdctl("put", "--lease=\(lease)", "short", "lived")
                expect(try await etcdctl("get", "short", "--print-value-only"), "lived\n")
                _ = try await waitFor(
                    "the lease does not expire", within: .seconds(20), every: .milliseconds(200)
                ) {
                    try await etcdctl("get", "short").isEmpty ? true : nil
                }
                expect(try await etcdctl("lease", "timetolive", lease), "lease \(lease) already expired\n")
            }
        }

        @Test(.timeLimit(.minutes(2))) func compaction() async throws {
            try await withNodes { etcdctl in
                for value in ["a", "b", "c", "d"] { _ = try await etcdctl("put", "k", value) }
                expect(try await etcdctl("compaction", "4"), "compacted revision 4\n")
                let compacted = "etcdserver: mvcc: required revision has been compacted"
                #expect(try await etcdctl.error("get", "k", "--rev=3").contains(compacted))
                #expect(try await etcdctl.error("compaction", "4").contains(compacted))
                #expect(try await etcdctl.error("watch", "k", "--rev=2").contains(compacted))
                #expect(
                    try await etcdctl.error("compaction", "99")
                        .contains("etcdserver: mvcc: required revision is a future revision"))
                expect(try await etcdctl("get", "k", "--rev=4", "--print-value-only"), "c\n")
                expect(try await etcdctl("compaction", "--physical", "5"), "compacted revision 5\n")
            }
        }

        @Test(.timeLimit(.minutes(2))) func membersAndEndpoints() async throws {
            try await withNodes(3) { etcdctl in
                let nodes = etcdctl.cluster.nodes
                // Nodes tell each other their client addresses when they connect. Any of them may be asked below.
                for node in nodes {
                    _ = try await waitFor("client addresses are missing", within: .seconds(10)) {
                        try await node.members().allSatisfy { !$0.clientUrls.isEmpty } ? true : nil
                    }
                }
                let members = try await etcdctl("member", "list")
                for node in nodes {
                    #expect(
                        members.contains(
                            ", started, \(node.name), \(node.peerURL), "
                                + "http://127.0.0.1:\(node.clientPort), false\n"))
                }
                let listed = try object(try await etcdctl("member", "list", "-w", "json"))
                #expect((listed["members"] as? [Any])?.count == 3)
                _ = try await etcdctl("put", "k", "v")
                let text = try await etcdctl("endpoint", "status", "-w", "json")
                let states = try #require(
                    try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
                #expect(states.count == 3)
                let leaders = Set(
                    states.compactMap { ($0["Status"] as? [String: Any])?["leader"] as? UInt64 })
                #expect(leaders.count == 1)
                _ = try await etcdctl.cluster.waitUntilLevel()
                for scope in ["--cluster", "--cluster=false"] {
                    let hashes = try await etcdctl("endpoint", "hashkv", scope).split(separator: "\n")
                    #expect(hashes.count == 3)
                    #expect(Set(hashes.map { $0.split(separator: " ").last }).count == 1)
                }
                let simple = try await etcdctl("endpoint", "status")
                #expect(simple.split(separator: "\n").count { $0.contains(", true, false, ") } == 1)
                let health = try await etcdctl("endpoint", "health", "-w", "json")
                #expect(health.components(separatedBy: "\"health\":true").count == 4, "\(health)")
            }
        }

        @Test(.timeLimit(.minutes(2))) func locksAndElections() async throws {
            try await withNodes(3) { etcdctl in
                expect(try await etcdctl("lock", "name", "echo", "locked"), "locked\n")
                let holder = try etcdctl.start("lock", "held")
                _ = try await waitFor("the lock is not taken", within: .seconds(10)) {
                    holder.output.hasPrefix("held/") ? true : nil
                }
                let waiting = try etcdctl.start("lock", "held", "echo", "second")
                let first = try etcdctl.start("elect", "post", "one")
                _ = try await waitFor("nobody is elected", within: .seconds(10)) {
                    first.output.contains("one\n") ? true : nil
                }
                let second = try etcdctl.start("elect", "post", "two")
                _ = try await waitFor("the second does not stand for election", within: .seconds(10)) {
                    try await etcdctl("get", "post/", "--prefix", "--keys-only").split(separator: "\n").count
                        == 2
                        ? true : nil
                }
                #expect(waiting.output.isEmpty && second.output.isEmpty)
                // Resigning and unlocking let the next one in.
                holder.send(2)
                first.send(2)
                let ending = try await waiting.waitForEnd()
                #expect(ending == .code(0))
                #expect(waiting.output == "second\n")
                _ = try await waitFor("the second is not elected", within: .seconds(10)) {
                    second.output.contains("two\n") ? true : nil
                }
                for process in [holder, first, second] { process.killAndWait() }
            }
        }

        @Test(.timeLimit(.minutes(2))) func otherErrors() async throws {
            try await withNodes { etcdctl in
                let large = String(repeating: "x", count: 2_000_000)
                #expect(
                    try await etcdctl.error("put", "large", input: large)
                        .contains("etcdserver: request is too large"))
                #expect(
                    try await etcdctl.error("put", "--ignore-value", "missing")
                        .contains("etcdserver: key not found"))
                #expect(
                    try await etcdctl.error("member", "remove", "123")
                        .contains("etcdserver: member not found"))
                #expect(try await etcdctl.error("user", "list").contains("code = Unimplemented"))
                expect(try await etcdctl("alarm", "list"), "")
                #expect(try await etcdctl("defrag").hasPrefix("Finished defragmenting"))
                _ = try await etcdctl("put", "k", "v")
                expect(try await etcdctl("put", "--ignore-value", "--prev-kv", "k"), "OK\nk\nv\n")
            }
        }
    }
}
