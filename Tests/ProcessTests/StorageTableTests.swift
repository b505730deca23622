import EtcdAPI
import EtcdClient
import Foundation
import Testing
import TestSupport

extension ProcessTests {
    /// Members A, B and C; C is down; 20 writes are acknowledged by A and B; both stop; B's data is damaged; B
    /// and C start, and A stays away. etcd serves fewer than 20 then, or never again. Here nothing is served
    /// until A is back, B says what is wrong, and then all 20 are there on all three.
    ///
    /// The rows of a failed sync and a full disk are ``DiskFailureTests``.
    @Suite struct StorageTableTests {
        enum Damage: String, CaseIterable, Sendable {
            case lastRecordTorn, blockZeroed, bitFlipped, anchorAndEndLost, identityLost, directoryLost

            /// What B must say of it.
            var says: [String] {
                switch self {
                case .lastRecordTorn: ["write-ahead log: ", "lacks "]
                case .blockZeroed, .bitFlipped: ["is damaged at byte", "lacks "]
                case .anchorAndEndLost: ["write-ahead log: ", "waits for a leader"]
                case .identityLost: ["IDENTITY is damaged at byte 4096", "waits for a leader"]
                case .directoryLost: ["knows another data directory of this node", "waits for a leader"]
                }
            }
        }

        private static let options = ["--election-timeout", "500", "--heartbeat-interval", "50"]

        @Test(.timeLimit(.minutes(2)), arguments: Damage.allCases)
        func nothingIsLost(damage: Damage) async throws {
            try await nothingIsLost(says: damage.says) { cluster, second in
                try apply(damage, to: second)
                try cluster.start(second)
            }
        }

        /// The device fails to read the segment when B starts, from its first batch on and for some twenty
        /// thousand reads: all of the batches, and half of the room behind them, time and again.
        @Test(
            .enabled(if: Programs.find("strace") != nil, "strace makes reads fail; it is not installed"),
            .timeLimit(.minutes(3)))
        func anUnreadableSegment() async throws {
            let says = [".segment is damaged at byte 64: unreadable", "lacks "]
            try await nothingIsLost(says: says) { cluster, second in
                let segment = try #require(try DataFiles(directory: second.dataDirectory).lastSegment)
                try second.start(
                    cluster.arguments(of: second), strace: Programs.find("strace")!,
                    failing: [
                        "-P", "\(second.dataDirectory)/\(segment.name)", "-e", "trace=pread64", "-e",
                        "inject=pread64:error=EIO:when=2..20000",
                    ])
            }
        }

        private func nothingIsLost(
            says: [String], startDamaged: (TestCluster, TestNode) throws -> Void
        ) async throws {
            try await TestCluster.run(size: 3, options: Self.options) { cluster in
                let (first, second, third) = (cluster.nodes[0], cluster.nodes[1], cluster.nodes[2])
                try await first.put("before", "any fault")
                #expect(try await third.stop() == .code(0))
                let client = try await first.connect()
                for number in 0..<20 {
                    // While another leader is found, a write may have to be tried again.
                    _ = try await waitFor("write \(number) is not acknowledged", within: .seconds(20)) {
                        try? await client.put("key \(number)", "value \(number)")
                    }
                }
                await client.close()
                #expect(try await second.stop() == .code(0))
                #expect(try await first.stop() == .code(0))

                try cluster.start(third)
                try startDamaged(cluster, second)
                for text in says {
                    _ = try await waitFor(
                        "n2 does not say '\(text)': \(second.lastLogLines)", within: .seconds(20)
                    ) {
                        second.log.contains(text) ? true : nil
                    }
                }
                try await expectNothingIsServed(cluster, second, third)

                try cluster.start(first)
                try await cluster.waitUntilHealthy()
                try await expectEverything(cluster)
            }
        }

        /// One bad block on each disk, each somewhere else: between them the nodes have all of it.
        @Test(.timeLimit(.minutes(2))) func threeDisksWithABadBlockEach() async throws {
            try await TestCluster.run(size: 3, options: Self.options) { cluster in
                let client = try await cluster.leader().connect()
                for number in 0..<20 { try await client.put("key \(number)", "value \(number)") }
                await client.close()
                _ = try await cluster.waitUntilLevel()
                for node in cluster.nodes { #expect(try await node.stop() == .code(0)) }
                for (number, node) in cluster.nodes.enumerated() {
                    let files = try DataFiles(directory: node.dataDirectory)
                    let segment = try #require(files.lastSegment)
                    try files.flipping(segment.name, at: segment.bytes.count * (number + 1) / 4, mask: 4)
                        .write(to: node.dataDirectory)
                }
                for node in cluster.nodes { try cluster.start(node) }
                try await cluster.waitUntilHealthy()
                for node in cluster.nodes {
                    #expect(node.log.contains("is damaged at byte"))
                    #expect(node.log.contains("repaired"))
                }
                try await expectEverything(cluster)
            }
        }

        /// A directory that was put back to an older state: its peers remember a later start of it.
        @Test(.timeLimit(.minutes(2))) func aRolledBackDirectoryIsFoundOut() async throws {
            try await TestCluster.run(size: 3, options: Self.options) { cluster in
                let victim = cluster.nodes[1]
                #expect(try await victim.stop() == .code(0))
                let old = try DataFiles(directory: victim.dataDirectory)
                for _ in 0..<2 {
                    try cluster.start(victim)
                    try await victim.waitUntilHealthy()
                    _ = try await cluster.waitUntilLevel()
                    #expect(try await victim.stop() == .code(0))
                }
                try cluster.start(victim)
                try await victim.waitUntilHealthy()
                let client = try await victim.connect()
                for number in 0..<20 { try await client.put("key \(number)", "value \(number)") }
                await client.close()
                #expect(try await victim.stop() == .code(0))
                try old.write(to: victim.dataDirectory)
                try cluster.start(victim)
                _ = try await waitFor("n2 is not adopted: \(victim.lastLogLines)", within: .seconds(30)) {
                    victim.log.contains("by=adoption") ? true : nil
                }
                #expect(victim.log.contains("its data directory was put back to an older state"))
                try await cluster.waitUntilHealthy()
                try await expectEverything(cluster)
            }
        }

        /// The second of two processes with the same start of the same directory ends.
        @Test(.timeLimit(.minutes(2))) func aCopyOfADirectoryEnds() async throws {
            try await TestCluster.run(size: 3, options: Self.options) { cluster in
                let victim = cluster.nodes[1]
                #expect(try await victim.stop() == .code(0))
                let copy = try DataFiles(directory: victim.dataDirectory)
                try cluster.start(victim)
                try await victim.waitUntilHealthy()
                // Both others have met it by then.
                _ = try await cluster.waitUntilLevel()
                victim.kill()
                try copy.write(to: victim.dataDirectory)
                try cluster.start(victim)
                #expect(try await victim.running?.waitForEnd() == .code(1))
                #expect(victim.lastLogLines.contains("one of the two is a copy"))
                victim.kill()
            }
        }

        /// A value that rots in the file of a snapshot while all three run: the damage is found when a
        /// follower needs the file, no byte of it is sent, and a new snapshot takes its place.
        @Test(.timeLimit(.minutes(2))) func aSnapshotThatRotsIsNeverSent() async throws {
            let options = Self.options + ["--snapshot-count", "50"]
            try await TestCluster.run(size: 3, options: options) { cluster in
                let victim = cluster.nodes[2]
                try await cluster.nodes[0].put("before", "any fault")
                #expect(try await victim.stop() == .code(0))
                let client = try await cluster.nodes[0].connect()
                for number in 0..<20 { try await client.put("key \(number)", "value \(number)") }
                // Far more than stays behind a snapshot for followers.
                for number in 0..<40 {
                    try await client.put(
                        Array("filler \(number)".utf8), [UInt8](repeating: 1, count: 1 << 20))
                }
                for _ in 0..<60 { try await client.put("small", "change") }
                await client.close()
                for node in cluster.nodes.prefix(2) { try await rot(node) }
                try cluster.start(victim)
                try await cluster.waitUntilHealthy()
                try await expectEverything(cluster)
                #expect(
                    cluster.nodes.prefix(2).contains {
                        $0.log.contains("a snapshot cannot be read for")
                            && $0.log.contains("is damaged at byte")
                    })
            }
        }

        // MARK: Parts

        private func apply(_ damage: Damage, to node: TestNode) throws {
            let files = try DataFiles(directory: node.dataDirectory)
            let segment = try #require(files.lastSegment)
            let used = segment.bytes.count
            switch damage {
            case .lastRecordTorn:
                // The marks behind the last batch, and a part of it.
                try files.zeroing(segment.name, used - 150..<used).write(to: node.dataDirectory)
            case .blockZeroed:
                #expect(used > 2_000)
                try files.zeroing(segment.name, used / 2 - 512..<used / 2 + 512)
                    .write(to: node.dataDirectory)
            case .bitFlipped:
                try files.flipping(segment.name, at: used / 2, mask: 16).write(to: node.dataDirectory)
            case .anchorAndEndLost:
                try files.zeroing(segment.name, used - 150..<used).removing("log/ANCHOR")
                    .write(to: node.dataDirectory)
            case .identityLost:
                try files.flipping("IDENTITY", at: 33, mask: 1).flipping("IDENTITY", at: 4_096 + 50, mask: 1)
                    .write(to: node.dataDirectory)
            case .directoryLost:
                try FileManager.default.removeItem(atPath: node.dataDirectory)
            }
        }

        private func expectNothingIsServed(
            _ cluster: TestCluster, _ second: TestNode, _ third: TestNode
        ) async throws {
            #expect(FreePorts.isFree(second.clientPort), "n2 serves clients although it may have lost writes")
            let client = try await third.connect()
            await #expect(throws: GRPCStatus.self) {
                _ = try await client.get("key 0", timeoutMilliseconds: 2_000)
            }
            await #expect(throws: GRPCStatus.self) {
                try await client.put("not", "now", timeoutMilliseconds: 2_000)
            }
            await client.close()
            let ending = second.running?.ending
            #expect(ending == nil, "n2 ended: \(second.lastLogLines)")
        }

        private func expectEverything(_ cluster: TestCluster) async throws {
            let revision = try await cluster.waitUntilLevel()
            var hashes: Set<UInt32> = []
            for node in cluster.nodes {
                let client = try await node.connect()
                for number in 0..<20 {
                    let found = try await client.get("key \(number)")
                    #expect(found == Array("value \(number)".utf8), "\(node.name): key \(number)")
                }
                hashes.insert(try await client.hashKeyValue(revision: revision).hash)
                await client.close()
            }
            #expect(hashes.count == 1)
        }

        /// Flips a bit in every snapshot of a running node, in place.
        private func rot(_ node: TestNode) async throws {
            let directory = node.dataDirectory + "/snapshots"
            var last: [String] = []
            var lastChange = ContinuousClock.now
            let names = try await waitFor(
                "\(node.name) takes no snapshot, or no end of them", within: .seconds(60)
            ) {
                let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
                if names != last {
                    last = names
                    lastChange = .now
                }
                let isSettled = ContinuousClock.now > lastChange + .seconds(2)
                return isSettled && names.allSatisfy { $0.hasSuffix(".snapshot") } && !names.isEmpty
                    ? names : nil
            }
            for name in names {
                let handle = try #require(FileHandle(forUpdatingAtPath: "\(directory)/\(name)"))
                let middle = try handle.seekToEnd() / 2
                try handle.seek(toOffset: middle)
                let byte = try #require(try handle.read(upToCount: 1)?.first)
                try handle.seek(toOffset: middle)
                try handle.write(contentsOf: Data([byte ^ 1]))
                try handle.close()
            }
        }
    }
}

extension TestNode {
    fileprivate func put(_ key: String, _ value: String) async throws {
        let client = try await connect()
        try await client.put(key, value)
        await client.close()
    }
}
