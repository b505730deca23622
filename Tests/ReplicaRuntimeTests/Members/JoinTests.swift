import ConsensusTypes
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

@Suite struct JoinTests {
    private static func information(
        _ name: String, _ ports: Int..., clients: [String] = []
    ) -> MemberInformation {
        MemberInformation(
            name: name, peerAddresses: ports.map { .init(host: "10.0.0.1", port: $0) }, clientURLs: clients)
    }

    private static let membership = Membership(
        voters: [NodeID(1), NodeID(2)], learners: [NodeID(3)], evicted: [NodeID(4)],
        descriptions: [
            MemberDescription(node: NodeID(1), information("n1", 1)),
            MemberDescription(node: NodeID(2), priority: 7, information("n2", 2, 20)),
            MemberDescription(node: NodeID(3), information("", 3)),
            MemberDescription(node: NodeID(4), information("n4", 4)),
        ])

    private static func decide(
        _ node: UInt64, _ information: MemberInformation, directory: UInt64 = 9, isAddressed: Bool = true,
        living: [NodeID: DirectoryID] = [:]
    ) -> JoinDecision {
        JoinRules(membership: membership, isAddressed: isAddressed, livingDirectory: { living[$0] }).decide(
            JoinQuestion(
                clusterName: "x", node: NodeID(node), directory: DirectoryID(directory),
                information: information))
    }

    private static func refusal(_ decision: JoinDecision) -> JoinRefusal? {
        if case .refuse(let refusal, _) = decision { refusal } else { nil }
    }

    @Test func aStrangerBecomesALearnerThatIsPromoted() {
        let asked = Self.information("n5", 5, clients: ["http://10.0.0.1:50"])
        #expect(
            Self.decide(5, asked)
                == .change(
                    MembershipChange([
                        .addLearner(
                            MemberDescription(
                                node: NodeID(5), isPromotedWhenReady: true, information: asked.encode()))
                    ])))
    }

    /// One that was evicted comes back like a stranger.
    @Test func anEvictedMemberIsTakenBack() {
        guard case .change(let change) = Self.decide(4, Self.information("n4", 4)) else {
            Issue.record("refused")
            return
        }
        #expect(change.steps.count == 1)
        if case .addLearner = change.steps[0] {} else { Issue.record("\(change)") }
    }

    /// A witness that asks, as a member or after it was evicted, stays one.
    @Test(arguments: [false, true]) func aWitnessStaysOne(isEvicted: Bool) throws {
        let witness = MemberDescription(
            node: NodeID(4), isWitness: true, information: Self.information("n4", 4).encode())
        let voters = [NodeID(1), NodeID(2)]
        let membership = Membership(
            voters: isEvicted ? voters : voters + [NodeID(4)], evicted: isEvicted ? [NodeID(4)] : [],
            descriptions: [witness])
        let question = JoinQuestion(
            clusterName: "x", node: NodeID(4), directory: DirectoryID(9),
            information: Self.information("n4", 4))
        let rules = JoinRules(membership: membership, isAddressed: true, livingDirectory: { _ in nil })
        guard case .change(let change) = rules.decide(question) else {
            Issue.record("refused")
            return
        }
        guard case .simple(let next) = try change.applied(to: membership) else {
            Issue.record("\(change)")
            return
        }
        #expect(next.isMember(NodeID(4)) && next.isWitness(NodeID(4)))
    }

    @Test func namesAndAddressesOfOthersAreRefused() {
        #expect(Self.refusal(Self.decide(5, Self.information("n1", 5))) == .nameTaken)
        #expect(Self.refusal(Self.decide(5, Self.information("n4", 5))) == .nameTaken)
        #expect(Self.refusal(Self.decide(5, Self.information("n5", 5, 20))) == .addressInUse)
        #expect(Self.refusal(Self.decide(5, Self.information("n5", 5, 4))) == .addressInUse)
        #expect(Self.refusal(Self.decide(5, Self.information("n5", 5, 4), isAddressed: false)) == nil)
        // The id of a member, and another name.
        #expect(Self.refusal(Self.decide(2, Self.information("n5", 2))) == .addressInUse)
    }

    /// The same question again.
    @Test func aMemberIsConfirmedAndKeepsItsRights() {
        let asked = Self.information("n2", 20, 2, clients: ["http://10.0.0.1:22"])
        let expected = JoinDecision.change(
            MembershipChange([
                .describe(MemberDescription(node: NodeID(2), priority: 7, information: asked.encode()))
            ]))
        #expect(Self.decide(2, asked) == expected)
        // It runs, and is who asks.
        #expect(Self.decide(2, asked, living: [NodeID(2): DirectoryID(9)]) == expected)
        // An operator added it by its address only.
        #expect(Self.refusal(Self.decide(3, Self.information("n3", 3))) == nil)
    }

    @Test func aMemberThatRunsOrIsElsewhereIsNotReplaced() {
        let asked = Self.information("n2", 2, 20)
        #expect(Self.refusal(Self.decide(2, asked, living: [NodeID(2): DirectoryID(8)])) == .nameTaken)
        #expect(Self.refusal(Self.decide(2, Self.information("n2", 5))) == .nameTaken)
        #expect(
            Self.refusal(Self.decide(2, Self.information("n2", 5), living: [NodeID(2): DirectoryID(9)]))
                == nil)
        #expect(Self.refusal(Self.decide(2, Self.information("n2", 5), isAddressed: false)) == nil)
    }

    @Test func whatCannotBeWrittenDownIsRefused() {
        let long = String(repeating: "n", count: MemberInformation.maximumNameSizeBytes + 1)
        for (node, information) in [
            (5, Self.information("", 5)), (5, Self.information("n5")), (0, Self.information("n5", 5)),
            (5, Self.information(long, 5)),
        ] {
            #expect(Self.refusal(Self.decide(UInt64(node), information)) == .malformed)
        }
    }

    // MARK: Bytes

    @Test func questionsAndAnswersAreReadAsWritten() throws {
        let question = JoinQuestion(
            clusterName: "default\nelection x", node: NodeID(5), directory: DirectoryID(77),
            information: Self.information("n5", 5, clients: ["http://10.0.0.1:50"]))
        #expect(try JoinQuestion.decode(ByteSlice(question.encode())) == question)
        let answers: [JoinAnswer] = [
            .accepted(cluster: ClusterID(3), Self.membership),
            .askLeader(NodeID(2), [.init(host: "::1", port: 2)]),
            .refused(code: 200, reason: "of a later version"),
        ]
        for answer in answers { #expect(try JoinAnswer.decode(ByteSlice(answer.encode())) == answer) }
        #expect(
            try JoinAnswer.decode(ByteSlice(JoinAnswer.refused(.busy, "one\u{1b}[31m\ntwo").encode()))
                == .refused(code: 8, reason: "one [31m two"))
    }

    @Test func damagedBytesAreErrors() throws {
        let question = JoinQuestion(
            clusterName: "x", node: NodeID(5), directory: DirectoryID(77),
            information: Self.information("n5", 5)
        ).encode()
        let answer = JoinAnswer.accepted(cluster: ClusterID(3), Self.membership).encode()
        for count in 0..<question.count {
            #expect(throws: ByteDecodingError.self) {
                try JoinQuestion.decode(ByteSlice(Array(question[..<count])))
            }
        }
        for count in 0..<answer.count {
            #expect(throws: ByteDecodingError.self) {
                try JoinAnswer.decode(ByteSlice(Array(answer[..<count])))
            }
        }
        #expect(throws: ByteDecodingError.self) { try JoinQuestion.decode(ByteSlice(question + [0])) }
        #expect(throws: ByteDecodingError.self) { try JoinAnswer.decode(ByteSlice([1, 9])) }
        #expect(throws: ByteDecodingError.self) { try JoinAnswer.decode(ByteSlice([2, 0])) }
    }

    /// As docs/formats/peer-protocol.md shows them.
    @Test func theDocumentedBytesAreTheBytes() {
        let question = JoinQuestion(
            clusterName: "c", node: NodeID(5), directory: DirectoryID(0xd1),
            information: MemberInformation(name: "n5", peerAddresses: [.init(host: "h", port: 2_380)]))
        #expect(
            question.encode() == [
                0x01, 0x01, 0, 0, 0, 0x63, 0x05, 0, 0, 0, 0, 0, 0, 0, 0xd1, 0, 0, 0, 0, 0, 0, 0,
                0x12, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0x6e, 0x35, 0x01, 0x01, 0, 0, 0, 0x68, 0x4c, 0x09, 0, 0,
                0,
            ])
        #expect(
            JoinAnswer.refused(.noLeader, "no").encode() == [0x01, 0x02, 0x06, 0x02, 0, 0, 0, 0x6e, 0x6f])
    }
}
