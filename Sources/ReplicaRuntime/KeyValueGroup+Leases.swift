import ConsensusTypes
import KeyValueCore
import RaftCore

// Leases: which exist, and which keys hang on them, is replicated; when they end is decided by the clock of
// the leader alone, which proposes their revocation.
extension KeyValueGroup {
    /// The most revocations that are proposed at one time.
    private static let maximumExpiredAtOnce = 1_000

    /// Gives the lease its full time again and answers with that time in seconds.
    public func renewLease(_ id: LeaseID, completion: @escaping (Result<Int64, ServiceError>) -> Void) {
        callLeader(.renewLease(id), completion: completion)
    }

    /// What is left of the lease's time, and how much it was granted, both in seconds.
    public func leaseTimeToLive(
        _ id: LeaseID,
        completion: @escaping (Result<(remainingSeconds: Int64, grantedSeconds: Int64), ServiceError>) -> Void
    ) {
        callLeader(.leaseTimeToLive(id)) { [self] result in
            switch result {
            case .success(let seconds):
                // The leader knows of a grant before this node has applied it; both are the same for it.
                let granted = store.lease(id)?.timeToLiveSeconds ?? seconds
                completion(.success((remainingSeconds: seconds, grantedSeconds: granted)))
            case .failure(let error):
                completion(.failure(error))
            }
        }
    }

    private func callLeader(_ call: LeaderCall, completion: @escaping LeaderCalls.Completion) {
        let now = clock()
        guard !isStopped else { return completion(.failure(.stopped)) }
        guard !replica.isWitness else { return completion(.failure(.witness)) }
        guard !leaderCalls.isFull else { return completion(.failure(.tooManyRequests)) }
        let number = leaderCalls.add(
            LeaderCalls.Waiting(
                call: call, deadline: now + .milliseconds(settings.requestTimeoutMilliseconds),
                completion: completion))
        watchDeadlines(now: now)
        dispatchLeaderCall(number, call)
    }

    private func dispatchLeaderCall(_ number: UInt64, _ call: LeaderCall) {
        guard let leader = leadership.leader else { return }
        if leader == nodeID {
            answer(call) { [weak self] in self?.takeAnswer(number, $0) }
        } else {
            environment.sendAside(AsideMessage.call(number: number, call).encode(), to: leader)
        }
    }

    /// Calls change nothing that asking twice would do twice, so they go to each new leader again.
    func retryLeaderCalls(now: Instant) {
        guard leadership.leader != nil else { return }
        for number in leaderCalls.numbers {
            if let waiting = leaderCalls[number] {
                dispatchLeaderCall(number, waiting.call)
            }
        }
    }

    func expireLeaderCalls(now: Instant) {
        for number in leaderCalls.numbers {
            if let waiting = leaderCalls[number], waiting.deadline <= now {
                _ = leaderCalls.take(number)
                waiting.completion(.failure(leadership.leader == nil ? .noLeader : .timeout))
            }
        }
    }

    func failLeaderCalls(_ error: ServiceError) {
        for number in leaderCalls.numbers {
            leaderCalls.take(number)?.completion(.failure(error))
        }
    }

    public func receive(_ bytes: ByteSlice, from peer: NodeID, now: Instant) {
        guard let message = try? AsideMessage.decode(bytes) else { return }
        switch message {
        case .call(let number, let call):
            answer(call) { [weak self] answer in
                guard let self else { return }
                environment.sendAside(AsideMessage.answer(number: number, answer).encode(), to: peer)
            }
        case .answer(let number, let answer):
            takeAnswer(number, answer)
        case .announcement(let announced):
            onAnnouncement?(peer, announced)
        }
    }

    /// Tells a peer's node something of this one; it reaches the peer's ``onAnnouncement``.
    public func announce(_ bytes: ByteSlice, to peer: NodeID) {
        environment.sendAside(AsideMessage.announcement(bytes).encode(), to: peer)
    }

    private func takeAnswer(_ number: UInt64, _ answer: LeaderAnswer) {
        switch answer {
        case .seconds(let seconds):
            leaderCalls.take(number)?.completion(.success(seconds))
        case .leaseNotFound:
            leaderCalls.take(number)?.completion(.failure(.keyValue(.leaseNotFound)))
        case .notLeader:
            ownRarePaths.insert(.leaderCallRefused)
            break  // Asked again when the leader is known, or timed out.
        }
    }

    /// Answers for the whole cluster, so only after a quorum has confirmed that this node still leads: a
    /// stale leader must not promise time that the real one does not know of.
    private func answer(_ call: LeaderCall, _ completion: @escaping (LeaderAnswer) -> Void) {
        guard isLeader else { return completion(.notLeader) }
        linearizableRead { [weak self] error in
            guard let self, error == nil, leaseTerm != nil else { return completion(.notLeader) }
            let now = clock()
            switch call {
            case .renewLease(let id):
                guard let seconds = leases.renew(id, now: now) else { return completion(.leaseNotFound) }
                completion(.seconds(seconds))
            case .leaseTimeToLive(let id):
                guard let remaining = leases.remaining(id, now: now) else {
                    return completion(.leaseNotFound)
                }
                completion(.seconds(Int64(remaining.nanoseconds / 1_000_000_000)))
            }
        }
    }

    /// A new leader does not know how much of each lease its predecessor had used up, so it gives every one
    /// its full time again. It does so once its own first entry is applied: then it knows all leases.
    func startLeaseClocksIfLeader(now: Instant) {
        guard isLeader, leaseTerm != leadership.term, proposals.lastAppliedTerm == leadership.term else {
            return
        }
        leaseTerm = leadership.term
        if !store.leaseGrants.isEmpty { ownRarePaths.insert(.leaseClocksPromoted) }
        leases.promote(
            store.leaseGrants, extendingBy: .milliseconds(settings.leaseExtensionMilliseconds), now: now)
    }

    /// Keeps the leader's clocks in step with an applied command.
    func noteLease(_ command: Command, result: Result<CommandResult, KeyValueError>, now: Instant) {
        guard leaseTerm != nil else { return }
        switch (command, result) {
        case (.leaseGrant, .success(.leaseGrant(let response))):
            leases.granted(response.lease, now: now)
        case (.leaseRevoke(let id, _), .success) where store.leaseGrant(id) == nil:
            leases.revoked(id)
        default:
            break
        }
    }

    /// Proposes the end of leases whose time is over, in this term or never: a later leader has given them
    /// their full time again, and what this one saw says nothing then (scenario 27). So the proposals carry
    /// no id, and nobody proposes them again; the clock lists a lease until it is gone.
    func proposeExpiredLeases(now: Instant) {
        guard leaseTerm == replica.core.term, replica.core.role == .leader else { return }
        let expired = leases.expired(at: now, limit: KeyValueGroup.maximumExpiredAtOnce)
        guard !expired.isEmpty else { return }
        ownRarePaths.insert(.leaseExpiryProposed)
        let proposals = expired.map { lease in
            Proposal(
                id: .none,
                payload: ByteSlice(Command.leaseRevoke(lease.id, generation: lease.generation).encode()),
                needsSpace: false)
        }
        _ = replica.propose(proposals, now: now)
    }
}
