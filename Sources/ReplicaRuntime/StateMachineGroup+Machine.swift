import ConsensusTypes
import RaftCore

extension StateMachineGroup: ReplicaMachine {
    public func apply(_ entries: [Entry], now: Instant) {
        for entry in entries {
            if entry.term > lastAppliedTerm {
                lastAppliedTerm = entry.term
                proposeAgain(before: entry.term)
            }
            guard entry.kind == .command else { continue }
            let result = state.apply(entry.payload)
            guard entry.proposal.session == session, let proposal = pending.take(entry.proposal.sequence)
            else { continue }
            proposal.completion(.success(result))
        }
    }

    public func makeSnapshotSource() -> any SnapshotSource {
        StateMachineSnapshotSource(state)
    }

    public func makeSnapshotRestorer() -> any SnapshotRestorer {
        StateMachineRestorer<S>()
    }

    public func restore(from restorer: any SnapshotRestorer, metadata: SnapshotMetadata, now: Instant) {
        guard let restored = (restorer as? StateMachineRestorer<S>)?.takeState() else {
            preconditionFailure("a snapshot was restored by something else than this machine's restorer")
        }
        state = restored
        lastAppliedTerm = metadata.term
        // The entries that the snapshot stands for may hold these proposals, or may not.
        for proposal in pending.takeAll(where: { $0.term != nil }) {
            rarePaths.insert(.proposalsUnknownAfterSnapshot)
            proposal.completion(.failure(.timeoutLeaderFailure))
        }
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

    /// Machines of this kind say nothing to each other outside of the log.
    public func receive(_ bytes: ByteSlice, from peer: NodeID, now: Instant) {}

    public func turnEnded(now: Instant) {
        guard !isStopped else { return }
        proposeOutbox(now: now)
        askForReads(now: now)
    }

    public var nextDeadline: Instant {
        pending.count > 0 || !reads.isEmpty ? nextExpiryCheck : .distantFuture
    }

    public func advance(now: Instant) {
        guard !isStopped else { return }
        expireRequests(now: now)
    }
}
