import ConsensusTypes
import RaftCore

extension StateMachineGroup {
    /// How often requests are checked for having waited too long.
    private static var expiryCheckInterval: Interval { .milliseconds(100) }

    /// Replicates a command and answers with its result once it is applied here.
    ///
    /// While no leader is known the command waits for one. `completion` is called exactly once, on the loop.
    /// Where the error's ``ServiceError/isOutcomeUnknown`` holds, the command may still be executed; all
    /// other errors say that it was not and never will be. ``ServiceError/keyValue(_:)`` does not occur.
    ///
    /// - Parameter needsSpace: whether the command makes the state larger. Such commands are refused first
    ///   where the disk is nearly full, so that those which make room can go on.
    public func propose(
        _ command: [UInt8], needsSpace: Bool = true,
        completion: @escaping (Result<[UInt8], ServiceError>) -> Void
    ) throws(CommandTooLargeError) {
        guard command.count <= settings.maximumCommandSizeBytes else {
            throw CommandTooLargeError(
                sizeBytes: command.count, maximumSizeBytes: settings.maximumCommandSizeBytes)
        }
        let now = clock()
        guard !isStopped else { return completion(.failure(.stopped)) }
        guard pending.count < settings.maximumPendingProposals,
            pending.sizeBytes < settings.maximumPendingProposalSizeBytes
        else { return completion(.failure(.tooManyRequests)) }
        enqueue(
            PendingProposal(
                payload: ByteSlice(command), needsSpace: needsSpace,
                deadline: now + .milliseconds(settings.requestTimeoutMilliseconds), term: nil,
                completion: completion))
        watchDeadlines(now: now)
        environment.scheduleTurn()
    }

    /// Calls `completion` once ``state`` holds every command whose result was given before this call, or with
    /// the reason why that could not be shown in time (Raft dissertation, section 6.4).
    public func linearizableRead(_ completion: @escaping (ServiceError?) -> Void) {
        let now = clock()
        guard !isStopped else { return completion(.stopped) }
        guard reads.count < settings.maximumPendingReads else { return completion(.tooManyRequests) }
        reads.add(
            ReadGathering.Read(
                deadline: now + .milliseconds(settings.requestTimeoutMilliseconds), completion: completion))
        watchDeadlines(now: now)
        environment.scheduleTurn()
    }

    /// Asks the machine, as soon as a ``linearizableRead(_:)`` allows it.
    public func ask(_ query: [UInt8], completion: @escaping (Result<[UInt8], ServiceError>) -> Void) {
        linearizableRead { [self] error in
            if let error { return completion(.failure(error)) }
            completion(.success(state.answer(ByteSlice(query))))
        }
    }

    private func enqueue(_ proposal: PendingProposal<[UInt8]>) {
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

    func askForReads(now: Instant) {
        guard !reads.gathered.isEmpty, replica.requestRead(reads.nextID, now: now) else { return }
        reads.noteAsked()
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

    private func watchDeadlines(now: Instant) {
        if nextExpiryCheck == .distantFuture || nextExpiryCheck < now {
            nextExpiryCheck = now + Self.expiryCheckInterval
        }
    }

    func expireRequests(now: Instant) {
        guard nextExpiryCheck <= now else { return }
        nextExpiryCheck = now + Self.expiryCheckInterval
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
        if pending.count == 0, reads.isEmpty { nextExpiryCheck = .distantFuture }
    }

    /// How much room the node's log has.
    public func setLogSpace(_ space: DiskSpace, now: Instant) {
        replica.setDiskSpace(space, now: now)
    }
}
