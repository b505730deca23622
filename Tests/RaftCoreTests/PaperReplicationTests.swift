import ConsensusTypes
import Testing

@testable import RaftCore

/// The rules of the Raft paper about the log: sections 5.3, 5.4.2, 5.5 and 8.
@Suite struct PaperReplicationTests {
    // MARK: Section 5.3, the leader

    @Test func section53LeaderAppendsAndSendsToAll() {
        var lone = LoneCore()
        _ = lone.becomeLeader()
        for peer in [2, 3] { _ = lone.answer(.matched(index(1)), from: peer) }
        let sent = lone.propose("a", "b").appends
        #expect(sent.map(\.to) == nodes(2, 3))
        for (_, append) in sent {
            #expect(append.previous == position(1, 1))
            #expect(append.entries.map(\.index) == [index(2), index(3)])
            #expect(append.commitIndex == index(1))
        }
        #expect(lone.core.commitIndex == index(1))
    }

    /// Commits what a majority has durably, its own copy included only once it is durable.
    @Test(arguments: 1...5)
    func section53CommitsWithAMajority(count: Int) {
        for acknowledged in 0..<count {
            for isOwnDurable in [true, false] {
                var lone = LoneCore(members: Membership(voters: (1...count).map(node)))
                _ = lone.becomeLeader(with: Array(2...max(2, count)))
                for peer in 2..<max(2, count + 1) { _ = lone.answer(.matched(index(1)), from: peer) }
                #expect(lone.core.commitIndex == index(1))
                lone.isDiskStalled = !isOwnDurable
                _ = lone.propose("a")
                for peer in 2..<(2 + acknowledged) { _ = lone.answer(.matched(index(2)), from: peer) }
                let copies = acknowledged + (isOwnDurable ? 1 : 0)
                #expect(lone.core.commitIndex == index(copies > count / 2 ? 2 : 1))
            }
        }
    }

    @Test func section53CommitIndexTravelsWithTheNextAppend() {
        var lone = LoneCore()
        _ = lone.becomeLeader()
        let sent = lone.answer(.matched(index(1)), from: 2).appends
        #expect(sent.first?.append.commitIndex == index(1))
        #expect(lone.committed.map(\.index) == [index(1)])
    }

    @Test func section53LeaderNeverReplacesItsOwnEntries() {
        var lone = LoneCore(terms: [1, 1, 2])
        _ = lone.becomeLeader()
        let before = lone.terms
        _ = lone.answer(.mismatch(rejected: index(3), hint: position(1, 1)), from: 2)
        _ = lone.answer(.mismatch(rejected: index(1), hint: position(0, 0)), from: 2)
        #expect(lone.terms == before)
    }

    /// The leader goes back until the logs agree, and then the follower has its log (figure 7).
    @Test(arguments: [
        [1, 1, 1, 4, 4, 5, 5, 6, 6], [1, 1, 1, 4], [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], [1, 1, 1, 4, 4, 4, 4], [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], [],
        [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2],
    ])
    func section53FollowersLogBecomesTheLeaders(log: [Int]) {
        var leader = LoneCore(1, terms: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], term: 7)
        var follower = LoneCore(2, terms: log, term: 7)
        var messages = leader.becomeLeader(with: [3])
        var rounds = 0
        while let message = messages.first(where: { $0.to == node(2) }), rounds < 10 {
            rounds += 1
            follower.core.receive(message, now: follower.now)
            for answer in follower.turn() { leader.core.receive(answer, now: leader.now) }
            messages = leader.turn()
        }
        #expect(follower.terms == leader.terms)
        #expect(follower.terms == [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8])
        // One refusal at most for each term that differs.
        #expect(rounds <= 5)
    }

    @Test func section53ProgressIsMadeWithEveryRefusal() {
        // A follower whose hints are useless still converges, one index at a time.
        var lone = LoneCore(terms: [1, 1, 1, 1, 1])
        var previous = 5
        _ = lone.becomeLeader()
        while previous > 0 {
            let sent = lone.answer(
                .mismatch(rejected: index(previous), hint: position(previous, 1)), from: 2)
            #expect(sent.appends.first?.append.previous.index == index(previous - 1))
            previous -= 1
        }
    }

    @Test func section53OldRefusalsAreIgnored() {
        var lone = LoneCore(terms: [1, 1, 1])
        _ = lone.becomeLeader()
        _ = lone.answer(.matched(index(4)), from: 2)
        #expect(lone.answer(.mismatch(rejected: index(2), hint: position(1, 1)), from: 2).isEmpty)
        #expect(lone.core.status.members[0].next == index(5))
        #expect(!lone.core.status.members[0].isProbing)
    }

    /// A disk that lost an entry without a trace: its node is asked again with each heartbeat, not at once.
    @Test func forgottenAcknowledgementMakesNoStorm() {
        var lone = LoneCore(terms: [1, 1, 1])
        _ = lone.becomeLeader()
        _ = lone.answer(.matched(index(4)), from: 2)
        lone.core.peerConnected(node(2), now: lone.now)
        #expect(lone.turn().appends.map(\.append.previous.index) == [index(4)])
        for _ in 0..<3 {
            #expect(lone.answer(.mismatch(rejected: index(4), hint: position(3, 1)), from: 2).isEmpty)
            let asked = lone.pass(lone.core.settings.heartbeatIntervalMilliseconds).appends
            #expect(asked.filter { $0.to == node(2) }.map(\.append.previous.index) == [index(4)])
        }
        #expect(lone.core.rarePaths.contains(.acknowledgedEntryMissing))
    }

    // MARK: Section 5.3, the follower

    @Test(arguments: [
        // The follower's log, what precedes the append, whether it is taken, and the hint where it is not.
        ([1, 1, 2], (3, 2), true, (0, 0)), ([1, 1, 2], (0, 0), true, (0, 0)),
        ([1, 1, 2], (4, 2), false, (3, 2)), ([1, 1, 2], (3, 3), false, (3, 2)),
        ([1, 1, 2], (3, 1), false, (2, 1)), ([], (1, 1), false, (0, 0)), ([2, 2], (2, 1), false, (0, 0)),
        ([1, 2, 2, 2], (4, 1), false, (1, 1)),
    ])
    func section53ConsistencyCheck(log: [Int], previous: (Int, Int), isTaken: Bool, hint: (Int, Int)) {
        var lone = LoneCore(terms: log, term: 5)
        let sent = lone.append(
            [entry(previous.0 + 1, 5)], after: position(previous.0, previous.1), term: 5)
        if isTaken {
            #expect(sent.appendOutcomes == [.matched(index(previous.0 + 1))])
        } else {
            #expect(
                sent.appendOutcomes
                    == [.mismatch(rejected: index(previous.0), hint: position(hint.0, hint.1))])
            #expect(lone.terms == log)
        }
    }

    @Test func section53ConflictsAreReplacedAgreementIsKept() {
        var lone = LoneCore(terms: [1, 1, 2, 2])
        // An append that agrees and is shorter shortens nothing.
        _ = lone.append([entry(2, 1)], after: position(1, 1), term: 3)
        #expect(lone.terms == [1, 1, 2, 2])
        #expect(lone.persists.last?.entries.isEmpty ?? true)
        _ = lone.append([entry(3, 3)], after: position(2, 1), term: 3)
        #expect(lone.terms == [1, 1, 3])
        #expect(lone.persists.last?.entries.map(\.index) == [index(3)])
    }

    @Test func section53FollowerCommitsNoFurtherThanItKnowsToAgree() {
        var lone = LoneCore(terms: [1, 1, 2, 2])
        _ = lone.append(after: position(2, 1), commit: 4, term: 3)
        #expect(lone.core.commitIndex == index(2))
        _ = lone.append([entry(3, 3)], after: position(2, 1), commit: 9, term: 3)
        #expect(lone.core.commitIndex == index(3))
        #expect(lone.committed.map(\.index) == [index(1), index(2), index(3)])
    }

    @Test func figure2EntriesAreDurableBeforeTheyAreAcknowledged() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        lone.isDiskStalled = true
        #expect(lone.append([entry(2, 1)], after: position(1, 1), term: 1).isEmpty)
        // A repetition is answered with what is durable, and no more.
        #expect(lone.append(after: position(2, 1), term: 1).appendOutcomes == [.matched(index(1))])
        let released = lone.finishPersists()
        #expect(released.appendOutcomes == [.matched(index(2))])
    }

    @Test func readRoundsDoNotWaitForTheDisk() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        lone.isDiskStalled = true
        let sent = lone.append([entry(2, 1)], after: position(1, 1), round: 1, term: 1)
        #expect(sent.appendOutcomes == [.matched(index(1))])
    }

    @Test func answersOfATurnAreGatheredWithinATermOnly() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        lone.isDiskStalled = true
        // The same leader in terms 1 and 3; what it had in term 1 was lost in between.
        let first = AppendEntries(
            previous: position(1, 1), entries: [entry(2, 1), entry(3, 1), entry(4, 1)], commitIndex: .zero,
            readRound: 0, sentAt: lone.now)
        let second = AppendEntries(
            previous: position(1, 1), entries: [entry(2, 3)], commitIndex: .zero, readRound: 0,
            sentAt: lone.now)
        lone.core.receive(
            RaftMessage(from: node(2), to: node(1), term: Term(1), body: .append(first)), now: lone.now)
        lone.core.receive(
            RaftMessage(from: node(2), to: node(1), term: Term(3), body: .append(second)), now: lone.now)
        _ = lone.turn()
        let released = lone.finishPersists()
        #expect(released.appendOutcomes == [.matched(index(2))])
    }

    @Test(arguments: [
        [entry(3, 1)], [entry(2, 1), entry(4, 1)], [entry(2, 2), entry(3, 1)], [entry(2, 9)],
    ])
    func malformedAppendsAreCountedAndIgnored(_ bad: [Entry]) {
        var lone = LoneCore(terms: [1])
        #expect(lone.append(bad, after: position(1, 1), term: 5).isEmpty)
        #expect(lone.core.malformedMessageCount == 1)
        #expect(lone.terms == [1])
    }

    // MARK: Section 5.4.2, entries of earlier terms

    @Test func section542EarlierTermsAreNotCommittedByCounting() {
        var lone = LoneCore(members: Membership(voters: nodes(1, 2, 3, 4, 5)), terms: [1, 2], term: 3)
        _ = lone.becomeLeader(with: [2, 3])
        for peer in [2, 3, 4, 5] { _ = lone.answer(.matched(index(2)), from: peer) }
        #expect(lone.core.commitIndex == .zero)
        #expect(lone.committed.isEmpty)
        _ = lone.answer(.matched(index(3)), from: 2)
        #expect(lone.core.commitIndex == .zero)
        _ = lone.answer(.matched(index(3)), from: 3)
        #expect(lone.core.commitIndex == index(3))
        #expect(lone.committed.map(\.index) == [index(1), index(2), index(3)])
    }

    // MARK: Section 5.5, crashes

    @Test func section55RepeatedRequestsDoNoHarm() {
        var lone = LoneCore(terms: [1])
        let appended = [entry(2, 1), entry(3, 1)]
        let first = lone.append(appended, after: position(1, 1), term: 1)
        let persists = lone.persists.count
        let second = lone.append(appended, after: position(1, 1), term: 1)
        #expect(first.appendOutcomes == second.appendOutcomes)
        #expect(lone.terms == [1, 1, 1])
        #expect(lone.persists.count == persists)
    }

    @Test func section55RestartKeepsTermVoteAndLog() {
        let lone = LoneCore(terms: [1, 1, 4], term: 6, vote: 3, commit: 2)
        #expect(lone.core.term == Term(6))
        #expect(lone.core.votedFor == node(3))
        #expect(lone.core.lastPosition == position(3, 4))
        #expect(lone.core.commitIndex == index(2))
        #expect(lone.core.role == .follower)
        #expect(lone.core.leader == nil)
    }

    // MARK: Section 8, clients

    @Test func section8NewLeaderAppendsAnEmptyEntry() {
        var lone = LoneCore(terms: [1])
        _ = lone.becomeLeader()
        #expect(lone.core.entry(at: index(2))?.kind == .noOperation)
        #expect(lone.core.entry(at: index(2))?.term == Term(2))
        #expect(lone.core.entry(at: index(2))?.proposal == ProposalID.none)
    }

    @Test func section8ReadsWaitForAnEntryOfTheTerm() {
        var lone = LoneCore(terms: [1, 1], commit: 2)
        _ = lone.becomeLeader()
        let isTaken = lone.core.requestRead(ReadID(1), now: lone.now)
        #expect(isTaken)
        let effects = lone.core.takeEffects(now: lone.now)
        #expect(effects.readyReads.isEmpty)
        #expect(lone.core.leaderReads.current == nil)
        _ = lone.answer(.matched(index(3)), from: 2)
        #expect(lone.core.leaderReads.current?.index == index(3))
    }
}
