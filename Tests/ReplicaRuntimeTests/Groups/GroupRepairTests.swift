import ConsensusTypes
import RaftCore
import Testing

@testable import ReplicaRuntime
@testable import WriteAheadLog

/// How a node with several groups comes back that lost a part of what it had, or all.
@Suite struct GroupRepairTests {
    private static let groups: [UInt64] = [1, 2]

    private func filled(_ cluster: TestCluster) async throws -> [GroupsNode] {
        let nodes = try await cluster.startGroups(Self.groups)
        for _ in 0..<20 {
            _ = try await nodes[0].add(1, to: 1)
            _ = try await nodes[1].add(10, to: 2)
        }
        for node in nodes {
            #expect(try await node.sum(of: 1) == 20)
            #expect(try await node.sum(of: 2) == 200)
        }
        return nodes
    }

    private func isAdopting(_ host: GroupHost<GroupsNode.Group>) -> Bool {
        host.admission.rarePaths.contains(.wipedNodeReturned) && !host.admission.isActive
    }

    /// A wiped node takes part in none of its groups before a leader of that group has adopted it.
    @Test func aWipedNodeIsAdoptedInEveryGroup() async throws {
        let cluster = TestCluster()
        var nodes = try await filled(cluster)
        await nodes.stopAll()
        let empty = SimulatedFileSystem(seed: 33)
        // With one other node it would be a majority.
        nodes[1] = try await cluster.start(2, groups: Self.groups)
        nodes[2] = try await cluster.start(3, groups: Self.groups) { $0.fileSystem = empty }
        for group in Self.groups {
            try await nodes[2].wait("the news that the node was wiped, in group \(group)") { [self] node in
                isAdopting(node.host(group))
            }
            #expect(try await nodes[1].run { $0.leads(group) } == false)
        }
        nodes[0] = try await cluster.start(1, groups: Self.groups)
        for group in Self.groups {
            try await nodes[2].wait("adoption in group \(group)") { $0.host(group).isRunning }
            #expect(
                try await nodes[2].run { $0.host(group).admission.rarePaths.contains(.adoptedByLeader) })
        }
        #expect(try await nodes[2].sum(of: 1) == 20)
        #expect(try await nodes[2].sum(of: 2) == 200)
        // Its answers count now, and what it was given is durable.
        await nodes[0].stop()
        #expect(try await nodes[2].add(1, to: 2) == 201)
        await nodes[2].stop()
        nodes[2] = try await cluster.start(3, groups: Self.groups) { $0.fileSystem = empty }
        #expect(try await nodes[2].sum(of: 1) == 20)
        #expect(try await nodes[2].sum(of: 2) == 201)
        await Array(nodes[1...]).stopAll()
    }

    /// Damage to the log concerns all groups in it: each is restored exactly before any runs.
    @Test func aDamagedLogIsRestoredInEveryGroup() async throws {
        let cluster = TestCluster()
        var nodes = try await filled(cluster)
        await nodes.stopAll()
        let segment = try #require(
            cluster.disk(3).files(under: "/node/log").first { $0.path.string.hasSuffix(".segment") })
        try cluster.disk(3).flipBit(3, of: segment.path, at: 1_500)
        nodes[2] = try await cluster.start(3, groups: Self.groups)
        for group in Self.groups { #expect(try await nodes[2].run { $0.host(group).isRunning } == false) }
        nodes[1] = try await cluster.start(2, groups: Self.groups)
        for group in Self.groups {
            try await nodes[2].wait("restoration of group \(group)") { $0.host(group).isRunning }
            #expect(
                try await nodes[2].run { $0.host(group).admission.rarePaths.contains(.restoredExactly) })
            try await nodes[2].waitForLeader(of: group)
        }
        #expect(try await nodes[2].sum(of: 1) == 20)
        #expect(try await nodes[2].sum(of: 2) == 200)
        await Array(nodes[1...]).stopAll()
    }

    /// A node that was wiped while it did not host a group is new to it, and its peers know better.
    @Test func aGroupFromAnEarlierLifeIsAdopted() async throws {
        let cluster = TestCluster()
        var nodes = try await filled(cluster)
        await nodes[2].stop()
        let empty = SimulatedFileSystem(seed: 33)
        nodes[2] = try await cluster.start(3, groups: [1]) { $0.fileSystem = empty }
        try await nodes[2].wait("adoption in group 1") { $0.host(1).isRunning }
        await nodes[2].stop()
        nodes[2] = try await cluster.start(3, groups: Self.groups) { $0.fileSystem = empty }
        try await nodes[2].wait("adoption in group 2") { $0.host(2).isRunning }
        #expect(try await nodes[2].run { $0.host(2).admission.rarePaths.contains(.adoptedByLeader) })
        #expect(try await nodes[2].sum(of: 2) == 200)
        await nodes.stopAll()
    }

    /// Both groups of a node that comes with an older state of its directory are adopted.
    @Test func anOlderStateIsFoundOutInEveryGroup() async throws {
        let cluster = TestCluster()
        var nodes = try await filled(cluster)
        await nodes[2].stop()
        let older = cluster.disk(3).copy()
        nodes[2] = try await cluster.start(3, groups: Self.groups)
        for group in Self.groups { try await nodes[2].waitForLeader(of: group) }
        #expect(try await nodes[2].add(1, to: 1) == 21)
        #expect(try await nodes[2].add(1, to: 2) == 201)
        await nodes[2].stop()
        // It is told to start again, as often as it takes until each group knows.
        for _ in 0..<4 {
            nodes[2] = try await cluster.start(3, groups: Self.groups) { $0.fileSystem = older }
            try await nodes[2].wait("adoption or a restart") { node in
                !node.endings.all.isEmpty
                    || node.hosts.allSatisfy { $0.isRunning && $0.admission.isActive }
                        && node.hosts.allSatisfy { $0.admission.rarePaths.contains(.adoptedByLeader) }
            }
            if nodes[2].endings.all.isEmpty { break }
            await nodes[2].node.close()
        }
        #expect(nodes[2].endings.all.isEmpty)
        #expect(try await nodes[2].sum(of: 1) == 21)
        #expect(try await nodes[2].sum(of: 2) == 201)
        await nodes.stopAll()
    }
}
