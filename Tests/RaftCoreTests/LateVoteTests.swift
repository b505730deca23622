import ConsensusTypes
import Testing

@testable import RaftCore

/// Section 5.2: votes count in the term for which they were given.
@Suite struct LateVoteTests {
    private static let members = Membership(voters: nodes(1, 2, 3, 4, 5))

    @Test func aVoteOfAnEarlierElectionDoesNotCount() {
        var lone = LoneCore(members: LateVoteTests.members)
        _ = lone.becomeCandidate(with: [2, 3])
        let first = Int(lone.core.term.rawValue)
        _ = lone.receive(.voteResponse(granted: true), from: 2, term: first)
        #expect(lone.core.role == .candidate)
        _ = lone.becomeCandidate(with: [2, 3])
        let second = Int(lone.core.term.rawValue)
        #expect(second > first)
        // They may have voted for another since.
        for voter in [2, 3, 4, 5] { _ = lone.receive(.voteResponse(granted: true), from: voter, term: first) }
        #expect(lone.core.role == .candidate)
        for voter in [4, 5] { _ = lone.receive(.voteResponse(granted: true), from: voter, term: second) }
        #expect(lone.core.role == .leader)
    }

    @Test func aPreVoteOfAnEarlierTermDoesNotCount() {
        var lone = LoneCore(members: LateVoteTests.members)
        _ = lone.becomeCandidate(with: [2, 3])
        let first = Int(lone.core.term.rawValue)
        _ = lone.pass(10_000)
        #expect(lone.core.role == .preCandidate)
        for voter in [2, 3, 4, 5] {
            _ = lone.receive(.preVoteResponse(granted: true), from: voter, term: first)
        }
        #expect(lone.core.role == .preCandidate)
        #expect(Int(lone.core.term.rawValue) == first)
    }
}
