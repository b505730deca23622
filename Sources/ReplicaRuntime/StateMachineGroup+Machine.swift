import ConsensusTypes
import RaftCore

extension StateMachineGroup: ReplicaMachine {
    public func apply(_ entries: [Entry], now: Instant) {
        for entry in entries {
            proposals.noteApplying(entry.term)
            guard entry.kind == .command else { continue }
            let result = state.apply(entry.payload)
            guard let proposal = proposals.take(applied: entry.proposal) else { continue }
            proposal.completion(.success(result))
        }
    }

    public func makeSnapshotSource() -> any SnapshotSource {
        StateMachineSnapshotSource(state)
    }

    public func makeSnapshotRestorer() -> any SnapshotRestorer {
        Self.makeRestorer()
    }

    public func restore(from restorer: any SnapshotRestorer, metadata: SnapshotMetadata, now: Instant) {
        guard let restored = (restorer as? StateMachineRestorer<S>)?.takeState() else {
            preconditionFailure("a snapshot was restored by something else than this machine's restorer")
        }
        state = restored
        let unknown = proposals.restore(metadata.term)
        for ended in unknown { ended.tell() }
        environment.scheduleTurn()
    }

    public func leadershipChanged(_ leadership: Leadership, now: Instant) {
        self.leadership = leadership
        environment.scheduleTurn()
    }

    public func readReady(_ id: ReadID, now: Instant) {
        for read in reads.takeReady(id) {
            read.completion(nil)
        }
    }

    public func readFailed(_ id: ReadID, now: Instant) {
        reads.noteFailed(id)
    }

    public func proposalRejected(_ id: ProposalID, reason: ProposalRejection, now: Instant) {
        proposals.takeRejected(id, reason: reason)?.tell()
    }

    /// Machines of this kind say nothing to each other outside of the log; their nodes may.
    public func receive(_ bytes: ByteSlice, from peer: NodeID, now: Instant) {
        guard case .announcement(let announced)? = try? AsideMessage.decode(bytes) else { return }
        onAnnouncement?(peer, announced)
    }

    public func turnEnded(now: Instant) {
        guard !isStopped else { return }
        proposals.propose(to: replica, now: now)
        askForReads(now: now)
    }

    public var nextDeadline: Instant {
        !proposals.isEmpty || !reads.isEmpty ? nextExpiryCheck : .distantFuture
    }

    public func advance(now: Instant) {
        guard !isStopped else { return }
        expireRequests(now: now)
    }
}
