import EtcdAPI
import EtcdClient
import Foundation
import HoldfastChaos
import Testing
import TestSupport

extension ProcessTests {
    /// Clusters of real processes whose members change.
    @Suite struct MembershipTests {
        /// A node that is no member when the cluster starts.
        private func newcomer(_ name: String, to cluster: TestCluster) throws -> TestNode {
            TestNode(
                name: name, clientPort: try FreePorts.take(), peerPort: try FreePorts.take(),
                directory: cluster.directory.path)
        }

        private func join(_ node: TestNode, _ cluster: TestCluster, options: [String] = []) throws {
            try node.start(
                node.arguments(
                    initialCluster: "\(cluster.initialCluster),\(node.name)=\(node.peerURL)",
                    options: ["--initial-cluster-state", "existing"] + options))
        }

        private func add(
            _ node: TestNode, isLearner: Bool, through other: TestNode
        ) async throws -> UInt64 {
            let client = try await other.connect()
            var request = Etcdserverpb_MemberAddRequest()
            request.peerUrls = [node.peerURL]
            request.isLearner = isLearner
            let response: Etcdserverpb_MemberAddResponse = try await client.call(
                "/etcdserverpb.Cluster/MemberAdd", request)
            await client.close()
            #expect(response.member.isLearner == isLearner && response.member.peerUrls == [node.peerURL])
            return response.member.id
        }

        private func put(_ key: String, through node: TestNode) async throws {
            let client = try await node.connect()
            try await client.put(key, "value of \(key)")
            await client.close()
        }

        private func expect(_ key: String, at node: TestNode) async throws {
            let client = try await node.connect()
            let value = try await client.get(key, timeoutMilliseconds: 5_000)
            await client.close()
            #expect(value == Array("value of \(key)".utf8), "\(key) at \(node.name)")
        }

        /// Waits until a node lists so many voters.
        private func waitForVoters(_ count: Int, at node: TestNode) async throws {
            _ = try await waitFor("\(count) voters at \(node.name)", within: .seconds(40)) { () -> Bool? in
                guard let found = try? await node.members() else { return nil }
                return found.count == count && found.allSatisfy { !$0.isLearner } ? true : nil
            }
        }

        @Test("A node joins as a learner, is promoted, leads, and leaves", .timeLimit(.minutes(2)))
        func aMemberComesAndGoes() async throws {
            try await TestCluster.run(size: 3) { cluster in
                let first = cluster.nodes[0]
                try await put("before", through: first)
                let fourth = try newcomer("n4", to: cluster)
                defer { fourth.kill() }
                let id = try await add(fourth, isLearner: true, through: first)
                try join(fourth, cluster)
                try await fourth.waitUntilHealthy()
                try await expect("before", at: fourth)
                let client = try await first.connect()
                var promotion = Etcdserverpb_MemberPromoteRequest()
                promotion.id = id
                let promoted: Etcdserverpb_MemberPromoteResponse = try await client.call(
                    "/etcdserverpb.Cluster/MemberPromote", promotion)
                #expect(promoted.members.count == 4 && promoted.members.allSatisfy { !$0.isLearner })
                #expect(Set(try await fourth.members().map(\.name)) == ["n1", "n2", "n3", "n4"])

                let leader = try await cluster.leader()
                let atLeader = try await leader.connect()
                var move = Etcdserverpb_MoveLeaderRequest()
                move.targetID = id
                let _: Etcdserverpb_MoveLeaderResponse = try await atLeader.call(
                    "/etcdserverpb.Maintenance/MoveLeader", move)
                await atLeader.close()
                #expect(await leader.status()?.leader == id)

                // The leader removes itself, and ends.
                let atFourth = try await fourth.connect()
                var removal = Etcdserverpb_MemberRemoveRequest()
                removal.id = id
                let removed: Etcdserverpb_MemberRemoveResponse = try await client.call(
                    "/etcdserverpb.Cluster/MemberRemove", removal)
                await atFourth.close()
                #expect(removed.members.count == 3)
                let process = try #require(fourth.running)
                #expect(try await process.waitForEnd() == .code(1))
                #expect(fourth.log.contains("was removed from its cluster"))
                try await put("after", through: first)
                await client.close()
                try await cluster.waitUntilHealthy()

                // Started again, it learns that it is no member, and disturbs nobody.
                let term = await first.status()?.raftTerm
                try join(fourth, cluster)
                let again = try #require(fourth.running)
                #expect(try await again.waitForEnd() == .code(1))
                #expect(await first.status()?.raftTerm == term)
            }
        }

        @Test(
            "Five nodes lose two, then a third, and are five again without an operator",
            .timeLimit(.minutes(3)))
        func evictedMembersComeBack() async throws {
            try await TestCluster.run(size: 5, options: ["--evict-after", "3000"]) { cluster in
                let nodes = cluster.nodes
                try await put("with five", through: nodes[0])
                nodes[3].kill()
                nodes[4].kill()
                try await waitForVoters(3, at: nodes[0])
                try await put("with three", through: nodes[0])
                nodes[2].kill()
                try await nodes[0].waitUntilHealthy()
                try await put("with two of three", through: nodes[0])
                // One of them has lost its disk.
                try FileManager.default.removeItem(atPath: nodes[4].dataDirectory)
                for node in nodes[2...] { try cluster.start(node) }
                try await waitForVoters(5, at: nodes[0])
                try await cluster.waitUntilHealthy()
                for node in nodes {
                    for key in ["with five", "with three", "with two of three"] {
                        try await expect(key, at: node)
                    }
                }
                // Said by whoever led then, which may have been the third one to die.
                #expect(nodes[..<3].contains { $0.log.contains("is evicted") })
            }
        }

        /// `--join` instead of `--initial-cluster`.
        private func arguments(_ node: TestNode, joining seed: TestNode) -> [String] {
            [
                "serve", "--name", node.name, "--data-dir", node.dataDirectory,
                "--listen-client-urls", "http://127.0.0.1:\(node.clientPort)",
                "--listen-peer-urls", node.peerURL, "--initial-advertise-peer-urls", node.peerURL,
                "--join", seed.peerURL, "--exit-with-parent",
            ]
        }

        @Test("A node joins by the address of any member, and is promoted", .timeLimit(.minutes(2)))
        func aNodeJoinsByOneAddress() async throws {
            try await TestCluster.run(size: 3, options: ["--accept-joins"]) { cluster in
                try await put("before", through: cluster.nodes[0])
                let leader = try await cluster.leader()
                let follower = try #require(cluster.nodes.first { $0 !== leader })
                let fourth = try newcomer("n4", to: cluster)
                defer { fourth.kill() }
                try fourth.start(arguments(fourth, joining: follower))
                try await fourth.waitUntilHealthy()
                try await waitForVoters(4, at: cluster.nodes[0])
                try await expect("before", at: fourth)
                let found = try await cluster.nodes[0].members()
                #expect(Set(found.map(\.name)) == ["n1", "n2", "n3", "n4"])
                // It starts again as any member, with the same command line, whether the seed is there or not.
                fourth.kill()
                follower.kill()
                try fourth.start(arguments(fourth, joining: follower))
                try await fourth.waitUntilHealthy()
                try await put("after", through: fourth)
                // Its disk is lost: it is let in again under its name.
                try cluster.start(follower)
                try await follower.waitUntilHealthy()
                fourth.kill()
                try FileManager.default.removeItem(atPath: fourth.dataDirectory)
                try fourth.start(arguments(fourth, joining: follower))
                try await fourth.waitUntilHealthy(within: .seconds(60))
                try await expect("after", at: fourth)
                #expect(try await fourth.members().count == 4)
            }
        }

        @Test("Who may not join is told why, and what to do", .timeLimit(.minutes(2)))
        func whoMayNotJoinIsTold() async throws {
            try await TestCluster.run(size: 1) { cluster in
                try await cluster.nodes[0].waitUntilHealthy()
                let second = try newcomer("n2", to: cluster)
                defer { second.kill() }
                try second.start(arguments(second, joining: cluster.nodes[0]))
                #expect(try await #require(second.running).waitForEnd() == .code(1))
                #expect(second.log.contains("--accept-joins"), "\(second.lastLogLines)")
                #expect(!FileManager.default.fileExists(atPath: second.dataDirectory))
            }
            try await TestCluster.run(size: 1, options: ["--accept-joins"]) { cluster in
                try await cluster.nodes[0].waitUntilHealthy()
                let namesake = try newcomer(cluster.nodes[0].name, to: cluster)
                let other = TestNode(
                    name: namesake.name, clientPort: namesake.clientPort, peerPort: namesake.peerPort,
                    directory: cluster.directory.path + "/other")
                try FileManager.default.createDirectory(
                    atPath: cluster.directory.path + "/other", withIntermediateDirectories: true)
                try other.start(arguments(other, joining: cluster.nodes[0]))
                #expect(try await #require(other.running).waitForEnd() == .code(1))
                #expect(other.log.contains("has the name"), "\(other.lastLogLines)")
            }
        }

        @Test("A planned restart of each node costs no election timeout", .timeLimit(.minutes(2)))
        func plannedRestarts() async throws {
            try await TestCluster.run(size: 3) { cluster in
                for node in cluster.nodes {
                    let leader = try await cluster.leader()
                    if leader === node {
                        let term = await node.status()?.raftTerm ?? 0
                        #expect(try await node.stop() == .code(0))
                        let next = try await cluster.leader()
                        // One term: nobody had to find out that the leader was gone.
                        #expect(await next.status()?.raftTerm == term + 1)
                    } else {
                        #expect(try await node.stop() == .code(0))
                    }
                    try cluster.start(node)
                    try await node.waitUntilHealthy()
                }
            }
        }
    }
}
