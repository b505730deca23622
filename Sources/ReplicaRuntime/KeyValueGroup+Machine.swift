import ConsensusTypes
import KeyValueCore
import RaftCore

extension KeyValueGroup: ReplicaMachine {
    public func apply(_ entries: [Entry], now: Instant) {
        for entry in entries {
            proposals.noteApplying(entry.term)
            guard entry.kind == .command else { continue }
            let command: Command
            do throws(ByteDecodingError) {
                command = try Command.decode(entry.payload)
            } catch {
                // Every member has the same bytes: going on without the command would make them differ.
                preconditionFailure("committed entry \(entry.index) is not a command: \(error)")
            }
            let result = store.apply(command)
            watches.noteApplied(store)
            noteLease(command, result: result, now: now)
            guard let proposal = proposals.take(applied: entry.proposal) else { continue }
            switch result {
            case .success(let value): proposal.completion(.success(value))
            case .failure(let error): proposal.completion(.failure(.keyValue(error)))
            }
        }
        startLeaseClocksIfLeader(now: now)
        updateDiskSpace(now: now)
    }

    public func makeSnapshotSource() -> any SnapshotSource {
        StoreSnapshotSource(writer: store.snapshotWriter())
    }

    public func makeSnapshotRestorer() -> any SnapshotRestorer {
        Self.makeRestorer()
    }

    public func restore(from restorer: any SnapshotRestorer, metadata: SnapshotMetadata, now: Instant) {
        guard let restored = (restorer as? StoreSnapshotRestorer)?.takeStore() else {
            preconditionFailure("a snapshot was restored by something else than this machine's restorer")
        }
        store = restored
        let unknown = proposals.restore(metadata.term)
        watches.noteApplied(store)
        for ended in unknown { ended.tell() }
        environment.scheduleTurn()
    }

    public func leadershipChanged(_ leadership: Leadership, now: Instant) {
        if leadership.leader != self.leadership.leader, leadership.leader != nil {
            leaderChangeCount += 1
        }
        self.leadership = leadership
        if leadership.role != .leader, leaseTerm != nil {
            leaseTerm = nil
            leases.demote()
        }
        retryLeaderCalls(now: now)
        environment.scheduleTurn()
    }

    public func turnEnded(now: Instant) {
        guard !isStopped else { return }
        proposals.propose(to: replica, now: now)
        askForReads(now: now)
        tellWatchers()
        if store.hasHistoryToPrune, store.prune(maximumRecords: KeyValueGroup.pruneStep) {
            environment.scheduleTurn()
        }
    }

    public var nextDeadline: Instant {
        let waiting = !proposals.isEmpty || !reads.isEmpty || !leaderCalls.isEmpty
        let expiry = waiting ? nextExpiryCheck : .distantFuture
        return min(expiry, leases.nextDeadline ?? .distantFuture)
    }

    public func advance(now: Instant) {
        guard !isStopped else { return }
        expireRequests(now: now)
        proposeExpiredLeases(now: now)
    }

    /// How many versions of compacted history are looked at in a turn.
    private static let pruneStep = 512

    /// Refuses growth where the state is larger than the quota allows.
    private func updateDiskSpace(now: Instant) {
        let isOverQuota = store.sizeBytes > settings.quotaBytes
        if isOverQuota != self.isOverQuota {
            if isOverQuota { ownRarePaths.insert(.quotaExceeded) }
            self.isOverQuota = isOverQuota
            applyDiskSpace(now: now)
        }
    }
}
