import ConsensusTypes
import DequeModule
import RaftCore

/// What is sent to a leader, under a name that ``PendingProposals`` does not hide.
typealias ForwardedProposal = Proposal

/// A client's command from the moment that it is accepted until its outcome is known.
struct PendingProposal<Success> {
    let payload: ByteSlice
    let needsSpace: Bool
    let deadline: Instant
    /// The term whose leader has it; `nil` while it waits for a leader.
    var term: Term?
    let completion: (Result<Success, ServiceError>) -> Void
}

/// The proposals of one session, found by their sequences without hashing.
///
/// Sequences grow by one, and outcomes come nearly in order, so a queue with gaps is enough.
struct PendingProposals<Success> {
    typealias Proposal = PendingProposal<Success>

    private var slots = Deque<Proposal?>()
    /// The sequence of the first slot.
    private var firstSequence: UInt64 = 1
    private(set) var count = 0
    private(set) var sizeBytes = 0

    /// The sequence under which the proposal will be found.
    mutating func add(_ proposal: Proposal) -> UInt64 {
        slots.append(proposal)
        count += 1
        sizeBytes += proposal.payload.count
        return firstSequence + UInt64(slots.count) - 1
    }

    mutating func setTerm(_ term: Term, of sequence: UInt64) {
        guard let position = position(of: sequence) else { return }
        slots[position]?.term = term
    }

    func contains(_ sequence: UInt64) -> Bool {
        guard let position = position(of: sequence) else { return false }
        return slots[position] != nil
    }

    mutating func take(_ sequence: UInt64) -> Proposal? {
        guard let position = position(of: sequence), let proposal = slots[position] else { return nil }
        remove(proposal, at: position)
        dropEmptyFront()
        return proposal
    }

    /// Removes those for which `condition` holds and returns them in their order.
    mutating func takeAll(where condition: (Proposal) -> Bool) -> [Proposal] {
        var taken: [Proposal] = []
        for position in slots.indices {
            guard let proposal = slots[position], condition(proposal) else { continue }
            remove(proposal, at: position)
            taken.append(proposal)
        }
        dropEmptyFront()
        return taken
    }

    /// Those that the leader of `term` was sent, in their order, as they were sent.
    func sent(in term: Term, session: UInt64, kind: ForwardedProposal.Kind = .command) -> [ForwardedProposal]
    {
        slots.indices.compactMap { position in
            guard let proposal = slots[position], proposal.term == term else { return nil }
            return ForwardedProposal(
                id: ProposalID(session: session, sequence: firstSequence + UInt64(position)), kind: kind,
                payload: proposal.payload, needsSpace: proposal.needsSpace)
        }
    }

    private func position(of sequence: UInt64) -> Int? {
        guard sequence >= firstSequence, sequence - firstSequence < UInt64(slots.count) else { return nil }
        return Int(sequence - firstSequence)
    }

    private mutating func remove(_ proposal: Proposal, at position: Int) {
        slots[position] = nil
        count -= 1
        sizeBytes -= proposal.payload.count
    }

    private mutating func dropEmptyFront() {
        while let first = slots.first, first == nil {
            slots.removeFirst()
            firstSequence += 1
        }
    }
}
