import ConsensusTypes
import Testing

@testable import RaftCore

/// How soon a leader is replaced: when followers ask, how soon they ask again, and who of two leaves it to the
/// other. None of it decides whether an election is safe.
@Suite struct ElectionTimerTests {
    // MARK: When followers ask

    @Test func aSilentLeaderIsReplacedWithinAQuarterMoreThanTheElectionTimeout() {
        for seed in 0..<200 {
            var lone = LoneCore(terms: [1], seed: UInt64(seed))
            _ = lone.append(after: position(1, 1), term: 1)
            _ = lone.pass(999)
            #expect(lone.core.role == .follower)
            _ = lone.pass(251)
            #expect(lone.core.role == .preCandidate)
        }
    }

    // MARK: How soon they ask again

    @Test func aFailedRoundAfterASilenceIsRepeatedSoon() {
        var lone = LoneCore(terms: [1])
        _ = lone.append(after: position(1, 1), term: 1)
        let waits = campaignWaits(&lone, count: 12)
        #expect((10..<30).contains(waits[0]))
        #expect((20..<60).contains(waits[1]))
        #expect(waits.suffix(4).allSatisfy { (1_000..<2_000).contains($0) })
    }

    /// A node that was cut off for long asks soon again after the next failure.
    @Test func aLeaderThatIsHeardEndsTheSlowness() {
        var lone = LoneCore(terms: [1])
        _ = campaignWaits(&lone, count: 20)
        _ = lone.append(after: position(1, 1), term: 1)
        #expect(lone.core.role == .follower)
        #expect((10..<30).contains(campaignWaits(&lone, count: 1)[0]))
        // So does having led.
        _ = campaignWaits(&lone, count: 20)
        _ = lone.becomeLeader()
        #expect(lone.core.role == .leader)
        _ = lone.pass(1_000)
        #expect(lone.core.role == .follower)
        #expect((10..<30).contains(campaignWaits(&lone, count: 1)[0]))
    }

    @Test(arguments: [false, true])
    func theFirstElectionWaitsForDisksAndNoLonger(isStopped: Bool) {
        for seed in 0..<50 {
            var lone = LoneCore(terms: [1], seed: UInt64(seed))
            _ = lone.append(after: position(1, 1), term: 1)
            if isStopped { lone.core.peerStopped(node(2), now: lone.now) }
            _ = lone.becomeCandidate(with: [3])
            #expect(lone.core.role == .candidate)
            let first = (lone.core.electionDeadline - lone.now).milliseconds
            #expect((100..<300).contains(first), "\(first)")
            _ = lone.becomeCandidate(with: [3])
            #expect(lone.core.role == .candidate)
            let second = (lone.core.electionDeadline - lone.now).milliseconds
            #expect((200..<600).contains(second), "\(second)")
        }
    }

    /// Campaigns that nobody answers, and how long each waits.
    private func campaignWaits(_ lone: inout LoneCore, count: Int) -> [Int] {
        (0..<count).map { _ in
            lone.now = lone.core.electionDeadline
            _ = lone.pass(0)
            return (lone.core.electionDeadline - lone.now).milliseconds
        }
    }

    // MARK: Who gives way

    @Test func ofTwoPreCandidatesTheOneWithTheLesserClaimGivesWay() {
        // Equal logs: the lower node goes first.
        #expect(role(after: position(1, 1), from: 1) == .follower)
        #expect(role(after: position(1, 1), from: 3) == .preCandidate)
        // A longer or newer log comes before that.
        #expect(role(after: position(2, 1), from: 3) == .follower)
        #expect(role(after: position(1, 2), from: 3) == .follower)
        #expect(role(after: position(0, 0), from: 1) == .preCandidate)
    }

    @Test func aHigherPriorityDoesNotGiveWayToALowerOne() {
        let first = [MemberDescription(node: node(1), priority: 50)]
        #expect(role(after: position(1, 1), from: 1, descriptions: first) == .preCandidate)
        #expect(role(after: position(2, 1), from: 1, descriptions: first) == .preCandidate)
        let third = [MemberDescription(node: node(3), priority: 150)]
        #expect(role(after: position(1, 1), from: 3, descriptions: third) == .follower)
        #expect(role(after: position(0, 0), from: 3, descriptions: third) == .preCandidate)
    }

    /// Who cannot win here, or asks about another term, is no reason to hold back.
    @Test func onlyVotersOfTheSameTermAreGivenWay() {
        #expect(role(after: position(2, 1), from: 4) == .preCandidate)
        #expect(role(after: position(2, 1), from: 77) == .preCandidate)
        #expect(role(after: position(2, 1), from: 1, term: 3) == .preCandidate)
    }

    @Test func givingWayChangesNothingElse() {
        var lone = preCandidate(membership())
        let deadline = lone.core.electionDeadline
        let sent = lone.receive(.preVoteRequest(position(1, 1)), from: 1, term: 2)
        #expect(sent.preVotes == [true])
        #expect(lone.core.role == .follower)
        #expect(lone.core.rarePaths.contains(.preCandidateGivesWay))
        #expect(lone.core.electionDeadline == deadline)
        #expect(lone.core.term == Term(1))
        #expect(lone.core.votedFor == nil)
        #expect(lone.core.leader == nil)
        #expect(lone.persists.isEmpty)
        // What it had asked for does not make it a candidate any more,
        _ = lone.receive(.preVoteResponse(granted: true), from: 3, term: 2)
        #expect(lone.core.role == .follower)
        // but it asks again when it would have.
        lone.now = deadline
        _ = lone.pass(0)
        #expect(lone.core.role == .preCandidate)
        _ = lone.receive(.preVoteResponse(granted: true), from: 3, term: 2)
        #expect(lone.core.role == .candidate)
    }

    private func membership(_ descriptions: [MemberDescription] = []) -> Membership {
        Membership(voters: nodes(1, 2, 3), learners: nodes(4), descriptions: descriptions)
    }

    /// Node 2 in term 1 with the log 1@1, asking for pre-votes.
    private func preCandidate(_ membership: Membership) -> LoneCore {
        var lone = LoneCore(2, members: membership, terms: [1])
        lone.now = lone.core.electionDeadline
        _ = lone.pass(0)
        #expect(lone.core.role == .preCandidate)
        return lone
    }

    private func role(
        after position: LogPosition, from other: Int, term: Int = 2, descriptions: [MemberDescription] = []
    ) -> Role {
        var lone = preCandidate(membership(descriptions))
        _ = lone.receive(.preVoteRequest(position), from: other, term: term)
        return lone.core.role
    }
}
