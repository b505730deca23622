import ConsensusTypes
import Testing

@testable import RaftCore

/// Forwarding, limits, and linearizable reads.
@Suite struct ProposalAndReadTests {
    private func proposal(_ session: UInt64, _ sequence: UInt64, size: Int = 1) -> Proposal {
        Proposal(
            id: ProposalID(session: session, sequence: sequence),
            payload: ByteSlice(Array(repeating: 1, count: size)), needsSpace: true)
    }

    private func leader(_ settings: RaftSettings = RaftSettings()) -> LoneCore {
        var lone = LoneCore(settings: settings)
        _ = lone.becomeLeader()
        for peer in [2, 3] { _ = lone.answer(.matched(index(1)), from: peer) }
        return lone
    }

    private func rejected(_ messages: [RaftMessage]) -> [ProposalID] {
        messages.flatMap { message -> [ProposalID] in
            if case .proposeRejected(let ids, _) = message.body { ids } else { [] }
        }
    }

    @Test func forwardedProposalsAreTakenOnceAndInOrder() {
        var lone = leader()
        _ = lone.receive(.propose([proposal(5, 1), proposal(5, 2)]), from: 2, term: 1)
        _ = lone.receive(.propose([proposal(5, 2), proposal(5, 4)]), from: 2, term: 1)
        // 3 was overtaken: it may not come after 4, so that a repetition of it can never do harm.
        _ = lone.receive(.propose([proposal(5, 3)]), from: 2, term: 1)
        _ = lone.receive(.propose([proposal(6, 1)]), from: 3, term: 1)
        let ids = (2...5).map { lone.core.entry(at: index($0))!.proposal }
        #expect(ids.map(\.sequence) == [1, 2, 4, 1])
        #expect(lone.core.lastIndex == index(5))
    }

    @Test func proposalsOfAnotherTermAreRefused() {
        var lone = leader()
        #expect(rejected(lone.receive(.propose([proposal(5, 1)]), from: 2, term: 0)).count == 1)
        #expect(rejected(lone.receive(.propose([proposal(5, 1)]), from: 2, term: 2)).count == 1)
        #expect(rejected(lone.receive(.propose([proposal(5, 1)]), from: 9, term: 1)).count == 1)
        #expect(lone.core.lastIndex == index(1))
        #expect(lone.core.role == .leader)
    }

    @Test func refusedProposalsStayRefused() {
        var lone = leader()
        lone.core.diskSpace = .low
        #expect(rejected(lone.receive(.propose([proposal(5, 1)]), from: 2, term: 1)).count == 1)
        lone.core.diskSpace = .ample
        // A late copy of the message must not put into the log what was said never to be there.
        _ = lone.receive(.propose([proposal(5, 1)]), from: 2, term: 1)
        #expect(lone.core.lastIndex == index(1))
    }

    @Test func sessionsAreBounded() {
        var lone = leader()
        for session in 0..<UInt64(RaftCore.maximumSessions) {
            #expect(rejected(lone.receive(.propose([proposal(session, 1)]), from: 2, term: 1)).isEmpty)
        }
        #expect(rejected(lone.receive(.propose([proposal(9_999, 1)]), from: 2, term: 1)).count == 1)
        #expect(rejected(lone.receive(.propose([proposal(0, 2)]), from: 2, term: 1)).isEmpty)
    }

    @Test func uncommittedSizeIsBoundedAndFreedByCommits() {
        var settings = RaftSettings()
        settings.maximumUncommittedSizeBytes = 1_000
        var lone = leader(settings)
        var accepted = 0
        for sequence in 1...10 as ClosedRange<UInt64> {
            _ = lone.core.propose([proposal(5, sequence, size: 252)], now: lone.now)
            let effects = lone.core.takeEffects(now: lone.now)
            if effects.rejectedProposals.isEmpty { accepted += 1 }
        }
        #expect(accepted == 4)
        _ = lone.turn()
        lone.core.persisted(lone.core.persistence.lastSequence, now: lone.now)
        _ = lone.answer(.matched(lone.core.lastIndex), from: 2)
        #expect(lone.core.uncommittedSizeBytes == 0)
        _ = lone.core.propose([proposal(5, 11)], now: lone.now)
        let effects = lone.core.takeEffects(now: lone.now)
        #expect(effects.rejectedProposals.isEmpty)
    }

    // MARK: Reads (dissertation, section 6.4)

    @Test func section64ReadsNeedAQuorumThatAnsweredAfterwards() {
        var lone = leader()
        _ = lone.core.requestRead(ReadID(1), now: lone.now)
        let sent = lone.turn()
        #expect(sent.appends.map(\.append.readRound) == [1, 1])
        lone.core.receive(answer(round: 0), now: lone.now)
        let effects1 = lone.core.takeEffects(now: lone.now)
        #expect(effects1.readyReads.isEmpty)
        // A round that was never asked proves nothing either.
        lone.core.receive(answer(round: 2), now: lone.now)
        let effects2 = lone.core.takeEffects(now: lone.now)
        #expect(effects2.readyReads.isEmpty)
        lone.core.receive(answer(round: 1), now: lone.now)
        let effects3 = lone.core.takeEffects(now: lone.now)
        #expect(effects3.readyReads == [ReadyRead(id: ReadID(1), index: index(1))])
    }

    @Test func section64AnswersOfAnEarlierTermConfirmNothing() {
        var lone = leader()
        _ = lone.core.requestRead(ReadID(1), now: lone.now)
        _ = lone.turn()
        lone.core.receive(answer(round: 1, term: 0), now: lone.now)
        let effects4 = lone.core.takeEffects(now: lone.now)
        #expect(effects4.readyReads.isEmpty)
    }

    @Test func section64LaterReadsShareTheNextRound() {
        var lone = leader()
        _ = lone.core.requestRead(ReadID(1), now: lone.now)
        _ = lone.turn()
        for id in 2...4 as ClosedRange<UInt64> { _ = lone.core.requestRead(ReadID(id), now: lone.now) }
        #expect(lone.turn(sending: \.appends.count) == 0)
        lone.core.receive(answer(round: 1), now: lone.now)
        let effects = lone.core.takeEffects(now: lone.now)
        #expect(effects.readyReads.map(\.id) == [ReadID(1)])
        #expect(effects.messages.appends.map(\.append.readRound) == [2, 2])
        lone.core.receive(answer(round: 2), now: lone.now)
        let effects5 = lone.core.takeEffects(now: lone.now)
        #expect(effects5.readyReads.map(\.id.rawValue) == [2, 3, 4])
    }

    @Test func readsFailWhenLeadershipEnds() {
        var lone = leader()
        _ = lone.core.requestRead(ReadID(1), now: lone.now)
        _ = lone.turn()
        _ = lone.core.requestRead(ReadID(2), now: lone.now)
        lone.now = lone.now + .milliseconds(2_000)
        lone.core.advance(now: lone.now)
        let effects6 = lone.core.takeEffects(now: lone.now)
        #expect(effects6.failedReads == [ReadID(1), ReadID(2)])
        let isTaken = lone.requestRead(3)
        #expect(!isTaken)
    }

    @Test func readsAreBounded() {
        var settings = RaftSettings()
        settings.maximumPendingReads = 3
        var lone = leader(settings)
        #expect((1...5).map { lone.requestRead($0) } == [true, true, true, false, false])
        var follower = LoneCore(terms: [1], settings: settings)
        let isTaken = follower.requestRead(1)
        #expect(!isTaken)
        _ = follower.append(after: position(1, 1), term: 1)
        #expect((1...5).map { follower.requestRead($0) } == [true, true, true, false, false])
    }

    @Test func followersQuestionThatWasGivenUpIsNotAnswered() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        _ = lone.requestRead(1)
        let first = batches(lone.turn(sending: \.self))
        #expect(first.count == 1)
        lone.now = lone.now + .milliseconds(600)
        lone.core.advance(now: lone.now)
        _ = lone.requestRead(2)
        let second = batches(lone.turn(sending: \.self))
        #expect(second.count == 1 && second != first)
        let ready = lone.receiveReady(.readIndexResponse(first[0], index(1)))
        #expect(ready.isEmpty)
        #expect(lone.receiveReady(.readIndexResponse(second[0], index(7))).map(\.id.rawValue) == [1, 2])
    }

    private func answer(round: UInt64, term: UInt64 = 1) -> RaftMessage {
        RaftMessage(
            from: node(2), to: node(1), term: Term(term),
            body: .appendResponse(
                AppendResponse(outcome: .matched(index(1)), readRound: round, sentAt: .zero)))
    }

    private func batches(_ messages: [RaftMessage]) -> [ReadBatchID] {
        messages.compactMap {
            if case .readIndexRequest(let batch) = $0.body { batch } else { nil }
        }
    }
}

extension LoneCore {
    mutating func requestRead(_ id: Int) -> Bool {
        core.requestRead(ReadID(UInt64(id)), now: now)
    }

    mutating func turn<Value>(sending view: ([RaftMessage]) -> Value) -> Value {
        view(turn())
    }

    mutating func receiveReady(_ body: RaftMessage.Body) -> [ReadyRead] {
        core.receive(RaftMessage(from: node(2), to: node(1), term: Term(1), body: body), now: now)
        return core.takeEffects(now: now).readyReads
    }
}
