import ConsensusTypes
import PeerTransport
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// Nodes that come and go while the cluster runs.
@Suite(.serialized) struct NodeMembershipTests {
    private func description(_ id: UInt64) -> MemberDescription {
        MemberDescription(
            node: NodeID(id),
            MemberInformation(name: "n\(id)", peerAddresses: [.init(host: "memory", port: Int(id))]))
    }

    private func isVoter(_ id: UInt64) -> @Sendable (SingleGroupNode<TestNode.Group>) -> Bool {
        { $0.replica?.core.membership.isVoter(NodeID(id)) == true }
    }

    @Test func aNodeJoinsAsLearnerAndIsPromoted() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startAll()
        _ = try await nodes[0].add(5)
        // It may be started before it is a member, and waits.
        let joining = try await cluster.join(4, existing: [1, 2, 3])
        #expect(try await joining.run { $0.group == nil })
        let learner = try await nodes[1].node.changeMembership(
            MembershipChange([.addLearner(description(4))]))
        #expect(learner.learners == [NodeID(4)])
        try await joining.wait("the log") { $0.group?.state.sum == 5 }
        // Promotion waits until it has caught up.
        let voters = try await nodes[2].promote(4)
        #expect(voters.voters.count == 4)
        nodes.append(joining)
        for node in nodes { try await node.wait("the new voter", until: isVoter(4)) }
        #expect(try await joining.add(1) == 6)
        #expect(try await joining.sum() == 6)
        await nodes.stopAll()
    }

    /// What a node was started with does not matter any more once its directory says who the members are.
    @Test func aNodeThatJoinedRestartsWithTheOptionsOfItsFirstStart() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startAll([1, 2])
        nodes.append(try await cluster.join(3, existing: [1, 2]))
        _ = try await nodes[0].node.changeMembership(MembershipChange([.addVoter(description(3))]))
        _ = try await nodes[0].add(3)
        try await nodes[2].wait("the log") { $0.group?.state.sum == 3 }
        await nodes.stopAll()
        // Nodes 1 and 2 are told of two members, node 3 that it joins; all three decide.
        nodes = [try await cluster.start(1, members: [1, 2]), try await cluster.join(3, existing: [1, 2])]
        for node in nodes { try await node.waitForLeader() }
        #expect(try await nodes[1].sum() == 3)
        #expect(try await nodes[0].run { $0.membership.voters.count } == 3)
        await nodes.stopAll()
    }

    @Test func aNodeIsRemovedAndLearnsOfIt() async throws {
        let nodes = try await TestCluster().startAll()
        let leader = try await nodes.leader()
        let removed = nodes.first { $0.id != leader.id }!
        let left = try await removed.node.changeMembership(MembershipChange([.remove(removed.id)]))
        #expect(left.voters.count == 2)
        try await removed.wait("word of its removal") { $0.node.isRemovalTold }
        #expect(removed.removals.count == 1)
        let others = nodes.filter { $0.id != removed.id }
        #expect(try await others[0].add(1) == 1)
        for node in others {
            try await node.wait("dropped links") { !$0.node.transport.connectedPeers.contains(removed.id) }
        }
        await nodes.stopAll()
    }

    @Test func aLeaderThatIsRemovedHandsOver() async throws {
        let nodes = try await TestCluster().startAll()
        let leader = try await nodes.leader()
        _ = try await leader.node.changeMembership(MembershipChange([.remove(leader.id)]))
        let others = nodes.filter { $0.id != leader.id }
        #expect(try await others.leader().id != leader.id)
        #expect(try await others[0].add(1) == 1)
        try await leader.wait("word of its removal") { $0.node.isRemovalTold }
        await nodes.stopAll()
    }

    /// A node that was down when it was removed is told by who remembers it, across their restarts.
    @Test func aNodeThatWasAwayIsToldOfItsRemoval() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startAll()
        let away = try await nodes.leader()
        let others = nodes.filter { $0.id != away.id }
        await away.stop()
        _ = try await others[0].node.changeMembership(MembershipChange([.remove(away.id)]))
        for node in others {
            try await node.wait("the removal") { $0.node.known.departed.contains { $0.node == away.id } }
        }
        await others.stopAll()
        nodes = []
        for node in others { nodes.append(try await cluster.start(node.id.rawValue)) }
        let back = try await cluster.start(away.id.rawValue)
        try await back.wait("word of its removal") { $0.node.isRemovalTold }
        #expect(try await nodes[0].add(1) == 1)
        await (nodes + [back]).stopAll()
    }

    /// A follower that is behind does not know its leader, and must let it in all the same.
    @Test func aNodeThatIsBehindLetsALeaderInThatItDoesNotKnow() async throws {
        let cluster = TestCluster()
        let nodes = try await cluster.startAll()
        let behind = nodes[0]
        await behind.stop()
        var others = [nodes[1], nodes[2]]
        for id in [4, 5] as [UInt64] {
            others.append(try await cluster.join(id, existing: [2, 3]))
            _ = try await others[0].node.changeMembership(MembershipChange([.addVoter(description(id))]))
        }
        for id in [2, 3] as [UInt64] {
            _ = try await others[2].node.changeMembership(MembershipChange([.remove(NodeID(id))]))
        }
        // Only nodes that it never heard of are left.
        for node in others[..<2] { await node.stop() }
        _ = try await others[2].add(9)
        let back = try await cluster.start(1)
        try await back.wait("the log") { $0.group?.state.sum == 9 }
        #expect(back.removals.count == 0)
        await (others[2...] + [back]).stopAll()
    }

    @Test func aChangeThatIsNotAllowedIsRefused() async throws {
        let nodes = try await TestCluster().startAll()
        for node in nodes {
            await #expect(throws: MembershipChangeError.invalid(.unknownMember)) {
                _ = try await node.node.changeMembership(MembershipChange([.promote(NodeID(9))]))
            }
            await #expect(throws: MembershipChangeError.invalid(.alreadyMember)) {
                _ = try await node.node.changeMembership(MembershipChange([.addVoter(description(2))]))
            }
        }
        await nodes.stopAll()
        await #expect(throws: MembershipChangeError.service(.stopped)) {
            _ = try await nodes[0].node.changeMembership(MembershipChange([.remove(NodeID(2))]))
        }
    }

    /// Several at once go through a joint membership, and the answer comes when that has ended.
    @Test func aJointChangeIsAnsweredWhenItHasEnded() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startAll()
        for id in [4, 5] as [UInt64] { nodes.append(try await cluster.join(id, existing: [1, 2, 3])) }
        let changed = try await nodes[0].node.changeMembership(
            MembershipChange([.addVoter(description(4)), .addVoter(description(5)), .demote(NodeID(1))]))
        #expect(!changed.isJoint)
        #expect(changed.voters == [2, 3, 4, 5].map { NodeID($0) })
        #expect(changed.learners == [NodeID(1)])
        #expect(try await nodes[4].add(1) == 1)
        await nodes.stopAll()
    }

    /// Data of one cluster and options of another are a mistake, other options of the same cluster are not.
    @Test func optionsOfAnotherClusterAreRefused() async throws {
        let cluster = TestCluster()
        let node = try await cluster.start(1, members: [1])
        await node.stop()
        var options = cluster.options(1, members: [1, 2])
        options.clusterID = ClusterID(0xbad)
        await #expect(throws: NodeError.self) { _ = try await TestNode.start(options) }
        options = cluster.options(1, members: [1])
        options.clusterID = ClusterID(0xbad)
        // Named as they are now: whoever says so knows the cluster.
        let again = try await TestNode.start(options)
        await again.stop()
    }

    @Test func aDamagedRecordIsReadFromItsCopy() async throws {
        let cluster = TestCluster()
        let node = try await cluster.start(1, members: [1])
        await node.stop()
        try cluster.disk(1).flipBit(3, of: "/node/CLUSTER", at: 30)
        let record = try #require(try ClusterFile.read("/node", fileSystem: cluster.disk(1)))
        #expect(record.first.voters == [NodeID(1)])
        let again = try await cluster.start(1, members: [1])
        #expect(try await again.add(1) == 1)
        await again.stop()
    }
}
