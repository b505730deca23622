import ConsensusTypes
import Testing

@Suite struct MembershipChangeTests {
    typealias Step = MembershipChange.Step

    private static func ids(_ values: [UInt64]) -> [NodeID] { values.map(NodeID.init) }

    private static func new(_ node: UInt64, priority: UInt8 = 100) -> MemberDescription {
        MemberDescription(node: NodeID(node), priority: priority, information: ByteSlice([UInt8(node)]))
    }

    private static let three = Membership(voters: ids([1, 2, 3]), learners: ids([7]))

    struct Row: Sendable {
        let steps: [Step]
        let voters: [UInt64]
        var outgoing: [UInt64] = []
        var learners: [UInt64] = []
        var next: [UInt64] = []
    }

    /// What each change of the voters 1, 2, 3 and the learner 7 leads to.
    static let rows: [Row] = [
        Row(steps: [.addLearner(new(4))], voters: [1, 2, 3], learners: [4, 7]),
        Row(steps: [.addVoter(new(4))], voters: [1, 2, 3, 4], learners: [7]),
        Row(steps: [.promote(NodeID(7))], voters: [1, 2, 3, 7]),
        Row(steps: [.demote(NodeID(2))], voters: [1, 3], learners: [2, 7]),
        Row(steps: [.remove(NodeID(3))], voters: [1, 2], learners: [7]),
        Row(steps: [.remove(NodeID(7))], voters: [1, 2, 3]),
        Row(steps: [.describe(new(1, priority: 9))], voters: [1, 2, 3], learners: [7]),
        Row(
            steps: [.promote(NodeID(7)), .remove(NodeID(3))], voters: [1, 2, 7], outgoing: [1, 2, 3]),
        Row(
            steps: [.addVoter(new(4)), .addVoter(new(5))], voters: [1, 2, 3, 4, 5], outgoing: [1, 2, 3],
            learners: [7]),
        Row(
            steps: [.demote(NodeID(1)), .demote(NodeID(2))], voters: [3], outgoing: [1, 2, 3],
            learners: [7], next: [1, 2]),
        // A learner that is removed goes at once, in a joint change too.
        Row(
            steps: [.remove(NodeID(1)), .remove(NodeID(2)), .remove(NodeID(7))], voters: [3],
            outgoing: [1, 2, 3]),
        // Away and back again: nothing changes.
        Row(
            steps: [.remove(NodeID(3)), .addVoter(new(3))], voters: [1, 2, 3], learners: [7]),
        Row(
            steps: [.remove(NodeID(3)), .addLearner(new(3)), .remove(NodeID(2))], voters: [1],
            outgoing: [1, 2, 3], learners: [7], next: [3]),
    ]

    @Test(arguments: rows.indices)
    func changesLeadWhereTheyShould(row: Int) throws {
        let row = Self.rows[row]
        let transition = try MembershipChange(row.steps).applied(to: Self.three)
        let membership = transition.membership
        #expect(membership.voters == Self.ids(row.voters))
        #expect(membership.outgoingVoters == Self.ids(row.outgoing))
        #expect(membership.learners == Self.ids(row.learners))
        #expect(membership.learnersNext == Self.ids(row.next))
        if case .simple = transition { #expect(row.outgoing.isEmpty) } else { #expect(membership.isJoint) }
        let left = membership.left
        #expect(!left.isJoint && left.voters == membership.voters)
        #expect(left.learners == Self.ids((row.learners + row.next).sorted()))
    }

    static let refusals: [(steps: [Step], problem: MembershipChangeProblem)] = [
        ([], .emptyChange),
        ([.addLearner(new(2))], .alreadyMember),
        ([.addVoter(new(7))], .alreadyMember),
        ([.promote(NodeID(1))], .notLearner),
        ([.promote(NodeID(9))], .unknownMember),
        ([.demote(NodeID(7))], .notVoter),
        ([.demote(NodeID(9))], .unknownMember),
        ([.remove(NodeID(9))], .unknownMember),
        ([.describe(new(9))], .unknownMember),
        ([.remove(NodeID(1)), .remove(NodeID(1))], .unknownMember),
        ([.remove(NodeID(1)), .remove(NodeID(2)), .demote(NodeID(3))], .noVoterLeft),
        (
            [.describe(new(1, priority: 0)), .describe(new(2, priority: 0)), .describe(new(3, priority: 0))],
            .noVoterLeft
        ),
        ((10...70).map { .addLearner(new($0)) }, .tooManyMembers),
        (
            [
                .describe(
                    MemberDescription(
                        node: NodeID(1), information: ByteSlice([UInt8](repeating: 0, count: 4_097))))
            ], .informationTooLarge
        ),
    ]

    @Test(arguments: refusals.indices)
    func refusalsNameTheProblem(row: Int) {
        let (steps, problem) = Self.refusals[row]
        let error = #expect(throws: MembershipChangeProblem.self) {
            _ = try MembershipChange(steps).applied(to: Self.three)
        }
        #expect(error == problem)
    }

    /// Voters 1 to 3 and the witness 4, the learner 7 and the evicted witness 8.
    private static let withWitness = Membership(
        voters: ids([1, 2, 3, 4]), learners: ids([7]), evicted: ids([8]),
        descriptions: [witness(4), witness(8)])

    private static func witness(_ node: UInt64) -> MemberDescription {
        MemberDescription(node: NodeID(node), isWitness: true)
    }

    static let witnessRows: [(steps: [Step], problem: MembershipChangeProblem?)] = [
        ([.addVoter(witness(5))], nil),
        ([.addLearner(witness(5)), .addLearner(witness(6))], nil),
        ([.addVoter(witness(5)), .addVoter(witness(6))], nil),
        ([.addVoter(witness(5)), .addVoter(witness(6)), .addVoter(witness(9))], .tooManyWitnesses),
        ([.remove(NodeID(1))], nil),
        ([.remove(NodeID(1)), .remove(NodeID(2))], nil),
        ([.remove(NodeID(1)), .remove(NodeID(2)), .remove(NodeID(3))], .noVoterLeft),
        ([.remove(NodeID(1)), .demote(NodeID(2)), .addVoter(witness(5))], .tooManyWitnesses),
        ([.evict(NodeID(1)), .evict(NodeID(2)), .addVoter(witness(5))], .tooManyWitnesses),
        (
            [.describe(new(1, priority: 0)), .describe(new(2, priority: 0)), .describe(new(3, priority: 0))],
            .noVoterLeft
        ),
        // What a member is, it stays until it is gone.
        ([.describe(new(4))], .witnessFixed),
        ([.describe(witness(1))], .witnessFixed),
        ([.remove(NodeID(4)), .addLearner(new(4))], .witnessFixed),
        ([.remove(NodeID(4)), .addVoter(witness(4))], nil),
        ([.addLearner(new(8))], .witnessFixed),
        ([.addLearner(witness(8))], nil),
        ([.evict(NodeID(4))], nil),
        ([.remove(NodeID(7)), .addVoter(witness(7))], .witnessFixed),
    ]

    @Test(arguments: witnessRows.indices)
    func everyQuorumHasData(row: Int) throws {
        let (steps, problem) = Self.witnessRows[row]
        do throws(MembershipChangeProblem) {
            let next = try MembershipChange(steps).applied(to: Self.withWitness).membership
            #expect(problem == nil)
            #expect(next.hasDataInEveryQuorum)
            for description in next.descriptions where Self.withWitness.isWitness(description.node) {
                #expect(description.isWitness)
            }
        } catch {
            #expect(error == problem)
        }
    }

    @Test func witnessesAreEncoded() throws {
        var writer = ByteWriter()
        Self.withWitness.encode(into: &writer)
        var reader = ByteReader(ByteSlice(writer.bytes))
        #expect(try Membership.decode(from: &reader) == Self.withWitness)
        #expect(Self.withWitness.witnesses == Self.ids([4, 8]))
        // Flags that nobody knows are refused: those of the last description stand before its length.
        var bytes = writer.bytes
        bytes[bytes.count - 5] = 4
        var damaged = ByteReader(ByteSlice(bytes))
        #expect(throws: ByteDecodingError.self) { _ = try Membership.decode(from: &damaged) }
    }

    /// For every number of voters and witnesses: the rule says whether a quorum can do without data.
    @Test func theRuleCountsQuorums() {
        for count in 1...7 {
            for witnesses in 0...count {
                let voters = (1...count).map { NodeID(UInt64($0)) }
                let membership = Membership(
                    voters: voters,
                    descriptions: voters.prefix(witnesses).map {
                        MemberDescription(node: $0, isWitness: true)
                    })
                let decideAlone = membership.isQuorum { membership.isWitness($0) }
                #expect(membership.hasDataInEveryQuorum == !decideAlone, "\(witnesses) of \(count)")
            }
        }
    }

    @Test func jointMembershipsChangeNoFurther() {
        let joint = Membership(voters: Self.ids([1]), outgoingVoters: Self.ids([2]))
        let error = #expect(throws: MembershipChangeProblem.self) {
            _ = try MembershipChange([.remove(NodeID(1))]).applied(to: joint)
        }
        #expect(error == .notSettled)
    }

    /// Every change of up to five voters into any other: whoever may decide by the old membership meets whoever
    /// may decide by the new one, and so does what follows a joint membership.
    @Test func quorumsOfEachStepMeet() throws {
        for old in 1..<32 {
            for new in 1..<32 {
                var steps: [Step] = []
                for bit in 0..<5 {
                    let node = NodeID(UInt64(bit + 1))
                    switch (old >> bit & 1, new >> bit & 1) {
                    case (1, 0): steps.append(bit % 2 == 0 ? .remove(node) : .demote(node))
                    case (0, 1): steps.append(.addVoter(MemberDescription(node: node)))
                    default: break
                    }
                }
                guard !steps.isEmpty else { continue }
                let before = Membership(voters: Self.nodes(of: old))
                let next = try MembershipChange(steps).applied(to: before).membership
                #expect(next.voters == Self.nodes(of: new))
                expectMeeting(before, next)
                expectMeeting(next, next.left)
            }
        }
    }

    private static func nodes(of mask: Int) -> [NodeID] {
        (0..<5).filter { mask >> $0 & 1 == 1 }.map { NodeID(UInt64($0 + 1)) }
    }

    private func expectMeeting(_ first: Membership, _ second: Membership) {
        func isQuorum(_ mask: Int, _ membership: Membership) -> Bool {
            membership.isQuorum { mask >> Int($0.rawValue - 1) & 1 == 1 }
        }
        // A quorum of the one, and its complement: were that a quorum of the other, the two would not meet.
        for mask in 0..<32 where isQuorum(mask, first) && isQuorum(31 ^ mask, second) {
            Issue.record("\(mask) decides by \(first), the others by \(second)")
        }
    }

    @Test func descriptionsFollowTheirMembers() throws {
        let first = Membership(
            voters: Self.ids([1, 2]), learners: Self.ids([3]),
            descriptions: [Self.new(3), Self.new(1, priority: 7), Self.new(1), Self.new(9)])
        #expect(first.descriptions == [Self.new(1, priority: 7), Self.new(3)])
        #expect(first.priority(of: NodeID(1)) == 7 && first.priority(of: NodeID(2)) == 100)
        let change = MembershipChange([
            .remove(NodeID(1)), .promote(NodeID(3)), .describe(Self.new(3, priority: 5)),
        ])
        let joint = try change.applied(to: first).membership
        // Whoever still decides is still described.
        #expect(joint.descriptions == [Self.new(1, priority: 7), Self.new(3, priority: 5)])
        #expect(joint.left.descriptions == [Self.new(3, priority: 5)])
    }

    @Test func changesSurviveTheWay() throws {
        let change = MembershipChange([
            .addLearner(Self.new(4, priority: 0)), .addVoter(Self.new(5)), .promote(NodeID(7)),
            .demote(NodeID(2)), .remove(NodeID(3)), .describe(Self.new(1)),
        ])
        var reader = ByteReader(change.encoded)
        #expect(try MembershipChange.decode(from: &reader) == change)
        #expect(reader.isAtEnd)
        let whole = change.encoded.bytes
        for cut in 0..<whole.count {
            var truncated = ByteReader(Array(whole[..<cut]))
            #expect(throws: ByteDecodingError.self) { try MembershipChange.decode(from: &truncated) }
        }
        for (position, byte) in [(0, UInt8(0)), (4, UInt8(7)), (1, UInt8(2))] {
            var damaged = whole
            damaged[position] = byte
            var reader = ByteReader(damaged)
            let decoded = try? MembershipChange.decode(from: &reader)
            #expect(decoded != change)
        }
    }

    @Test func bytesAreAsDocumented() {
        let change = MembershipChange([
            .promote(NodeID(0x0102)),
            .addVoter(MemberDescription(node: NodeID(3), priority: 50, information: ByteSlice([9, 8]))),
        ])
        #expect(
            change.encoded.bytes == [2, 0, 0, 0] + [3, 2, 1, 0, 0, 0, 0, 0, 0]
                + [2, 3, 0, 0, 0, 0, 0, 0, 0, 50, 0, 2, 0, 0, 0, 9, 8])
    }

    /// The longer form only where there is more to say, and bounded like the shorter one.
    @Test func longMembershipsSurviveTheWay() throws {
        let membership = Membership(
            voters: Self.ids([1]), outgoingVoters: Self.ids([1, 2]), learners: Self.ids([3]),
            learnersNext: Self.ids([2]), evicted: Self.ids([4]), descriptions: [Self.new(2)])
        var writer = ByteWriter()
        membership.encode(into: &writer)
        #expect(
            writer.bytes == [1, 0, 0, 0x80] + [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
                + [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
                + [1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
                + [1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
                + [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 100, 0, 1, 0, 0, 0, 2])
        var reader = ByteReader(writer.bytes)
        #expect(try Membership.decode(from: &reader) == membership)
        #expect(reader.isAtEnd)
        for cut in 0..<writer.count {
            var truncated = ByteReader(Array(writer.bytes[..<cut]))
            #expect(throws: ByteDecodingError.self) { try Membership.decode(from: &truncated) }
        }
        var huge = writer.bytes
        huge.replaceSubrange((huge.count - 5)..<(huge.count - 1), with: [1, 16, 0, 0])
        var hugeReader = ByteReader(huge + [UInt8](repeating: 0, count: 5_000))
        let error = #expect(throws: ByteDecodingError.self) { try Membership.decode(from: &hugeReader) }
        #expect(error?.offset == huge.count - 5)
    }
}
