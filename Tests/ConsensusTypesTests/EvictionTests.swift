import ConsensusTypes
import Testing

@Suite("Members that were evicted")
struct EvictionTests {
    private static func description(_ node: UInt64, isPromotedWhenReady: Bool = false) -> MemberDescription {
        MemberDescription(
            node: NodeID(node), priority: 7, isPromotedWhenReady: isPromotedWhenReady,
            information: ByteSlice(Array("node \(node)".utf8)))
    }

    private static let five = Membership(
        voters: (1...5).map { NodeID($0) }, descriptions: (1...5).map { description($0) })

    private func take(
        _ steps: [MembershipChange.Step], in membership: Membership
    ) throws -> Membership {
        try MembershipChange(steps).applied(to: membership).membership
    }

    @Test("An evicted member counts in nothing, and what is said of it stays")
    func evict() throws {
        let four = try take([.evict(NodeID(5))], in: Self.five)
        #expect(four.voters == (1...4).map { NodeID($0) })
        #expect(four.evicted == [NodeID(5)])
        #expect(!four.isMember(NodeID(5)) && !four.members.contains(NodeID(5)))
        #expect(four.description(of: NodeID(5)) == Self.description(5))
    }

    @Test("It comes back as a learner, as a voter, or is forgotten")
    func comeBack() throws {
        let four = try take([.evict(NodeID(5))], in: Self.five)
        let back = Self.description(5, isPromotedWhenReady: true)
        let learner = try take([.addLearner(back)], in: four)
        #expect(learner.learners == [NodeID(5)] && learner.evicted.isEmpty)
        #expect(learner.description(of: NodeID(5)) == back)
        let voter = try take([.addVoter(back)], in: four)
        #expect(voter.voters.contains(NodeID(5)) && voter.evicted.isEmpty)
        let forgotten = try take([.remove(NodeID(5))], in: four)
        #expect(forgotten.evicted.isEmpty && forgotten.description(of: NodeID(5)) == nil)
        #expect(throws: MembershipChangeProblem.unknownMember) { try take([.evict(NodeID(5))], in: four) }
    }

    @Test("Evicted in a joint change, it is gone when the change ends")
    func evictSeveral() throws {
        let change = MembershipChange([.evict(NodeID(4)), .evict(NodeID(5))])
        guard case .joint(let joint) = try change.applied(to: Self.five) else {
            Issue.record("two voters go at once")
            return
        }
        #expect(joint.isVoter(NodeID(5)))
        #expect(joint.left.evicted == [NodeID(4), NodeID(5)])
        #expect(joint.left.description(of: NodeID(4)) == Self.description(4))
    }

    @Test("Memberships and changes with evicted members survive encoding")
    func coding() throws {
        for membership in [
            try take([.evict(NodeID(5))], in: Self.five),
            Membership(voters: [NodeID(1)], evicted: [NodeID(2)]),
            try take([.evict(NodeID(4)), .evict(NodeID(5))], in: Self.five),
        ] {
            var writer = ByteWriter()
            membership.encode(into: &writer)
            var reader = ByteReader(ByteSlice(writer.bytes))
            #expect(try Membership.decode(from: &reader) == membership)
            #expect(reader.isAtEnd)
        }
        let change = MembershipChange([
            .evict(NodeID(9)), .addLearner(Self.description(9, isPromotedWhenReady: true)),
        ])
        var reader = ByteReader(change.encoded)
        #expect(try MembershipChange.decode(from: &reader) == change)
    }
}
