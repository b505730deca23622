import ConsensusTypes
import NIOCore
import Testing

@testable import PeerTransport

/// Nodes that join a cluster, that were removed, and that are not known yet.
@Suite struct MembershipTests {
    @Test func aNodeThatJoinsIsToldItsCluster() async throws {
        let member = try await TestNode.start(1)
        let joining = try await TestNode.start(2, cluster: ClusterID(0))
        try await joining.setPeers([member.address])
        try await member.setPeers([joining.address])
        try await joining.wait(for: .connected(member.id))
        try await member.wait(for: .connected(joining.id))
        #expect(try await joining.run { transport, _ in transport.clusterID } == TestNode.cluster)
        let told = try await joining.events().filter { $0 == .learned(TestNode.cluster) }
        #expect(told.count == 1)
        try await member.shutdown()
        try await joining.shutdown()
    }

    /// Only members are told anything.
    @Test func aStrangerIsNotToldTheCluster() async throws {
        let member = try await TestNode.start(1)
        let joining = try await TestNode.start(2, cluster: ClusterID(0))
        try await joining.setPeers([member.address])
        try await waitForLog(joining, "it refuses this node: node 2 is not a peer of node 1")
        #expect(try await joining.run { transport, _ in transport.clusterID } == ClusterID(0))
        #expect(try await member.events() == [])
        try await member.shutdown()
        try await joining.shutdown()
    }

    @Test func twoThatDoNotKnowTheClusterRefuseEachOther() async throws {
        let first = try await TestNode.start(1, cluster: ClusterID(0))
        let second = try await TestNode.start(2, cluster: ClusterID(0))
        try await first.setPeers([second.address])
        try await second.setPeers([first.address])
        try await waitForLog(first, "neither node 1 nor node 2 knows which cluster it belongs to")
        #expect(try await first.events() == [])
        try await first.shutdown()
        try await second.shutdown()
    }

    @Test func aRemovedNodeIsToldAndDoesNotKeepKnocking() async throws {
        let member = try await TestNode.start(1)
        let removed = try await TestNode.start(2)
        let (left, there) = (removed.id, member.address)
        try await member.run { transport, _ in
            transport.update(peers: [], departed: [DepartedPeer(node: left, position: 8)])
        }
        try await removed.run { transport, _ in transport.update(peers: [there], memberSince: 7) }
        try await removed.wait(for: .removalReported(member.id))
        // The next try comes after five seconds, and was not due yet.
        #expect(try await removed.events().filter { $0 == .removalReported(member.id) }.count == 1)
        #expect(try await !member.events().contains { if case .knocked = $0 { true } else { false } })
        try await member.shutdown()
        try await removed.shutdown()
    }

    /// A node that knows itself to be a member at a later place than that of its removal was added again: who does
    /// not know it is behind, and lets it in.
    @Test func aNodeThatWasAddedAgainIsLetIn() async throws {
        let behind = try await TestNode.start(1)
        let back = try await TestNode.start(2)
        let (departed, there, ownAddress) = (back.id, behind.address, back.address)
        try await behind.run { transport, recorder in
            transport.update(peers: [], departed: [DepartedPeer(node: departed, position: 8)])
            recorder.reaction = { event in
                if case .knocked(let address) = event { transport.update(peers: [address]) }
            }
        }
        try await back.run { transport, _ in
            transport.update(peers: [there, ownAddress], memberSince: 9)
        }
        try await back.wait(for: .connected(behind.id))
        try await behind.wait(for: .connected(back.id))
        #expect(try await behind.events().contains(.knocked(ownAddress)))
        #expect(try await !back.events().contains(.removalReported(behind.id)))
        try await behind.shutdown()
        try await back.shutdown()
    }

    /// A node that joins again does not know of itself yet: it must not take itself for removed.
    @Test func aNodeThatJoinsAgainIsNotToldOfItsRemoval() async throws {
        let behind = try await TestNode.start(1)
        let joining = try await TestNode.start(2, cluster: ClusterID(0))
        let (departed, there) = (joining.id, behind.address)
        try await behind.run { transport, _ in
            transport.update(peers: [], departed: [DepartedPeer(node: departed, position: 8)])
        }
        try await joining.run { transport, _ in transport.update(peers: [there], memberSince: 0) }
        try await waitForLog(joining, "it refuses this node: node 2 is not a peer of node 1")
        #expect(try await joining.events() == [])
        try await behind.shutdown()
        try await joining.shutdown()
    }

    @Test func introductionsSurviveTheWay() throws {
        var hello = HandshakeTests.hello
        hello.introduction = SelfIntroduction(memberSince: 1 << 40, host: "::1", port: 65_535)
        #expect(try Hello(decoding: ByteSlice(hello.encoded())) == hello)
        let bytes = hello.encoded()
        for count in 0..<bytes.count {
            #expect(throws: ByteDecodingError.self) { try Hello(decoding: ByteSlice(bytes, 0..<count)) }
        }
    }

    @Test func hostsThatAreNoneAreRefused() throws {
        for host in ["a b", "a\nb", "ü", String(repeating: "a", count: 256)] {
            var writer = ByteWriter()
            writer.write(UInt64(1))
            writer.writeSized(Array(host.utf8))
            writer.write(UInt32(1))
            #expect(throws: ByteDecodingError.self) {
                try SelfIntroduction(decoding: ByteSlice(writer.bytes))
            }
        }
    }
}
