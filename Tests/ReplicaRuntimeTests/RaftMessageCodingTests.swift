import ConsensusTypes
import RaftCore
import Testing

@testable import ReplicaRuntime

@Suite struct RaftMessageCodingTests {
    private static let position = LogPosition(term: Term(3), index: LogIndex(17))
    private static let proposal = ProposalID(session: 0xfeed, sequence: 9)
    private static let entries = [
        Entry(index: LogIndex(18), term: Term(3), kind: .noOperation),
        Entry(
            index: LogIndex(19), term: Term(4), kind: .command, proposal: proposal,
            payload: ByteSlice(Array("a command".utf8))),
    ]
    private static let metadata = SnapshotMetadata(
        index: LogIndex(100), term: Term(2),
        membership: Membership(voters: [NodeID(1), NodeID(2), NodeID(3)]))

    static let bodies: [RaftMessage.Body] = [
        .preVoteRequest(position),
        .preVoteResponse(granted: true),
        .voteRequest(position),
        .voteResponse(granted: false),
        .append(
            AppendEntries(
                previous: position, entries: entries, commitIndex: LogIndex(12), readRound: 5,
                sentAt: Instant(nanoseconds: 123))),
        .append(
            AppendEntries(
                previous: position, entries: [], commitIndex: LogIndex(12), readRound: 0, sentAt: .zero)),
        .append(
            AppendEntries(
                previous: position, entries: entries, commitIndex: LogIndex(12), readRound: 5,
                sentAt: Instant(nanoseconds: 123), timeoutFactor: 10)),
        .appendResponse(
            AppendResponse(outcome: .matched(LogIndex(19)), readRound: 5, sentAt: Instant(nanoseconds: 7))),
        .appendResponse(
            AppendResponse(
                outcome: .mismatch(rejected: LogIndex(17), hint: position), readRound: 5, sentAt: .zero)),
        .snapshotChunk(
            SnapshotChunk(
                metadata: metadata, offset: 4_096, bytes: ByteSlice([1, 2, 3]), isLast: true, sentAt: .zero)),
        .snapshotChunk(
            SnapshotChunk(
                metadata: metadata.asWithheld, offset: 0, bytes: ByteSlice(), isLast: true,
                sentAt: Instant(nanoseconds: 7))),
        .snapshotResponse(
            SnapshotResponse(index: LogIndex(100), outcome: .wants(offset: 77), sentAt: .zero)),
        .snapshotResponse(SnapshotResponse(index: LogIndex(100), outcome: .installed, sentAt: .zero)),
        .snapshotResponse(SnapshotResponse(index: LogIndex(100), outcome: .refused, sentAt: .zero)),
        .propose([Proposal(id: proposal, payload: ByteSlice([9, 8]), needsSpace: true)]),
        .propose([
            Proposal(id: proposal, kind: .membershipChange, payload: ByteSlice([1]), needsSpace: false),
            Proposal(id: proposal, payload: ByteSlice([2]), needsSpace: true),
        ]),
        .proposeRejected([proposal], .noSpace),
        .proposeRejected([proposal], .invalidChange(.noVoterLeft)),
        .transferVoteRequest(position),
        .timeoutNow,
        .readIndexRequest(ReadBatchID(session: 1, sequence: 2)),
        .readIndexResponse(ReadBatchID(session: 1, sequence: 2), LogIndex(55)),
        .readIndexResponse(ReadBatchID(session: 1, sequence: 2), nil),
    ]

    /// An append under the configured timeout has the bytes that it always had, and one under a longer timeout
    /// another kind, and the factor.
    @Test func onlyALongerTimeoutIsSaid() throws {
        func append(_ factor: UInt8) -> [UInt8] {
            bytes(
                .append(
                    AppendEntries(
                        previous: Self.position, entries: [], commitIndex: LogIndex(12), readRound: 0,
                        sentAt: .zero, timeoutFactor: factor)))
        }
        #expect(append(3).count == append(1).count + 1)
        var wrong = append(3)
        let position = try #require(wrong.firstIndex(of: 19)) + 1
        #expect(wrong[position] == 3)
        for factor in [0, 1, 11, 255] as [UInt8] {
            wrong[position] = factor
            #expect(throws: ByteDecodingError.self) { try RaftMessageCoding.decode(ByteSlice(wrong)) }
        }
    }

    private func bytes(_ body: RaftMessage.Body) -> [UInt8] {
        RaftMessageCoding.encode(
            RaftMessage(from: NodeID(1), to: NodeID(2), term: Term(4), body: body), group: GroupID(6))
    }

    @Test(arguments: bodies)
    func everyMessageSurvivesTheWay(body: RaftMessage.Body) throws {
        let (group, message) = try RaftMessageCoding.decode(ByteSlice(bytes(body)))
        #expect(group == GroupID(6))
        #expect(message == RaftMessage(from: NodeID(1), to: NodeID(2), term: Term(4), body: body))
    }

    @Test(arguments: bodies)
    func everyPrefixIsRefused(body: RaftMessage.Body) {
        let whole = bytes(body)
        for count in 0..<whole.count {
            #expect(throws: ByteDecodingError.self) {
                _ = try RaftMessageCoding.decode(ByteSlice(Array(whole[..<count])))
            }
        }
        #expect(throws: ByteDecodingError.self) {
            _ = try RaftMessageCoding.decode(ByteSlice(whole + [0]))
        }
    }

    @Test func randomBytesNeverStopTheDecoder() {
        var random = SeededRandom(seed: 4)
        for _ in 0..<20_000 {
            var noise = bytes(
                RaftMessageCodingTests.bodies[Int(random.next(below: UInt64(Self.bodies.count)))])
            for _ in 0..<1 + random.next(below: 4) {
                noise[Int(random.next(below: UInt64(noise.count)))] = UInt8(truncatingIfNeeded: random.next())
            }
            _ = try? RaftMessageCoding.decode(ByteSlice(noise))
        }
    }

    @Test func everyReasonHasANumberOfItsOwn() {
        let reasons = (0...UInt8.max).compactMap(ProposalRejection.init(rawValue:))
        #expect(reasons.count == 7 + MembershipChangeProblem.allCases.count)
        for reason in reasons {
            #expect(ProposalRejection(rawValue: reason.rawValue) == reason)
        }
        #expect(ProposalRejection.noSpace.rawValue == 2)
    }

    @Test func unknownKindsOfProposalsAreRefused() {
        var body = bytes(.propose([Proposal(id: Self.proposal, payload: ByteSlice(), needsSpace: false)]))
        let flags = body.count - 5
        body[flags] = 4
        let error = #expect(throws: ByteDecodingError.self) {
            _ = try RaftMessageCoding.decode(ByteSlice(body))
        }
        #expect(error?.offset == flags)
    }

    /// The example in docs/formats/peer-messages.md.
    @Test func theDocumentedBytesAreTheBytes() {
        let documented: [UInt8] = [
            6, 0, 0, 0, 0, 0, 0, 0,  // group
            1, 0, 0, 0, 0, 0, 0, 0,  // from
            2, 0, 0, 0, 0, 0, 0, 0,  // to
            4, 0, 0, 0, 0, 0, 0, 0,  // term
            3,  // vote request
            3, 0, 0, 0, 0, 0, 0, 0,  // term of the last entry
            17, 0, 0, 0, 0, 0, 0, 0,  // index of the last entry
        ]
        #expect(bytes(.voteRequest(RaftMessageCodingTests.position)) == documented)
    }
}
