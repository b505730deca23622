import ConsensusTypes
import Testing

@Suite struct MembershipTests {
    private func ids(_ values: UInt64...) -> [NodeID] { values.map(NodeID.init) }

    @Test func listsAreSortedWithoutRepeatsAndDisjoint() {
        let membership = Membership(
            voters: ids(3, 1, 3, 2), outgoingVoters: ids(5, 3, 5), learners: ids(9, 1, 5, 8, 9))
        #expect(membership.voters == ids(1, 2, 3))
        #expect(membership.outgoingVoters == ids(3, 5))
        #expect(membership.learners == ids(8, 9))
        #expect(membership.members == ids(1, 2, 3, 5, 8, 9))
        #expect(membership.isJoint)
        #expect(membership.isVoter(NodeID(5)) && !membership.isVoter(NodeID(8)))
        #expect(membership.isMember(NodeID(8)) && !membership.isMember(NodeID(4)))
    }

    @Test func codingIsReversible() throws {
        var random = SeededRandom(seed: 3)
        for _ in 0..<200 {
            func some() -> [NodeID] {
                (0..<random.next(below: 6)).map { _ in NodeID(random.next() >> random.next(below: 60)) }
            }
            let membership = Membership(voters: some(), outgoingVoters: some(), learners: some())
            var writer = ByteWriter()
            membership.encode(into: &writer)
            var reader = ByteReader(writer.bytes)
            #expect(try Membership.decode(from: &reader) == membership)
            #expect(reader.isAtEnd)
            for cut in 0..<writer.count {
                var truncated = ByteReader(Array(writer.bytes[..<cut]))
                #expect(throws: ByteDecodingError.self) { try Membership.decode(from: &truncated) }
            }
        }
    }

    @Test func bytesAreAsDocumented() {
        var writer = ByteWriter()
        Membership(voters: ids(1), learners: ids(0x0102)).encode(into: &writer)
        #expect(
            writer.bytes == [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0]
                + [1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0])
    }

    @Test func countsAreBounded() {
        var writer = ByteWriter()
        writer.write(UInt32(Membership.maximumMembers + 1))
        var reader = ByteReader(writer.bytes + Array(repeating: 0, count: 100_000))
        let error = #expect(throws: ByteDecodingError.self) { try Membership.decode(from: &reader) }
        #expect(error?.offset == 0)
    }
}
