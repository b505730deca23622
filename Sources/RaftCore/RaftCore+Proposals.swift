import ConsensusTypes

// Proposals: appended by the leader of the term that they name, or by nobody. That is what allows the node
// that accepted one from a client to propose it again once an entry of a later term was applied without it.
extension RaftCore {
    /// The most sessions that a leader takes forwarded proposals from in one term.
    static let maximumSessions = 1_024

    /// Appends proposals where this node leads, forwards them where it follows.
    ///
    /// Returns the term in which they were appended or to whose leader they were forwarded; `nil` where no
    /// leader is known, or this one is handing over, and nothing was done: propose them again later. Those that
    /// the leader refuses, this node or another, come back in ``Effects/rejectedProposals``.
    public mutating func propose(_ proposals: [Proposal], now: Instant) -> Term? {
        guard let leader else { return nil }
        if role == .leader {
            guard transfer == nil else { return nil }
            for proposal in proposals {
                if let reason = appendOrRefuse(proposal, now: now) {
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
            guard proposal.payload.count <= settings.maximumEntrySizeBytes else {
                effects.rejectedProposals.append(RejectedProposal(id: proposal.id, reason: .tooLarge))
                continue
            }
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

    mutating func appendOrRefuse(_ proposal: Proposal, now: Instant) -> ProposalRejection? {
        guard proposal.payload.count <= settings.maximumEntrySizeBytes else { return .tooLarge }
        guard diskSpace == .ample || (diskSpace == .low && !proposal.needsSpace) else { return .noSpace }
        guard uncommittedSizeBytes < settings.maximumUncommittedSizeBytes else { return .overloaded }
        if proposal.kind == .membershipChange { return appendMembershipChange(proposal, now: now) }
        append(.command, proposal: proposal.id, payload: proposal.payload, now: now)
        return nil
    }

    mutating func acceptForwarded(_ proposals: [Proposal], _ message: RaftMessage, now: Instant) {
        guard role == .leader, message.term == term, membership.isMember(message.from) else {
            rarePaths.insert(.forwardedProposalRefused)
            return send(
                .proposeRejected(proposals.map(\.id), .notLeader), to: message.from, term: message.term)
        }
        // In the order of their first appearance; usually there is none.
        var refused: [(reason: ProposalRejection, ids: [ProposalID])] = []
        for proposal in proposals {
            guard let reason = acceptOrRefuse(proposal, from: message.from, now: now) else { continue }
            if let position = refused.firstIndex(where: { $0.reason == reason }) {
                refused[position].ids.append(proposal.id)
            } else {
                refused.append((reason, [proposal.id]))
            }
        }
        for group in refused {
            send(.proposeRejected(group.ids, group.reason), to: message.from)
        }
    }

    private mutating func acceptOrRefuse(
        _ proposal: Proposal, from node: NodeID, now: Instant
    ) -> ProposalRejection? {
        let session = proposal.id.session
        let accepted = acceptedSequences[session]
        if let accepted, proposal.id.sequence <= accepted {
            // A repetition, or one that later ones have overtaken on a broken link.
            rarePaths.insert(.forwardedProposalRepeated)
            return nil
        }
        guard accepted != nil || acceptedSequences.count < RaftCore.maximumSessions else {
            return .overloaded
        }
        // Also of what is held or refused: a later copy of it must not be appended after all.
        acceptedSequences[session] = proposal.id.sequence
        return transfer == nil ? appendOrRefuse(proposal, now: now) : hold(proposal, from: node)
    }
}

extension RaftCore {
    /// Appends an entry that changes nothing, for a leader that must know of a quorum which agreed after now:
    /// when an entry of the leader's own term is committed, so is everything before it (Raft paper, section
    /// 5.4.2). Its index; `nil` where this node does not lead, is handing over or has no room for its log.
    public mutating func appendBarrier(now: Instant) -> LogIndex? {
        guard role == .leader, transfer == nil, diskSpace != .none else { return nil }
        append(.noOperation, proposal: .none, payload: ByteSlice(), now: now)
        return log.lastIndex
    }
}
