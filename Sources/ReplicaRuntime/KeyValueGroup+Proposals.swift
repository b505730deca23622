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
        guard !replica.isWitness else { return completion(.failure(.witness)) }
        guard proposals.count < settings.maximumPendingProposals,
            proposals.sizeBytes < settings.maximumPendingProposalSizeBytes
        else { return completion(.failure(.tooManyRequests)) }
        proposals.add(
            PendingProposal(
                payload: ByteSlice(command.encode()), needsSpace: command.needsSpace,
                deadline: now + .milliseconds(settings.requestTimeoutMilliseconds), term: nil,
                completion: completion))
        watchDeadlines(now: now)
        environment.scheduleTurn()
    }

    public func peerConnected(_ peer: NodeID, now: Instant) {
        proposals.noteConnected(peer)
    }

    public func proposalRejected(_ id: ProposalID, reason: ProposalRejection, now: Instant) {
        proposals.takeRejected(id, reason: reason)?.tell()
    }

    func watchDeadlines(now: Instant) {
        if nextExpiryCheck == .distantFuture || nextExpiryCheck < now {
            nextExpiryCheck = now + KeyValueGroup.expiryCheckInterval
        }
    }

    func expireRequests(now: Instant) {
        guard nextExpiryCheck <= now else { return }
        nextExpiryCheck = now + KeyValueGroup.expiryCheckInterval
        for ended in proposals.takeLate(now: now) { ended.tell() }
        for completion in reads.takeExpired(now: now) {
            ownRarePaths.insert(.readTimedOut)
            completion(leadership.leader == nil ? .noLeader : .timeout)
        }
        expireLeaderCalls(now: now)
        if proposals.isEmpty, reads.isEmpty, leaderCalls.isEmpty {
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
