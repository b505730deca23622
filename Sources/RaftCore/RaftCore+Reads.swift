import ConsensusTypes

// Linearizable reads without a log entry: read index (dissertation, section 6.4), in batches.
extension RaftCore {
    /// Asks for the index that must be applied before the read is answered.
    ///
    /// `false`: no leader is known, or ``RaftSettings/maximumPendingReads`` wait already; nothing was done.
    public mutating func requestRead(_ id: ReadID, now: Instant) -> Bool {
        if role == .leader {
            guard leaderReads.gathered.count < settings.maximumPendingReads else { return false }
            leaderReads.gathered.append(.own(id))
            return true
        }
        guard leader != nil, followerReads.gathered.count < settings.maximumPendingReads else { return false }
        followerReads.gathered.append(id)
        return true
    }

    // MARK: Leader

    /// Starts to confirm the gathered reads: every append of this turn asks whether this node still leads.
    mutating func startReadRound(now: Instant) {
        guard leaderReads.current == nil, !leaderReads.gathered.isEmpty else { return }
        // A new leader does not know the commit index before it has committed an entry of its own term.
        guard log.term(at: commitIndex) == term else { return rarePaths.insert(.readWaitsForOwnTerm) }
        leaderReads.round += 1
        leaderReads.current = LeaderReads.Round(index: commitIndex, readers: leaderReads.gathered)
        leaderReads.gathered = []
        confirmReads()
    }

    /// Answers the reads of the current round once a quorum has said, after it began, whom it follows.
    mutating func confirmReads() {
        guard let current = leaderReads.current else { return }
        let round = leaderReads.round
        let isConfirmed = membership.isQuorum { node in
            if node == nodeID { return true }
            return progressPosition(of: node).map { progress[$0].confirmedReadRound >= round } ?? false
        }
        guard isConfirmed else { return }
        leaderReads.current = nil
        for reader in current.readers {
            switch reader {
            case .own(let id):
                effects.readyReads.append(ReadyRead(id: id, index: current.index))
            case .follower(let node, let batch):
                send(.readIndexResponse(batch, current.index), to: node)
            }
        }
    }

    mutating func handleReadIndexRequest(_ batch: ReadBatchID, from node: NodeID) {
        guard role == .leader, leaderReads.gathered.count < settings.maximumPendingReads else {
            return send(.readIndexResponse(batch, nil), to: node)
        }
        leaderReads.gathered.append(.follower(node, batch))
    }

    mutating func failLeaderReads() {
        let readers = (leaderReads.current?.readers ?? []) + leaderReads.gathered
        leaderReads = LeaderReads()
        if !readers.isEmpty { rarePaths.insert(.leaderReadsFailed) }
        for reader in readers {
            if case .own(let id) = reader {
                effects.failedReads.append(id)
            }
        }
    }

    // MARK: Follower

    /// One question at a time; what comes meanwhile shares the next.
    mutating func askLeaderForReads(now: Instant) {
        guard let leader, followerReads.current == nil, !followerReads.gathered.isEmpty,
            now >= followerReads.pausedUntil
        else { return }
        followerReads.lastSequence += 1
        let id = ReadBatchID(session: session, sequence: followerReads.lastSequence)
        followerReads.current = FollowerReads.Batch(
            id: id, reads: followerReads.gathered, deadline: now + electionTimeout / 2)
        followerReads.gathered = []
        send(.readIndexRequest(id), to: leader)
    }

    mutating func handleReadIndexResponse(_ batch: ReadBatchID, _ index: LogIndex?, now: Instant) {
        // An answer to a question that was given up is too old to be trusted with the reads of a newer one.
        guard let current = followerReads.current, current.id == batch else {
            return rarePaths.insert(.readBatchOutlived)
        }
        followerReads.current = nil
        guard let index else {
            followerReads.gathered = current.reads + followerReads.gathered
            followerReads.pausedUntil = now + heartbeatInterval
            return
        }
        for id in current.reads {
            effects.readyReads.append(ReadyRead(id: id, index: index))
        }
    }

    /// Asks again where the question or its answer was lost.
    mutating func retryFollowerReads(now: Instant) {
        guard let current = followerReads.current, now >= current.deadline else { return }
        rarePaths.insert(.readAskedAgain)
        followerReads.current = nil
        followerReads.gathered = current.reads + followerReads.gathered
    }

    mutating func failFollowerReads() {
        effects.failedReads += followerReads.current?.reads ?? []
        effects.failedReads += followerReads.gathered
        followerReads.current = nil
        followerReads.gathered = []
        followerReads.pausedUntil = .zero
        followerReads.echoedRound = nil
    }
}
