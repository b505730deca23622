import EtcdAPI
import EtcdClient
import Foundation
import Testing

extension ProcessTests {
    /// Three nodes take the machine's package records from several clients while leaders are killed.
    @Suite struct KilledLeadersTests {
        private static let clientCount = 6
        private static let writesPerClient = 6
        private static let rounds = 8
        /// In this round all three nodes are killed at the same moment.
        private static let roundOfAll = 4

        @Test(
            .enabled(
                if: PackageRecords.unavailable == nil, Comment(rawValue: PackageRecords.unavailable ?? "")),
            .timeLimit(.minutes(6)))
        func nothingAcknowledgedIsLost() async throws {
            let records = PackageRecords.all
            try await TestCluster.run(size: 3, options: ["--snapshot-count", "3000"]) { cluster in
                let history = WriteHistory(count: records.count)
                let clients = (0..<Self.clientCount).map {
                    ResilientClient(ports: cluster.nodes.map(\.clientPort), home: $0 % 3)
                }
                let begin = ContinuousClock.now
                try await write(records, clients, history, cluster)
                let writing = ContinuousClock.now - begin
                for client in clients { await client.close() }
                try await check(records, history, cluster)
                let acknowledgements = history.acknowledgedCount
                let (gap, failures) = history.with { ($0.longestGap, $0.failures) }
                print(
                    """
                    killed leaders: \(records.count) pairs (\(records.reduce(0) { $0 + $1.control.count }) bytes), \
                    \(acknowledgements) acknowledged, \(history.retryCount) retries, \(Self.rounds - 1) leaders \
                    killed and all three once, writing took \(writing.text), longest time without an \
                    acknowledgement \(gap.text), with checks \((ContinuousClock.now - begin).text)
                    """)
                print("  why writes were retried: \(failures)")
            }
        }

        // MARK: Writing

        private func write(
            _ records: [PackageRecords.Record], _ clients: [ResilientClient], _ history: WriteHistory,
            _ cluster: TestCluster
        ) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for client in clients {
                    for _ in 0..<Self.writesPerClient {
                        group.addTask {
                            while let pair = try await history.next() {
                                try await put(records[pair], pair, client, history)
                            }
                        }
                    }
                }
                group.addTask { try await killNodes(cluster, history) }
                try await group.waitForAll()
            }
        }

        /// Until it is acknowledged. What an error leaves open is settled by the same put again.
        private func put(
            _ record: PackageRecords.Record, _ pair: Int, _ client: ResilientClient, _ history: WriteHistory
        ) async throws {
            while true {
                let connection = try await client.client()
                let sentAt = ContinuousClock.now
                history.begin(pair)
                do throws(GRPCStatus) {
                    let answer = try await connection.put(
                        record.name, record.control, timeoutMilliseconds: 5_000)
                    history.acknowledge(pair, revision: answer.header.revision, sentAt: sentAt)
                    return
                } catch {
                    history.fail(error.description)
                }
                try await Task.sleep(for: .milliseconds(5))
            }
        }

        private func killNodes(_ cluster: TestCluster, _ history: WriteHistory) async throws {
            let step = history.count / (Self.rounds + 2)
            for round in 1...Self.rounds {
                history.allow((round + 1) * step)
                try await history.reached(round * step)
                let victims = round == Self.roundOfAll ? cluster.nodes : [try await cluster.leader()]
                for victim in victims { victim.strike() }
                for victim in victims { victim.kill() }
                if victims.count == 1 {
                    // The two others go on without it.
                    try await history.reached(round * step + step / 2)
                }
                for victim in victims { try cluster.start(victim) }
            }
            history.allow(history.count)
        }

        // MARK: Checking

        private func check(
            _ records: [PackageRecords.Record], _ history: WriteHistory, _ cluster: TestCluster
        ) async throws {
            try await cluster.waitUntilHealthy()
            let revision = try await cluster.waitUntilLevel()
            let (acknowledgements, attempts) = history.with { ($0.acknowledgements, $0.attempts) }
            #expect(Set(acknowledgements.map(\.pair)).count == records.count)
            #expect(acknowledgements.count == records.count)
            checkRealTimeOrder(acknowledgements)

            var positions: [Data: Int] = [:]
            for (position, record) in records.enumerated() { positions[Data(record.name)] = position }
            var hashes: Set<UInt32> = []
            for node in cluster.nodes {
                let client = try await node.connect()
                for serializable in [true, false] {
                    let pairs = try await Reading.pairs(client, serializable: serializable)
                    checkPairs(pairs, records, positions, node, serializable: serializable)
                }
                let hash = try await client.hashKeyValue(revision: revision)
                #expect(hash.compactRevision <= 0)
                hashes.insert(hash.hash)
                let events = try await Reading.history(client, to: revision)
                checkHistory(
                    events, to: revision, records, positions, acknowledgements, attempts: attempts, node)
                await client.close()
            }
            #expect(hashes.count == 1, "the nodes' hashes differ at revision \(revision): \(hashes)")
        }

        private func checkPairs(
            _ pairs: [Mvccpb_KeyValue], _ records: [PackageRecords.Record], _ positions: [Data: Int],
            _ node: TestNode, serializable: Bool
        ) {
            let kind = serializable ? "serializable" : "linearizable"
            var wrong = 0
            for pair in pairs where positions[pair.key].map({ Data(records[$0].control) }) != pair.value {
                wrong += 1
            }
            #expect(wrong == 0, "\(node.name), \(kind): values differ from what was acknowledged")
            #expect(pairs.count == records.count, "\(node.name), \(kind): keys are missing, or are too many")
            #expect(Set(pairs.map(\.key)).count == pairs.count, "\(node.name), \(kind): a key comes twice")
        }

        /// Every revision from 2 on occurs once, and every acknowledged one is the put that it was said to be.
        private func checkHistory(
            _ events: [Mvccpb_Event], to revision: Int64, _ records: [PackageRecords.Record],
            _ positions: [Data: Int], _ acknowledgements: [WriteHistory.Acknowledgement], attempts: [Int],
            _ node: TestNode
        ) {
            #expect(
                events.map(\.kv.modRevision) == Array(2...revision),
                "\(node.name): the history has a gap or a repeat")
            var puts = Array(repeating: 0, count: records.count)
            var pairAtRevision: [Int64: Int] = [:]
            var wrong = 0
            for event in events {
                guard event.type == .put, let pair = positions[event.kv.key],
                    Data(records[pair].control) == event.kv.value
                else {
                    wrong += 1
                    continue
                }
                puts[pair] += 1
                if event.kv.version != Int64(puts[pair]) { wrong += 1 }
                pairAtRevision[event.kv.modRevision] = pair
            }
            #expect(wrong == 0, "\(node.name): changes that nobody asked for, or of a wrong version")
            let excess = zip(puts, attempts).filter { $0.0 > $0.1 || $0.0 < 1 }
            #expect(excess.count == 0, "\(node.name): pairs were put more often than asked, or never")
            #expect(Set(acknowledgements.map(\.revision)).count == acknowledgements.count)
            let lost = acknowledgements.filter { pairAtRevision[$0.revision] != $0.pair }
            #expect(lost.count == 0, "\(node.name): acknowledged revisions are not in the history")
        }

        /// A write that was acknowledged before another one was sent has the lower revision.
        private func checkRealTimeOrder(_ acknowledgements: [WriteHistory.Acknowledgement]) {
            var latestSent: ContinuousClock.Instant?
            var wrong = 0
            for write in acknowledgements.sorted(by: { $0.revision < $1.revision }) {
                if let latestSent, write.receivedAt < latestSent { wrong += 1 }
                latestSent = max(latestSent ?? write.sentAt, write.sentAt)
            }
            #expect(wrong == 0, "revisions contradict the order of writes that did not overlap")
        }
    }
}
