import ConsensusTypes
import Testing

@testable import RaftCore

/// Sections 6 and 7 of the paper, as far as a static membership needs them.
@Suite struct SnapshotAndMembershipTests {
    private let members = Membership(voters: nodes(1, 2, 3))

    private func metadata(_ at: Int, _ term: Int) -> SnapshotMetadata {
        SnapshotMetadata(index: index(at), term: Term(UInt64(term)), membership: members)
    }

    private func chunk(
        _ metadata: SnapshotMetadata, offset: UInt64 = 0, count: Int = 4, isLast: Bool = true
    ) -> RaftMessage.Body {
        .snapshotChunk(
            SnapshotChunk(
                metadata: metadata, offset: offset, bytes: ByteSlice(Array(repeating: 7, count: count)),
                isLast: isLast, sentAt: .zero))
    }

    private func outcomes(_ messages: [RaftMessage]) -> [SnapshotResponse.Outcome] {
        messages.compactMap {
            if case .snapshotResponse(let response) = $0.body { response.outcome } else { nil }
        }
    }

    // MARK: Section 7, snapshots

    @Test func section7SnapshotReplacesALogThatDisagrees() {
        var lone = LoneCore(terms: [1, 1, 2, 2, 2])
        _ = lone.receive(chunk(metadata(4, 3)), from: 2, term: 3)
        #expect(lone.core.lastIndex == index(5))
        lone.core.snapshotReceived(metadata(4, 3), now: lone.now)
        let effects = lone.core.takeEffects(now: lone.now)
        #expect(effects.restore == metadata(4, 3))
        #expect(effects.persist?.snapshot == metadata(4, 3))
        #expect(effects.persist?.keepsSuffix == false)
        #expect(outcomes(effects.messagesAfterPersist) == [.installed])
        #expect(outcomes(effects.messages).isEmpty)
        #expect(lone.core.lastPosition == position(4, 3))
        #expect(lone.core.commitIndex == index(4))
    }

    @Test func section7SnapshotOfWhatTheLogHasIsNotTransferred() {
        var lone = LoneCore(terms: [1, 1, 2, 2])
        let sent = lone.receive(chunk(metadata(3, 2), isLast: false), from: 2, term: 3)
        #expect(outcomes(sent) == [.installed])
        #expect(lone.core.commitIndex == index(3))
        #expect(lone.terms == [1, 1, 2, 2])
        #expect(lone.committed.count == 3)
    }

    @Test func section7OldSnapshotsTakeNothingAway() {
        var lone = LoneCore(terms: [1, 1, 1], commit: 3)
        let sent = lone.receive(chunk(metadata(2, 1)), from: 2, term: 1)
        #expect(outcomes(sent) == [.installed])
        #expect(lone.terms == [1, 1, 1])
    }

    /// The leader takes "installed" for durable.
    @Test func installedIsSaidOfWhatIsDurable() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        lone.isDiskStalled = true
        _ = lone.append([entry(2, 1), entry(3, 1)], after: position(1, 1), commit: 3, term: 1)
        #expect(lone.core.commitIndex == index(3))
        let sent = lone.receive(chunk(metadata(2, 1)), from: 2, term: 1)
        #expect(outcomes(sent).isEmpty)
        let released = lone.finishPersists() + lone.turn()
        #expect(outcomes(released) == [.installed])
    }

    @Test func chunksAreTakenInOrderAndOnce() {
        var lone = LoneCore()
        let snapshot = metadata(9, 2)
        #expect(
            outcomes(lone.receive(chunk(snapshot, offset: 4, isLast: false), from: 2, term: 2))
                == [.wants(offset: 0)])
        #expect(
            outcomes(lone.receive(chunk(snapshot, isLast: false), from: 2, term: 2)) == [.wants(offset: 4)])
        #expect(
            outcomes(lone.receive(chunk(snapshot, isLast: false), from: 2, term: 2)) == [.wants(offset: 4)])
        #expect(
            outcomes(lone.receive(chunk(snapshot, offset: 8), from: 2, term: 2)) == [.wants(offset: 4)])
        #expect(outcomes(lone.receive(chunk(snapshot, offset: 4), from: 2, term: 2)).isEmpty)
        // The last chunk again while the whole is being stored.
        #expect(outcomes(lone.receive(chunk(snapshot, offset: 4), from: 2, term: 2)).isEmpty)
        lone.core.snapshotReceived(snapshot, now: lone.now)
        let sent = lone.turn()
        #expect(outcomes(sent) == [.installed])
    }

    @Test func leaderChangeForgetsAHalfSnapshot() {
        var lone = LoneCore()
        _ = lone.receive(chunk(metadata(9, 2), isLast: true), from: 2, term: 2)
        _ = lone.append(from: 3, term: 3)
        lone.core.snapshotReceived(metadata(9, 2), now: lone.now)
        _ = lone.turn()
        #expect(lone.core.commitIndex == .zero)
    }

    @Test func leaderSendsASnapshotWhereItsLogBegins() {
        var lone = LoneCore(terms: [2, 2], snapshot: (5, 2))
        _ = lone.becomeLeader()
        lone.core.receive(
            RaftMessage(
                from: node(2), to: node(1), term: Term(3),
                body: .appendResponse(
                    AppendResponse(
                        outcome: .mismatch(rejected: index(7), hint: position(3, 1)), readRound: 0,
                        sentAt: lone.now))), now: lone.now)
        var effects = lone.core.takeEffects(now: lone.now)
        // One probe may go to where the log begins.
        if effects.snapshotReads.isEmpty {
            _ = lone.answer(.mismatch(rejected: index(5), hint: position(3, 1)), from: 2)
            effects = lone.core.takeEffects(now: lone.now)
        }
        #expect(lone.core.status.members[0].isReceivingSnapshot)
    }

    /// A chunk that was repeated is answered twice; only the first answer brings the next chunk.
    @Test func repeatedAnswersBringOneChunk() {
        var lone = LoneCore(terms: [], snapshot: (5, 2))
        _ = lone.becomeLeader()
        _ = lone.core.takeEffects(now: lone.now)
        _ = lone.answer(.mismatch(rejected: index(5), hint: position(3, 1)), from: 2)
        let snapshot = metadata(5, 2)
        func provide(_ lone: inout LoneCore, offset: UInt64) -> Int {
            lone.core.provideSnapshotChunk(
                SnapshotChunk(
                    metadata: snapshot, offset: offset, bytes: ByteSlice([1, 2]), isLast: false,
                    sentAt: .zero), to: node(2), now: lone.now)
            return lone.turn().count
        }
        #expect(provide(&lone, offset: 0) == 1)
        let wants = RaftMessage(
            from: node(2), to: node(1), term: Term(3),
            body: .snapshotResponse(
                SnapshotResponse(index: index(5), outcome: .wants(offset: 2), sentAt: lone.now)))
        lone.core.receive(wants, now: lone.now)
        let first = lone.core.takeEffects(now: lone.now)
        #expect(first.snapshotReads.map(\.offset) == [2])
        #expect(provide(&lone, offset: 2) == 1)
        lone.core.receive(wants, now: lone.now)
        let second = lone.core.takeEffects(now: lone.now)
        #expect(second.snapshotReads.isEmpty)
    }

    @Test func compactionKeepsWhatFollowersMayNeed() {
        var lone = LoneCore(terms: [1, 1, 1, 1], commit: 4)
        _ = lone.turn()
        lone.core.compactLog(through: index(2), snapshot: metadata(4, 1))
        #expect(lone.core.firstIndex == index(3))
        #expect(lone.core.term(at: index(2)) == Term(1))
        #expect(lone.core.term(at: index(1)) == nil)
        #expect(lone.core.lastIndex == index(4))
    }

    // MARK: Section 6, memberships

    private func membershipEntry(_ at: Int, _ term: Int, _ membership: Membership) -> Entry {
        var writer = ByteWriter()
        membership.encode(into: &writer)
        return Entry(
            index: index(at), term: Term(UInt64(term)), kind: .membership, payload: ByteSlice(writer.bytes))
    }

    @Test func section6TheLatestMembershipInTheLogCounts() {
        var lone = LoneCore(terms: [1])
        let joint = Membership(voters: nodes(1, 4, 5), outgoingVoters: nodes(1, 2, 3))
        _ = lone.append([membershipEntry(2, 1, joint)], after: position(1, 1), term: 1)
        #expect(lone.core.commitIndex == .zero)
        #expect(lone.core.membership == joint)
        #expect(lone.core.membership(at: index(1)) == members)
        // A later leader that does not have it takes it away again.
        _ = lone.append([entry(2, 2)], after: position(1, 1), from: 3, term: 2)
        #expect(lone.core.membership == members)
    }

    @Test func section6MembershipsSurviveCompactionAndRestart() {
        var lone = LoneCore(terms: [1])
        let next = Membership(voters: nodes(1, 2, 3), learners: nodes(4))
        _ = lone.append(
            [membershipEntry(2, 1, next), entry(3, 1)], after: position(1, 1), commit: 3, term: 1)
        let snapshot = SnapshotMetadata(index: index(3), term: Term(1), membership: next)
        lone.core.compactLog(through: index(3), snapshot: snapshot)
        #expect(lone.core.membership == next)
        #expect(lone.core.membership(at: index(3)) == next)
        let again = RaftCore(
            nodeID: node(1), settings: RaftSettings(),
            restored: RestoredState(
                hardState: HardState(term: Term(1)), snapshot: metadata(1, 1),
                entries: [membershipEntry(2, 1, next), entry(3, 1)]),
            session: 1, now: .zero, seed: 1)
        #expect(again.membership == next)
    }

    @Test func section6JointMembershipsNeedBothMajorities() {
        let joint = Membership(voters: nodes(1, 2, 3), outgoingVoters: nodes(3, 4, 5))
        var lone = LoneCore(members: joint)
        _ = lone.becomeCandidate(with: [2, 3, 4])
        #expect(lone.core.role == .candidate)
        for voter in [2, 3] { _ = lone.receive(.voteResponse(granted: true), from: voter, term: 1) }
        #expect(lone.core.role == .candidate)
        _ = lone.receive(.voteResponse(granted: true), from: 5, term: 1)
        #expect(lone.core.role == .leader)
        for voter in [2, 3] { _ = lone.answer(.matched(index(1)), from: voter) }
        #expect(lone.core.commitIndex == .zero)
        _ = lone.answer(.matched(index(1)), from: 4)
        #expect(lone.core.commitIndex == index(1))
    }
}
