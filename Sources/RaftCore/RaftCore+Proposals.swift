import ConsensusTypes

// Proposals: appended by the leader of the term that they name, or by nobody. That is what allows the node
// that accepted one from a client to propose it again once an entry of a later term was applied without it.
extension RaftCore {
    /// The most sessions that a leader takes forwarded proposals from in one term.
    static let maximumSessions = 1_024

    /// Appends commands where this node leads, forwards them where it follows.
    ///
    /// Returns the term in which they were appended or to whose leader they were forwarded; `nil` where no
    /// leader is known and nothing was done. Those that the leader refuses, this node or another, come back
    /// in ``Effects/rejectedProposals``.
    public mutating func propose(_ proposals: [Proposal], now: Instant) -> Term? {
        guard let leader else { return nil }
        if role == .leader {
            for proposal in proposals {
                if let reason = appendOrRefuse(proposal) {
                    effects.rejectedProposals.append(RejectedProposal(id: proposal.id, reason: reason))
                }
            }
            return term
        }
        forward(proposals, to: leader)
        return term
    }

    /// In messages of a bounded size.
    private mutating func forward(_ proposals: [Proposal], to leader: NodeID) {
        var batch: [Proposal] = []
        var sizeBytes = 0
        for proposal in proposals {
            if !batch.isEmpty, sizeBytes + proposal.payload.count > settings.maximumAppendSizeBytes {
                send(.propose(batch), to: leader)
                batch = []
                sizeBytes = 0
            }
            batch.append(proposal)
            sizeBytes += proposal.payload.count + 32
        }
        if !batch.isEmpty { send(.propose(batch), to: leader) }
    }

    private mutating func appendOrRefuse(_ proposal: Proposal) -> ProposalRejection? {
        guard diskSpace == .ample || (diskSpace == .low && !proposal.needsSpace) else { return .noSpace }
        guard uncommittedSizeBytes < settings.maximumUncommittedSizeBytes else { return .overloaded }
        append(.command, proposal: proposal.id, payload: proposal.payload)
        return nil
    }

    mutating func acceptForwarded(_ proposals: [Proposal], _ message: RaftMessage) {
        guard role == .leader, message.term == term, membership.isMember(message.from) else {
            rarePaths.insert(.forwardedProposalRefused)
            return send(
                .proposeRejected(proposals.map(\.id), .notLeader), to: message.from, term: message.term)
        }
        var refused: [(ProposalID, ProposalRejection)] = []
        for proposal in proposals {
            let session = proposal.id.session
            let accepted = acceptedSequences[session]
            if let accepted, proposal.id.sequence <= accepted {
                // A repetition, or one that later ones have overtaken on a broken link.
                rarePaths.insert(.forwardedProposalRepeated)
                continue
            }
            guard accepted != nil || acceptedSequences.count < RaftCore.maximumSessions else {
                refused.append((proposal.id, .overloaded))
                continue
            }
            acceptedSequences[session] = proposal.id.sequence
            if let reason = appendOrRefuse(proposal) {
                refused.append((proposal.id, reason))
            }
        }
        for reason in [ProposalRejection.overloaded, .noSpace] {
            let ids = refused.filter { $0.1 == reason }.map(\.0)
            if !ids.isEmpty { send(.proposeRejected(ids, reason), to: message.from) }
        }
    }
}

extension RaftCore {
    /// Appends an entry that changes nothing, for a leader that must know of a quorum which agreed after now:
    /// when an entry of the leader's own term is committed, so is everything before it (Raft paper, section
    /// 5.4.2). Its index; `nil` where this node does not lead or has no room for its log.
    public mutating func appendBarrier(now: Instant) -> LogIndex? {
        guard role == .leader, diskSpace != .none else { return nil }
        append(.noOperation, proposal: .none, payload: ByteSlice())
        return log.lastIndex
    }
}
