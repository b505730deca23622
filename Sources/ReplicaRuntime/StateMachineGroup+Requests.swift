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
        guard !replica.isWitness else { return completion(.failure(.witness)) }
        guard proposals.count < settings.maximumPendingProposals,
            proposals.sizeBytes < settings.maximumPendingProposalSizeBytes
        else { return completion(.failure(.tooManyRequests)) }
        proposals.add(
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
        guard !replica.isWitness else { return completion(.witness) }
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

    public func peerConnected(_ peer: NodeID, now: Instant) {
        proposals.noteConnected(peer)
    }

    func askForReads(now: Instant) {
        guard !reads.gathered.isEmpty, replica.requestRead(reads.nextID, now: now) else { return }
        reads.noteAsked()
    }

    private func watchDeadlines(now: Instant) {
        if nextExpiryCheck == .distantFuture || nextExpiryCheck < now {
            nextExpiryCheck = now + Self.expiryCheckInterval
        }
    }

    func expireRequests(now: Instant) {
        guard nextExpiryCheck <= now else { return }
        nextExpiryCheck = now + Self.expiryCheckInterval
        for ended in proposals.takeLate(now: now) { ended.tell() }
        for completion in reads.takeExpired(now: now) {
            ownRarePaths.insert(.readTimedOut)
            completion(leadership.leader == nil ? .noLeader : .timeout)
        }
        if proposals.isEmpty, reads.isEmpty { nextExpiryCheck = .distantFuture }
    }

    /// How much room the node's log has.
    public func setLogSpace(_ space: DiskSpace, now: Instant) {
        replica.setDiskSpace(space, now: now)
    }
}
