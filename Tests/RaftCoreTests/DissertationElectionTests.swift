import ConsensusTypes
import Testing

@testable import RaftCore

/// What the dissertation (Ongaro 2014) adds to elections: pre-vote (9.6), leader stickiness (4.2.3), and a
/// leader that steps down without a quorum (6.2).
@Suite struct DissertationElectionTests {
    // MARK: Section 9.6, pre-vote

    @Test func section96PreVoteChangesNothing() {
        var lone = LoneCore(terms: [1], term: 3, vote: 2)
        #expect(lone.receive(.preVoteRequest(position(1, 1)), from: 3, term: 4).preVotes == [true])
        #expect(lone.receive(.preVoteRequest(position(1, 1)), from: 2, term: 9).preVotes == [true])
        #expect(lone.core.term == Term(3))
        #expect(lone.core.votedFor == node(2))
        #expect(lone.persists.isEmpty)
    }

    @Test func section96PreCandidateKeepsItsTerm() {
        var lone = LoneCore(terms: [1], term: 3)
        for _ in 0..<20 { _ = lone.pass(2_000) }
        #expect(lone.core.role == .preCandidate)
        #expect(lone.core.term == Term(3))
        #expect(lone.persists.isEmpty)
    }

    @Test func section96RefusalBringsTheTerm() {
        var lone = LoneCore(terms: [1], term: 3)
        let sent = lone.receive(.preVoteRequest(position(1, 1)), from: 2, term: 2)
        #expect(sent.preVotes == [false])
        #expect(sent.map(\.term) == [Term(3)])
    }

    @Test func section96AnswersToAnotherTermDoNotCount() {
        var lone = LoneCore(terms: [1], term: 3)
        lone.now = lone.core.electionDeadline
        _ = lone.pass(0)
        _ = lone.receive(.preVoteResponse(granted: true), from: 2, term: 3)
        _ = lone.receive(.preVoteResponse(granted: true), from: 2, term: 5)
        #expect(lone.core.role == .preCandidate)
        _ = lone.receive(.preVoteResponse(granted: true), from: 2, term: 4)
        #expect(lone.core.role == .candidate)
    }

    // MARK: Section 4.2.3, stickiness

    @Test func section423HeardLeaderIsNotDisturbed() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        _ = lone.pass(999)
        #expect(lone.receive(.preVoteRequest(position(9, 1)), from: 3, term: 2).preVotes == [false])
        #expect(lone.receive(.voteRequest(position(9, 1)), from: 3, term: 2).isEmpty)
        #expect(lone.core.term == Term(1))
        lone.now = lone.now + .milliseconds(1)
        #expect(lone.receive(.preVoteRequest(position(9, 1)), from: 3, term: 2).preVotes == [true])
        #expect(lone.receive(.voteRequest(position(9, 1)), from: 3, term: 2).votes == [true])
    }

    @Test func section423LeaderIgnoresCandidates() {
        var lone = LoneCore()
        _ = lone.becomeLeader()
        #expect(lone.receive(.preVoteRequest(position(9, 9)), from: 3, term: 7).preVotes == [false])
        #expect(lone.receive(.voteRequest(position(9, 9)), from: 3, term: 7).isEmpty)
        #expect(lone.core.role == .leader)
    }

    @Test func section423LoyalFollowerDoesNotTakeOverTermsFromAnswers() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        _ = lone.receive(.preVoteResponse(granted: false), from: 3, term: 8)
        _ = lone.receive(.voteResponse(granted: false), from: 3, term: 8)
        #expect(lone.core.term == Term(1))
        #expect(lone.core.leader == node(2))
        // Without a leader it does: that is how a node that fell behind catches up (scenario 8).
        _ = lone.pass(2_000)
        _ = lone.receive(.preVoteResponse(granted: false), from: 3, term: 8)
        #expect(lone.core.term == Term(8))
    }

    @Test func stoppedLeaderIsNotWaitedFor() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        lone.core.peerDisconnected(node(2), now: lone.now)
        lone.core.peerStopped(node(3), now: lone.now)
        #expect(lone.core.leader == node(2))
        #expect(lone.core.electionDeadline >= lone.now + .milliseconds(1_000))
        lone.core.peerStopped(node(2), now: lone.now)
        #expect(lone.core.leader == nil)
        #expect(lone.core.electionDeadline < lone.now + .milliseconds(10))
        #expect(lone.receive(.preVoteRequest(position(1, 1)), from: 3, term: 2).preVotes == [true])
    }

    /// After a leader's death failed tries follow each other quickly, but ever less so.
    @Test func hurryEnds() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        lone.core.peerStopped(node(2), now: lone.now)
        var waits: [Int] = []
        for _ in 0..<12 {
            lone.now = lone.core.electionDeadline
            _ = lone.pass(0)
            waits.append((lone.core.electionDeadline - lone.now).milliseconds)
        }
        #expect(waits[0] < 100)
        #expect(waits.suffix(3).allSatisfy { $0 >= 1_000 })
        #expect(waits.allSatisfy { $0 < 2_000 })
    }

    // MARK: Section 6.2, a leader that no quorum answers

    @Test func section62LeaderWithoutAQuorumStepsDown() {
        var lone = LoneCore(members: Membership(voters: nodes(1, 2, 3, 4, 5)))
        _ = lone.becomeLeader(with: [2, 3])
        _ = lone.answer(.matched(index(1)), from: 2)
        _ = lone.answer(.matched(index(1)), from: 3)
        let answered = lone.now
        _ = lone.pass(500)
        // One of four is no quorum.
        _ = lone.answer(.matched(index(1)), from: 2)
        #expect(lone.core.quorumDeadline == answered + .milliseconds(1_000))
        #expect(lone.core.nextDeadline <= lone.core.quorumDeadline)
        _ = lone.pass(499)
        #expect(lone.core.role == .leader)
        _ = lone.pass(1)
        #expect(lone.core.role == .follower)
        #expect(lone.core.term == Term(1))
        #expect(lone.core.leader == nil)
    }

    @Test func section62AnswersCountFromWhenTheLeaderAsked() {
        var lone = LoneCore()
        _ = lone.becomeLeader()
        let asked = lone.now
        _ = lone.pass(800)
        _ = lone.answer(.matched(index(1)), from: 2, sentAt: asked)
        #expect(lone.core.quorumDeadline == asked + .milliseconds(1_000))
        // Nor does an answer to what was never sent count.
        _ = lone.answer(.matched(index(1)), from: 2, sentAt: lone.now + .milliseconds(1))
        #expect(lone.core.quorumDeadline == asked + .milliseconds(1_000))
        _ = lone.pass(200)
        #expect(lone.core.role == .follower)
    }

    /// Whatever the delays, a leader has stepped down before a quorum can have elected another: the followers'
    /// trust ends no earlier than the leader's.
    @Test func section62StepsDownBeforeAnotherCanBeElected() {
        var random = SeededRandom(seed: 11)
        for _ in 0..<300 {
            var leader = LoneCore(1)
            var follower = LoneCore(2)
            _ = leader.becomeLeader()
            // Both clocks run equally fast; the heartbeat and its answer take any time.
            let sentAt = leader.now
            let there = Int(random.next(below: 600))
            let back = Int(random.next(below: 300))
            follower.now = sentAt + .milliseconds(there)
            _ = follower.append(from: 1, term: 1)
            leader.now = follower.now + .milliseconds(back)
            _ = leader.answer(.matched(.zero), from: 2, sentAt: sentAt)
            let end = leader.core.quorumDeadline
            follower.now = end - .milliseconds(1)
            #expect(follower.receive(.voteRequest(position(9, 9)), from: 3, term: 9).isEmpty)
            leader.now = max(end, leader.now)
            leader.core.advance(now: leader.now)
            #expect(leader.core.role == .follower)
        }
    }

    /// On slow disks a vote may take long; the new leader has an election timeout from when it was elected.
    @Test func section62TimeBeginsWithTheElection() {
        var lone = LoneCore()
        _ = lone.becomeCandidate()
        lone.now = lone.now + .milliseconds(950)
        _ = lone.receive(.voteResponse(granted: true), from: 2, term: 1)
        #expect(lone.core.quorumDeadline == lone.now + .milliseconds(1_000))
    }

    @Test func lateRefusalDoesNotHideAGrant() {
        var lone = LoneCore(terms: [1], term: 3)
        lone.now = lone.core.electionDeadline
        _ = lone.pass(0)
        _ = lone.receive(.preVoteResponse(granted: false), from: 2, term: 3)
        #expect(lone.core.role == .preCandidate)
        _ = lone.receive(.preVoteResponse(granted: true), from: 2, term: 4)
        #expect(lone.core.role == .candidate)
    }

    @Test func section62StepsDownEvenWhenItsDiskStalls() {
        var lone = LoneCore()
        _ = lone.becomeLeader()
        lone.isDiskStalled = true
        _ = lone.propose("a")
        _ = lone.pass(1_000)
        #expect(lone.core.role == .follower)
    }

    @Test func soleVoterLeadsAtOnceAndForEver() {
        var lone = LoneCore(members: Membership(voters: nodes(1)))
        _ = lone.pass(0)
        #expect(lone.core.role == .leader)
        // There is nobody whom it would have to tell, and nothing to wake up for.
        #expect(lone.core.nextDeadline == .distantFuture)
        _ = lone.pass(1_000_000)
        #expect(lone.core.role == .leader)
        #expect(lone.core.term == Term(1))
    }

    @Test func learnersAndNodesWithoutRoomDoNotCampaign() {
        let members = Membership(voters: nodes(2, 3), learners: nodes(1))
        var learner = LoneCore(members: members)
        _ = learner.pass(10_000)
        #expect(learner.core.role == .follower)
        #expect(learner.core.nextDeadline == .distantFuture)
        var full = LoneCore()
        full.core.diskSpace = .none
        _ = full.pass(10_000)
        #expect(full.core.role == .follower)
        #expect(full.core.nextDeadline == .distantFuture)
        full.core.diskSpace = .ample
        _ = full.pass(1)
        #expect(full.core.role == .preCandidate)
    }
}
