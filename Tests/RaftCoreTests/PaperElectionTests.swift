import ConsensusTypes
import Testing

@testable import RaftCore

/// The rules of the Raft paper (Ongaro and Ousterhout 2014) and dissertation about terms and elections.
@Suite struct PaperElectionTests {
    // MARK: Section 5.1, terms

    @Test(arguments: [Role.follower, .preCandidate, .candidate, .leader])
    func section51HigherTermMakesFollower(role: Role) {
        var lone = LoneCore(terms: [1])
        bring(&lone, to: role)
        #expect(lone.core.role == role)
        _ = lone.append(after: position(1, 1), from: 3, term: 9)
        #expect(lone.core.role == .follower)
        #expect(lone.core.term == Term(9))
        #expect(lone.core.leader == node(3))
    }

    @Test(arguments: [Role.preCandidate, .candidate, .leader])
    func section51HigherTermInAnswersMakesFollower(role: Role) {
        var lone = LoneCore(terms: [1])
        bring(&lone, to: role)
        _ = lone.receive(
            .appendResponse(
                AppendResponse(outcome: .matched(.zero), readRound: 0, sentAt: .zero)), from: 3, term: 9)
        #expect(lone.core.role == .follower)
        #expect(lone.core.term == Term(9))
        #expect(lone.core.leader == nil)
        #expect(lone.core.votedFor == nil)
    }

    @Test func section51StaleRequestsAreRefusedWithTheTerm() {
        var lone = LoneCore(terms: [1], term: 5)
        let appended = lone.append([entry(2, 2)], after: position(1, 1), term: 4)
        #expect(appended.map(\.term) == [Term(5)])
        #expect(lone.core.lastIndex == index(1))
        #expect(lone.core.leader == nil)
        let voted = lone.receive(.voteRequest(position(9, 9)), from: 2, term: 4)
        #expect(voted.votes == [false])
        #expect(voted.map(\.term) == [Term(5)])
        #expect(lone.receive(.voteResponse(granted: true), from: 2, term: 4).isEmpty)
    }

    @Test func strangersDoNotRaiseTheTerm() {
        var lone = LoneCore(terms: [1])
        _ = lone.receive(.voteResponse(granted: true), from: 77, term: 9)
        _ = lone.receive(.preVoteResponse(granted: false), from: 77, term: 9)
        #expect(lone.core.term == Term(1))
    }

    // MARK: Section 5.2, leader election

    @Test func section52StartsAsFollowerAndStaysOneWhileItHearsALeader() {
        var lone = LoneCore(terms: [1])
        #expect(lone.core.role == .follower)
        for _ in 0..<50 {
            _ = lone.append(after: position(1, 1), term: 1)
            _ = lone.pass(900)
            #expect(lone.core.role == .follower)
        }
    }

    @Test func section52TimeoutsAreRandomWithinAQuarter() {
        var seen: Set<UInt64> = []
        for seed in 0..<200 as Range<UInt64> {
            let lone = LoneCore(seed: seed)
            let wait = lone.core.electionDeadline - lone.now
            #expect(wait >= .milliseconds(1_000))
            #expect(wait < .milliseconds(1_250))
            seen.insert(wait.nanoseconds / 25_000_000)
        }
        #expect(seen.count == 10)
    }

    @Test func section52EachTryHasANewTimeout() {
        var lone = LoneCore()
        var waits: Set<UInt64> = []
        for _ in 0..<10 {
            _ = lone.becomeCandidate()
            waits.insert((lone.core.electionDeadline - lone.now).nanoseconds)
        }
        #expect(waits.count == 10)
        #expect(lone.core.term == Term(10))
    }

    @Test func section52CandidateVotesForItselfAndAsksAllVoters() {
        var lone = LoneCore(
            members: Membership(voters: nodes(1, 2, 3, 4, 5), learners: nodes(6)), terms: [1, 1])
        let sent = lone.becomeCandidate(with: [2, 3])
        #expect(lone.core.role == .candidate)
        #expect(lone.core.term == Term(2))
        #expect(lone.core.votedFor == node(1))
        #expect(sent.voteRequests == nodes(2, 3, 4, 5))
        #expect(lone.persists.last?.hardState?.votedFor == node(1))
    }

    /// Wins with a majority of all voters, not of those that answer.
    @Test(arguments: 1...7)
    func section52WinsWithAMajority(count: Int) {
        let voters = (1...count).map(node)
        for grants in 0..<count {
            for refusals in 0..<(count - grants) {
                var lone = LoneCore(members: Membership(voters: voters))
                _ = lone.becomeCandidate(with: Array(2...max(2, count)))
                let term = Int(lone.core.term.rawValue)
                for voter in 0..<grants {
                    _ = lone.receive(.voteResponse(granted: true), from: 2 + voter, term: term)
                }
                for voter in 0..<refusals {
                    _ = lone.receive(.voteResponse(granted: false), from: 2 + grants + voter, term: term)
                }
                let needed = count / 2 + 1
                let expected: Role =
                    grants + 1 >= needed ? .leader : count - refusals < needed ? .follower : .candidate
                #expect(lone.core.role == expected, "\(count) voters, \(grants) for, \(refusals) against")
            }
        }
    }

    @Test func section52RepeatedVotesCountOnce() {
        var lone = LoneCore(members: Membership(voters: nodes(1, 2, 3, 4, 5)))
        _ = lone.becomeCandidate(with: [2, 3])
        for _ in 0..<5 { _ = lone.receive(.voteResponse(granted: true), from: 2, term: 1) }
        #expect(lone.core.role == .candidate)
    }

    @Test func section52OneVoteATermFirstComeFirstServed() {
        var lone = LoneCore()
        #expect(lone.receive(.voteRequest(position(0, 0)), from: 2, term: 3).votes == [true])
        #expect(lone.receive(.voteRequest(position(9, 2)), from: 3, term: 3).votes == [false])
        #expect(lone.receive(.voteRequest(position(0, 0)), from: 2, term: 3).votes == [true])
        #expect(lone.receive(.voteRequest(position(0, 0)), from: 3, term: 4).votes == [true])
    }

    @Test func figure2VoteIsDurableBeforeItIsAnswered() {
        var lone = LoneCore()
        lone.isDiskStalled = true
        #expect(lone.receive(.voteRequest(position(0, 0)), from: 2, term: 3).isEmpty)
        // Nor is it answered by a repetition while the write is under way.
        #expect(lone.receive(.voteRequest(position(0, 0)), from: 2, term: 3).isEmpty)
        #expect(lone.persists.map { $0.hardState?.votedFor } == [node(2)])
        _ = lone.finishPersists()
        lone.isDiskStalled = false
        let released = lone.turn()
        #expect(released.votes == [true])
    }

    @Test func figure2VoteSurvivesRestart() {
        var lone = LoneCore(term: 3, vote: 2)
        #expect(lone.receive(.voteRequest(position(9, 2)), from: 3, term: 3).votes == [false])
        #expect(lone.receive(.voteRequest(position(0, 0)), from: 2, term: 3).votes == [true])
    }

    @Test func section52CandidateFollowsTheLeaderOfItsTerm() {
        var lone = LoneCore()
        _ = lone.becomeCandidate()
        _ = lone.append(term: 1)
        #expect(lone.core.role == .follower)
        #expect(lone.core.leader == node(2))
        // Scenario 33: it voted for itself in this term, and keeps to that.
        #expect(lone.core.votedFor == node(1))
        #expect(lone.receive(.voteRequest(position(9, 1)), from: 3, term: 1).votes == [false])
    }

    @Test func section52CandidateThatLosesKeepsItsVote() {
        var lone = LoneCore()
        _ = lone.becomeCandidate()
        _ = lone.receive(.voteResponse(granted: false), from: 2, term: 1)
        _ = lone.receive(.voteResponse(granted: false), from: 3, term: 1)
        #expect(lone.core.role == .follower)
        #expect(lone.core.votedFor == node(1))
        #expect(lone.receive(.voteRequest(position(9, 1)), from: 3, term: 1).votes == [false])
    }

    @Test func section52CandidateIgnoresAnOldLeader() {
        var lone = LoneCore(term: 4)
        _ = lone.becomeCandidate()
        _ = lone.append(term: 4)
        #expect(lone.core.role == .candidate)
    }

    @Test func section52LeaderSendsHeartbeatsAtOnceAndInEachInterval() {
        var lone = LoneCore()
        let sent = lone.becomeLeader()
        #expect(sent.appends.map(\.to) == nodes(2, 3))
        _ = lone.answer(.matched(index(1)), from: 2)
        for _ in 0..<5 {
            #expect(lone.core.nextDeadline <= lone.now + .milliseconds(100))
            let beats = lone.pass(100).appends
            #expect(beats.map(\.to) == nodes(2, 3))
            _ = lone.answer(.matched(index(1)), from: 2)
        }
    }

    // MARK: Section 5.4.1, the election restriction

    @Test(arguments: [
        // The voter's log, the candidate's last position, whether it may win.
        ([], (0, 0), true), ([1], (0, 0), false), ([1], (1, 1), true), ([1, 1], (1, 1), false),
        ([1], (2, 1), true), ([1, 1, 1], (1, 2), true), ([2], (5, 1), false), ([1, 3], (1, 3), false),
        ([1, 3], (2, 3), true), ([1, 1, 2], (2, 3), true),
    ])
    func section541VoterRefusesAnOlderLog(log: [Int], candidate: (Int, Int), mayWin: Bool) {
        var lone = LoneCore(terms: log, term: 5)
        let asked = position(candidate.0, candidate.1)
        #expect(lone.receive(.preVoteRequest(asked), from: 2, term: 6).preVotes == [mayWin])
        #expect(lone.core.term == Term(5))
        #expect(lone.receive(.voteRequest(asked), from: 2, term: 6).votes == [mayWin])
        #expect(lone.core.term == Term(6))
        #expect(lone.core.votedFor == (mayWin ? node(2) : nil))
    }

    private func bring(_ lone: inout LoneCore, to role: Role) {
        switch role {
        case .follower:
            break
        case .preCandidate:
            lone.now = lone.core.electionDeadline
            _ = lone.pass(0)
        case .candidate:
            _ = lone.becomeCandidate()
        case .leader:
            _ = lone.becomeLeader()
        }
    }
}
