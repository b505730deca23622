import ConsensusTypes

/// A snapshot that arrives from a leader.
struct IncomingSnapshot: Sendable {
    let leader: NodeID
    let metadata: SnapshotMetadata
    var nextOffset: UInt64 = 0
    /// All chunks came; the shell is checking and storing the whole.
    var isComplete = false
    var sentAt: Instant
}

// Snapshots (Raft paper, section 7), sent in chunks: each is asked for by the answer to the one before.
extension RaftCore {
    /// Chunks and answers that are lost are made up for after this long.
    private var chunkPatience: Interval { heartbeatInterval * 3 }

    // MARK: Own snapshots

    /// A durable snapshot covers the log up to `snapshot`; entries through `index` need not be kept for
    /// followers any more.
    public mutating func compactLog(through index: LogIndex, snapshot newSnapshot: SnapshotMetadata) {
        precondition(index <= newSnapshot.index, "entries beyond a snapshot must be kept")
        precondition(newSnapshot.index <= handedOutIndex, "a snapshot of what was not applied")
        if newSnapshot.index > snapshot.index { snapshot = newSnapshot }
        log.compact(through: index)
        let base = log.base.index
        let first = (base, membership(at: base))
        memberships = [first] + memberships.filter { $0.index > base }
    }

    // MARK: Leader

    /// Begins to send a snapshot, or goes on where it is this side's turn.
    mutating func continueSnapshot(to position: Int, now: Instant) {
        if progress[position].isWitness { return sendWithheldSnapshot(to: position, now: now) }
        var transfer = SnapshotTransfer(step: .pausing(until: .zero))
        if case .snapshot(let current) = progress[position].state {
            transfer = current
        } else {
            progress[position].inFlight = []
            progress[position].probeUnderWay = nil
        }
        switch transfer.step {
        case .reading:
            return
        case .pausing(let until):
            guard now >= until else { return }
        case .sent(let at, let isLast):
            // Installing takes the follower a while, so the last chunk is repeated late.
            guard now >= at + (isLast ? electionTimeout : chunkPatience) else { return }
        }
        transfer.hasTurn = isSnapshotTurnFree(besides: position, now: now)
        guard transfer.hasTurn else {
            rarePaths.insert(.snapshotWaitsForTurn)
            transfer.step = .pausing(until: .zero)
            progress[position].state = .snapshot(transfer)
            return
        }
        transfer.step = .reading
        progress[position].state = .snapshot(transfer)
        effects.snapshotReads.append(
            SnapshotRead(
                peer: progress[position].node, metadata: transfer.metadata, offset: transfer.offset,
                maximumSizeBytes: settings.snapshotChunkSizeBytes))
    }

    /// Whether fewer than the most transfers go on to others. Members that have not answered for an election
    /// timeout keep nobody waiting, and lose their turn when they are sent to again.
    private func isSnapshotTurnFree(besides position: Int, now: Instant) -> Bool {
        var count = 0
        for other in progress.indices where other != position {
            guard case .snapshot(let transfer) = progress[other].state, transfer.hasTurn,
                now < progress[other].answeredSentAt + electionTimeout
            else { continue }
            count += 1
        }
        return count < settings.maximumConcurrentSnapshotTransfers
    }

    /// The bytes that ``Effects/snapshotReads`` asked for.
    public mutating func provideSnapshotChunk(_ chunk: SnapshotChunk, to peer: NodeID, now: Instant) {
        guard role == .leader, let position = progressPosition(of: peer),
            case .snapshot(var transfer) = progress[position].state, transfer.step == .reading,
            chunk.offset == transfer.offset, transfer.metadata == nil || transfer.metadata == chunk.metadata
        else { return }
        transfer.metadata = chunk.metadata
        transfer.step = .sent(at: now, isLast: chunk.isLast)
        progress[position].state = .snapshot(transfer)
        send(
            .snapshotChunk(
                SnapshotChunk(
                    metadata: chunk.metadata, offset: chunk.offset, bytes: chunk.bytes, isLast: chunk.isLast,
                    sentAt: now)), to: peer)
    }

    /// The snapshot cannot be read (any more): a newer one is tried a little later.
    public mutating func snapshotUnavailable(for peer: NodeID, now: Instant) {
        guard role == .leader, let position = progressPosition(of: peer),
            case .snapshot = progress[position].state
        else { return }
        rarePaths.insert(.snapshotUnavailable)
        progress[position].state = .snapshot(
            SnapshotTransfer(step: .pausing(until: now + heartbeatInterval)))
    }

    mutating func handleSnapshotResponse(_ response: SnapshotResponse, from node: NodeID, now: Instant) {
        guard role == .leader, let position = progressPosition(of: node) else { return }
        noteAnswer(sentAt: response.sentAt, readRound: 0, at: position, now: now)
        guard case .snapshot(var transfer) = progress[position].state,
            let metadata = transfer.metadata, metadata.index == response.index
        else { return }
        switch response.outcome {
        case .wants(let offset):
            // A chunk that was sent twice is answered twice. If both answers led to the next chunk, everything
            // from here on would be sent twice.
            guard case .sent = transfer.step, offset != transfer.offset else {
                return rarePaths.insert(.snapshotChunkAnsweredTwice)
            }
            transfer.offset = offset
            transfer.step = .pausing(until: .zero)
            progress[position].state = .snapshot(transfer)
        case .installed:
            progress[position].noteMatch(metadata.index)
            progress[position].becomeProbe()
            advanceCommit()
        case .refused:
            progress[position].state = .snapshot(
                SnapshotTransfer(step: .pausing(until: now + electionTimeout)))
        }
    }

    // MARK: Follower

    mutating func handleSnapshotChunk(_ chunk: SnapshotChunk, from leader: NodeID) {
        if log.term(at: chunk.metadata.index) == chunk.metadata.term {
            // The log agrees up to there, and all of that is committed.
            commitIndex = max(commitIndex, chunk.metadata.index)
        }
        guard chunk.metadata.index > commitIndex else {
            rarePaths.insert(.snapshotNotNeeded)
            // What it stands for is here already; to install it could only take away (scenario 16).
            // The leader takes the answer for durable, which what is committed here need not be yet.
            return answerSnapshot(
                chunk.metadata.index, .installed, sentAt: chunk.sentAt, to: leader, waitsForLog: true)
        }
        guard chunk.metadata.isWithheld ? takesWithheld : !isWitness else {
            rarePaths.insert(.withheldRefusedByDataMember)
            malformedMessageCount += 1
            return answerSnapshot(chunk.metadata.index, .refused, sentAt: chunk.sentAt, to: leader)
        }
        if incomingSnapshot?.metadata != chunk.metadata
            || (chunk.offset == 0 && incomingSnapshot?.nextOffset == 0
                && incomingSnapshot?.isComplete == false)
        {
            guard chunk.offset == 0 else {
                rarePaths.insert(.snapshotTransferRestarted)
                return answerSnapshot(
                    chunk.metadata.index, .wants(offset: 0), sentAt: chunk.sentAt, to: leader)
            }
            incomingSnapshot = IncomingSnapshot(
                leader: leader, metadata: chunk.metadata, sentAt: chunk.sentAt)
        }
        guard var incoming = incomingSnapshot, !incoming.isComplete else { return }
        incoming.sentAt = chunk.sentAt
        if chunk.offset == incoming.nextOffset {
            effects.receivedChunks.append(ReceivedSnapshotChunk(from: leader, chunk: chunk))
            incoming.nextOffset += UInt64(chunk.bytes.count)
            incoming.isComplete = chunk.isLast
        }
        incomingSnapshot = incoming
        if !incoming.isComplete {
            answerSnapshot(
                chunk.metadata.index, .wants(offset: incoming.nextOffset), sentAt: chunk.sentAt, to: leader)
        }
    }

    /// The whole snapshot is checked and durable.
    public mutating func snapshotReceived(_ metadata: SnapshotMetadata, now: Instant) {
        guard let incoming = incomingSnapshot, incoming.metadata == metadata else { return }
        incomingSnapshot = nil
        guard metadata.index > commitIndex else {
            rarePaths.insert(.receivedSnapshotObsolete)
            return answerSnapshot(
                metadata.index, .installed, sentAt: incoming.sentAt, to: incoming.leader, waitsForLog: true)
        }
        let position = LogPosition(term: metadata.term, index: metadata.index)
        if metadata.isWithheld { lacksData = true }
        let keepsSuffix = log.restore(position)
        rarePaths.insert(keepsSuffix ? .snapshotKeepsSuffix : .snapshotDropsSuffix)
        persistence.noteSnapshot(metadata, keepsSuffix: keepsSuffix, committed: commitIndex)
        let later = keepsSuffix ? memberships.filter { $0.index > metadata.index } : []
        memberships = [(metadata.index, metadata.membership)] + later
        isMembershipNew = true
        snapshot = metadata
        commitIndex = metadata.index
        handedOutIndex = metadata.index
        pendingAnswer = nil
        effects.restore = metadata
        answerSnapshot(
            metadata.index, .installed, sentAt: incoming.sentAt, to: incoming.leader, waitsForLog: true)
    }

    /// The snapshot was damaged, or there was no room for it.
    public mutating func snapshotRefused(index: LogIndex, now: Instant) {
        guard let incoming = incomingSnapshot, incoming.metadata.index == index else { return }
        incomingSnapshot = nil
        rarePaths.insert(.snapshotRefused)
        answerSnapshot(index, .refused, sentAt: incoming.sentAt, to: incoming.leader)
    }

    private mutating func answerSnapshot(
        _ index: LogIndex, _ outcome: SnapshotResponse.Outcome, sentAt: Instant, to leader: NodeID,
        waitsForLog: Bool = false
    ) {
        let response = SnapshotResponse(index: index, outcome: outcome, sentAt: sentAt)
        send(.snapshotResponse(response), to: leader, waitsForLog: waitsForLog)
    }
}
