import ConsensusTypes
import Testing

@testable import ReplicaRuntime

@Suite struct PendingProposalsTests {
    private func proposal(_ size: Int, term: Term? = nil, deadline: UInt64 = 0) -> PendingProposal<Int> {
        PendingProposal(
            payload: ByteSlice([UInt8](repeating: 0, count: size)), needsSpace: true,
            deadline: Instant(nanoseconds: deadline), term: term, completion: { _ in })
    }

    @Test func proposalsAreFoundInAnyOrder() {
        var pending = PendingProposals<Int>()
        let sequences = (1...5).map { pending.add(proposal($0)) }
        #expect(sequences == [1, 2, 3, 4, 5])
        #expect(pending.take(3)?.payload.count == 3)
        #expect(pending.take(3) == nil)
        #expect(pending.take(1)?.payload.count == 1)
        #expect(pending.take(2)?.payload.count == 2)
        #expect(pending.count == 2)
        #expect(pending.sizeBytes == 9)
        #expect(pending.take(6) == nil)
        #expect(pending.take(0) == nil)
        #expect(pending.add(proposal(6)) == 6)
        #expect(pending.take(6)?.payload.count == 6)
    }

    @Test func thoseOfEarlierTermsAreTakenInOrder() {
        var pending = PendingProposals<Int>()
        for size in 1...6 {
            let sequence = pending.add(proposal(size))
            pending.setTerm(Term(UInt64(size % 3)), of: sequence)
        }
        let taken = pending.takeAll { ($0.term ?? .zero) < Term(2) }
        #expect(taken.map(\.payload.count) == [1, 3, 4, 6])
        #expect(pending.count == 2)
        #expect(pending.contains(2) && pending.contains(5))
    }
}
