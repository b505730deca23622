import ConsensusTypes
import KeyValueCore
import RaftCore

extension KeyValueGroup {
    /// How often requests are checked for having waited too long.
    static let expiryCheckInterval = Interval.milliseconds(100)

    /// Replicates a command and answers with its result once it is applied here.
    ///
    /// While no leader is known the command waits for one. `completion` is called exactly once, on the loop,
    /// never within this call.
    public func propose(
        _ command: Command,
        completion: @escaping (Result<CommandResult, ServiceError>) -> Void
    ) {
        let now = clock()
        guard !isStopped else { return completion(.failure(.stopped)) }
        guard pending.count < settings.maximumPendingProposals,
            pending.sizeBytes < settings.maximumPendingProposalSizeBytes
        else { return completion(.failure(.tooManyRequests)) }
        enqueue(
            PendingProposal(
                payload: ByteSlice(command.encode()), needsSpace: command.needsSpace,
                deadline: now + .milliseconds(settings.requestTimeoutMilliseconds), term: nil,
                completion: completion))
        watchDeadlines(now: now)
        environment.scheduleTurn()
    }

    private func enqueue(_ proposal: PendingProposal<CommandResult>) {
        let sequence = pending.add(proposal)
        outbox.append(
            Proposal(
                id: ProposalID(session: session, sequence: sequence), payload: proposal.payload,
                needsSpace: proposal.needsSpace))
    }

    /// What was forwarded to the leader over the link of before may be lost with it, and would wait for its
    /// timeout. Sent again in the same term, in the same order and before anything newer, it is appended at
    /// most once: a leader takes the sequences of a session in their order only.
    public func peerConnected(_ peer: NodeID, now: Instant) {
        if !reconnectedPeers.contains(peer) { reconnectedPeers.append(peer) }
    }

    func proposeOutbox(now: Instant) {
        if !reconnectedPeers.isEmpty {
            if let leader = replica.core.leader, reconnectedPeers.contains(leader) {
                let lost = pending.sent(in: replica.core.term, session: session)
                if !lost.isEmpty { rarePaths.insert(.proposalsSentAgain) }
                outbox.insert(contentsOf: lost, at: 0)
            }
            reconnectedPeers = []
        }
        guard !outbox.isEmpty, let term = replica.propose(outbox, now: now) else { return }
        for proposal in outbox {
            pending.setTerm(term, of: proposal.id.sequence)
        }
        outbox.removeAll(keepingCapacity: true)
    }

    /// An entry of `term` was applied: what was proposed in an earlier term and not applied by now is in no
    /// log that can still win, so proposing it again cannot execute it twice.
    func proposeAgain(before term: Term) {
        let lost = pending.takeAll { proposal in
            if let proposedIn = proposal.term { return proposedIn < term }
            return false
        }
        for var proposal in lost {
            // A new sequence: a leader takes the sequences of a session in their order only.
            proposal.term = nil
            rarePaths.insert(.proposalProposedAgain)
            enqueue(proposal)
        }
    }

    public func proposalRejected(_ id: ProposalID, reason: ProposalRejection, now: Instant) {
        guard id.session == session else { return }
        switch reason {
        case .notLeader:
            // Only an applied entry of a later term tells for certain; it will come.
            break
        case .overloaded:
            pending.take(id.sequence)?.completion(.failure(.tooManyRequests))
        case .noSpace:
            pending.take(id.sequence)?.completion(.failure(.noSpace))
        }
    }

    func watchDeadlines(now: Instant) {
        if nextExpiryCheck == .distantFuture || nextExpiryCheck < now {
            nextExpiryCheck = now + KeyValueGroup.expiryCheckInterval
        }
    }

    func expireRequests(now: Instant) {
        guard nextExpiryCheck <= now else { return }
        nextExpiryCheck = now + KeyValueGroup.expiryCheckInterval
        let late = pending.takeAll { $0.deadline <= now }
        if !late.isEmpty {
            outbox.removeAll { !pending.contains($0.id.sequence) }
            rarePaths.insert(.requestTimedOut)
            for proposal in late {
                proposal.completion(.failure(proposal.term == nil ? .noLeader : .timeout))
            }
        }
        for completion in reads.takeExpired(now: now) {
            rarePaths.insert(.readTimedOut)
            completion(leadership.leader == nil ? .noLeader : .timeout)
        }
        expireLeaderCalls(now: now)
        if pending.count == 0, reads.isEmpty, leaderCalls.isEmpty {
            nextExpiryCheck = .distantFuture
        }
    }

    /// How much room the node's log has; together with the quota it decides what is refused.
    public func setLogSpace(_ space: DiskSpace, now: Instant) {
        logSpace = space
        applyDiskSpace(now: now)
    }

    func applyDiskSpace(now: Instant) {
        let space: DiskSpace = isOverQuota && logSpace == .ample ? .low : logSpace
        replica.setDiskSpace(space, now: now)
    }

    /// Whether writes that make the state larger are refused here.
    public var isOutOfSpace: Bool { isOverQuota || logSpace != .ample }
}
