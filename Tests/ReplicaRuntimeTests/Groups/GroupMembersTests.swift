import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// The groups of a node have the members that the first one decides on.
@Suite struct GroupMembersTests {
    private static let groups: [UInt64] = [1, 2, 3]

    private func join(_ cluster: TestCluster, _ id: UInt64) async throws -> GroupsNode {
        try await cluster.start(id, groups: Self.groups, members: [1, 2, 3, id]) { options in
            options.clusterID = ClusterID(0x100 + id)
            options.joinsCluster = true
        }
    }

    private func haveVoters(_ ids: [UInt64]) -> @Sendable (GroupsNode) -> Bool {
        { node in
            node.hosts.allSatisfy { host in
                guard let core = host.replica?.core else { return false }
                return core.membership(at: core.commitIndex).voters == ids.map { NodeID($0) }
                    && !core.membership.isJoint
            }
        }
    }

    @Test func allGroupsFollowTheFirst() async throws {
        let cluster = TestCluster()
        let nodes = try await cluster.startGroups(Self.groups)
        for group in Self.groups { _ = try await nodes[0].add(Int64(group), to: group) }
        let description = MemberDescription(node: NodeID(4), isPromotedWhenReady: true)
        _ = try await nodes[0].node.changeMembership(MembershipChange([.addLearner(description)]))
        let fourth = try await join(cluster, 4)
        for node in nodes + [fourth] {
            try await node.wait("four voters in each group", until: haveVoters([1, 2, 3, 4]))
        }
        for group in Self.groups { #expect(try await fourth.sum(of: group) == Int64(group)) }
        // A node that leads a group leaves all of them.
        try await (nodes + [fourth]).lead(2, by: 1)
        _ = try await fourth.node.changeMembership(MembershipChange([.remove(NodeID(1))]))
        let rest = Array(nodes[1...]) + [fourth]
        for node in rest { try await node.wait("three voters", until: haveVoters([2, 3, 4])) }
        try await nodes[0].wait("word of its removal") { $0.node.isRemovalTold }
        await nodes[0].stop()
        for group in Self.groups {
            #expect(try await fourth.add(1, to: group) == Int64(group) + 1)
        }
        for node in rest {
            try await node.wait("dropped links") { !$0.node.transport.connectedPeers.contains(NodeID(1)) }
        }
        await rest.stopAll()
    }

    /// Of two nodes one is removed: the other groups still need its vote to follow.
    @Test func aRemovedNodeHelpsUntilAllGroupsHaveFollowed() async throws {
        let cluster = TestCluster()
        let nodes = [
            try await cluster.start(1, groups: Self.groups, members: [1, 2]),
            try await cluster.start(2, groups: Self.groups, members: [1, 2]),
        ]
        for node in nodes {
            for group in Self.groups { try await node.waitForLeader(of: group) }
        }
        // Where the leader of a group is the one that leaves, it removes itself.
        try await nodes.lead(2, by: 2)
        try await nodes.lead(3, by: 1)
        _ = try await nodes[0].node.changeMembership(MembershipChange([.remove(NodeID(2))]))
        try await nodes[0].wait("one voter in each group", until: haveVoters([1]))
        try await nodes[1].wait("word of its removal") { $0.node.isRemovalTold }
        for group in Self.groups {
            try await nodes[0].waitForLeader(of: group)
            #expect(try await nodes[0].add(1, to: group) == 1)
        }
        await nodes.stopAll()
    }

    /// The silent are evicted from all groups, and come back to all.
    @Test func evictionIsFollowed() async throws {
        let cluster = TestCluster()
        func change(_ options: inout ReplicaNodeOptions) {
            options.replicaSettings.members.evictAfterMilliseconds = 1_000
            options.replicaSettings.members.minimumVoters = 2
        }
        var nodes = try await cluster.startGroups(Self.groups, change: change)
        await nodes[2].stop()
        for node in nodes[..<2] { try await node.wait("two voters", until: haveVoters([1, 2])) }
        for group in Self.groups { #expect(try await nodes[0].add(5, to: group) == 5) }
        nodes[2] = try await cluster.start(3, groups: Self.groups, change: change)
        for node in nodes { try await node.wait("three voters", until: haveVoters([1, 2, 3])) }
        for group in Self.groups { #expect(try await nodes[2].sum(of: group) == 5) }
        await nodes.stopAll()
    }
}
