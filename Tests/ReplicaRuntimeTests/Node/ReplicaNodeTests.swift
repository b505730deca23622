import ConsensusTypes
import Logging
import NIOPosix
import Synchronization
import Testing

@testable import ReplicaRuntime

/// Real nodes, with loops, threads and files, joined in memory or by sockets.
@Suite(.serialized) struct ReplicaNodeTests {
    @Test func aUsersMachineIsReplicated() async throws {
        let nodes = try await TestCluster().startAll()
        for (number, node) in nodes.enumerated() {
            #expect(try await node.add(10) == Int64(10 * (number + 1)))
        }
        for node in nodes { #expect(try await node.sum() == 30) }
        await nodes.stopAll()
        #expect(nodes.allSatisfy { $0.endings.all.isEmpty })
    }

    @Test func aNodeThatRestartsHasItsState() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startAll()
        _ = try await nodes[0].add(7)
        await nodes.stopAll()
        nodes = try await cluster.startAll()
        #expect(try await nodes[1].sum() == 7)
        #expect(try await nodes[2].add(1) == 8)
        await nodes.stopAll()
    }

    /// A snapshot is all that is left of the beginning.
    @Test func aNodeStartsFromASnapshot() async throws {
        let cluster = TestCluster()
        func start() async throws -> TestNode {
            var options = cluster.options(1, members: [1])
            options.replicaSettings.snapshotEntryCount = 10
            options.replicaSettings.trailingEntryCount = 0
            return try await TestNode.start(options)
        }
        var node = try await start()
        for _ in 0..<25 { _ = try await node.add(1) }
        try await node.wait("a snapshot") { $0.replica.core.firstIndex > LogIndex(10) }
        await node.stop()
        node = try await start()
        #expect(try await node.sum() == 25)
        await node.stop()
    }

    @Test func theOthersGoOnWithoutALeaderThatStopped() async throws {
        let nodes = try await TestCluster().startAll()
        let leader = try await nodes.leader()
        _ = try await leader.add(1)
        await leader.stop()
        let others = nodes.filter { $0.id != leader.id }
        for node in others { #expect(try await node.add(1) ?? 0 >= 2) }
        #expect(try await others.leader().id != leader.id)
        await others.stopAll()
    }

    @Test func aLeaderThatIsCutOffIsReplacedAndComesBack() async throws {
        let cluster = TestCluster()
        let nodes = try await cluster.startAll()
        let leader = try await nodes.leader()
        cluster.network.isolate(leader.id)
        let others = nodes.filter { $0.id != leader.id }
        #expect(try await others.leader().id != leader.id)
        try await leader.wait("giving up") { $0.group.leadership.role != .leader }
        #expect(try await others[0].add(5) == 5)
        cluster.network.healAll()
        #expect(try await leader.sum() == 5)
        await nodes.stopAll()
    }

    /// Whoever makes a node has it before it is told anything.
    @Test func nothingHappensBeforeTheStart() async throws {
        let options = TestCluster().options(1, members: [1])
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let told = Mutex<[String]>([])
        let node = try await loop.submit {
            let node = try SingleGroupNode<TestNode.Group>(
                options: options, groupSettings: StateMachineGroupSettings(), loop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                onAdmitted: { told.withLock { $0.append("admitted") } },
                onEnd: { ending in told.withLock { $0.append("\(ending)") } })
            told.withLock { $0.append("made") }
            return node
        }.get()
        try await loop.flatSubmit { node.start() }.get()
        await node.shutDown()
        #expect(told.withLock { $0 } == ["made", "admitted"])
    }

    /// Whoever takes part first, and whoever is accepted by a node that does not take part yet.
    @Test func whatIsAnnouncedBeforeTheStartReachesAllPeers() async throws {
        for _ in 0..<8 {
            let nodes = try await TestCluster().startAll()
            for node in nodes {
                let others = nodes.map(\.id).filter { $0 != node.id }
                try await node.wait("the announcements") { node in
                    others.allSatisfy { node.announcements[$0]?.bytes == [UInt8($0.rawValue)] }
                }
            }
            await nodes.stopAll()
        }
    }

    @Test func announcementsReachPeers() async throws {
        let nodes = try await TestCluster().startAll()
        try await nodes[0].run { $0.announce([1, 2, 3]) }
        try await nodes[1].wait("the announcement") { $0.announcements[NodeID(1)]?.bytes == [1, 2, 3] }
        await nodes.stopAll()
    }
}
