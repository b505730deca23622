import ConsensusTypes
import RaftCore
import WriteAheadLog

// Restoring this node's own past: entries and snapshots from one peer at a time.
extension NodeAdmission {
    private static let maximumChunkAttempts = 3

    /// Goes on where nothing is under way.
    func work(now: Instant) {
        finishIfComplete()
        guard isRepairing else { return }
        if now >= adoptionDeadline { beginAnew() }
        if now >= nextRetry {
            nextRetry = now + .milliseconds(settings.retryMilliseconds)
            if adoption == nil, repair == nil || isStuck { askForAdoption() }
            if isStuck {
                for position in peers.indices { peers[position].isTried = false }
            }
        }
        takeAdoptionIfNeeded(now: now)
        guard fetch == nil, snapshotFetch?.isStoring != true else { return }
        if snapshotFetch != nil {
            fetchChunk(now: now)
        } else if repair != nil {
            fetchNext(now: now)
        }
    }

    /// Whether nobody who is connected can help with what is lacking now.
    private var isStuck: Bool {
        guard fetch == nil, snapshotFetch == nil, let repair else { return false }
        return !peers.contains { $0.isConnected && (!$0.isTried || repair.isHelped(by: $0.snapshot)) }
    }

    /// From what is left of this node's own: whoever had the leader's entry is gone, or the parts do not fit.
    private func beginAnew() {
        adoption = nil
        adoptionOffer = nil
        adoptionDeadline = .distantFuture
        fetch = nil
        snapshotFetch = nil
        repair = mode == .restoring ? LogRepair(salvaged, membership: firstMembership) : nil
        for position in peers.indices { peers[position].isTried = false }
    }

    /// The exact past goes before adoption as long as somebody can give more of it.
    private func takeAdoptionIfNeeded(now: Instant) {
        guard adoption == nil, let offer = adoptionOffer, mode == .adopting || isStuck else { return }
        effects.append(
            .report("leader \(offer.leader) adopts this node with entry \(offer.barrier)", isWarning: false))
        adoption = offer
        adoptionOffer = nil
        adoptionDeadline = now + .milliseconds(settings.adoptionPatienceMilliseconds)
        repair = LogRepair(salvaged, target: offer.barrier, membership: firstMembership)
        for position in peers.indices { peers[position].isTried = peers[position].node != offer.leader }
    }

    private func fetchNext(now: Instant) {
        guard let repair, let boundary = repair.boundary, let through = repair.through else { return }
        if let peer = peers.first(where: { $0.isConnected && !$0.isTried }) {
            let request = EntriesRequest(
                number: nextNumber(), group: group, boundary: boundary, through: through, from: repair.from,
                maximumSizeBytes: settings.maximumEntriesSizeBytes)
            begin(.entriesRequest(request), request.number, to: peer.node, now: now)
            return
        }
        // Nobody has the entries: the newest snapshot that helps.
        let helpful = peers.filter { $0.isConnected && repair.isHelped(by: $0.snapshot) }
        guard let best = helpful.max(by: { $0.snapshot.index < $1.snapshot.index }) else { return }
        snapshotFetch = SnapshotFetch(peer: best.node)
        fetchChunk(now: now)
    }

    private func fetchChunk(now: Instant) {
        guard var transfer = snapshotFetch else { return }
        transfer.attempts += 1
        guard transfer.attempts <= Self.maximumChunkAttempts else {
            return abandonSnapshot(of: transfer.peer)
        }
        snapshotFetch = transfer
        let request = SnapshotRequest(
            number: nextNumber(), group: group, metadata: transfer.metadata, offset: transfer.offset,
            // A witness wants to know what it is of, and none of it.
            maximumSizeBytes: isWitness ? 1 : settings.snapshotChunkSizeBytes)
        begin(.snapshotRequest(request), request.number, to: transfer.peer, now: now)
    }

    private func begin(_ message: RepairMessage, _ number: UInt64, to node: NodeID, now: Instant) {
        fetch = Fetch(
            peer: node, number: number, deadline: now + .milliseconds(settings.requestTimeoutMilliseconds))
        send(message, to: node)
    }

    private func askForAdoption() {
        let number = nextNumber()
        for peer in peers where peer.isConnected {
            introduce(to: peer.node)
            send(.adoptionRequest(number: number, group: group), to: peer.node)
        }
    }

    /// The peer cannot help now. A snapshot that it was sending is begun anew, with it or another.
    func abandonFetch(of node: NodeID) {
        fetch = nil
        if snapshotFetch?.peer == node, snapshotFetch?.isStoring != true {
            abandonSnapshot(of: node)
        }
        if let position = position(of: node) { peers[position].isTried = true }
    }

    private func abandonSnapshot(of node: NodeID) {
        snapshotFetch = nil
        if let position = position(of: node) {
            peers[position].snapshot = LogPosition(term: .zero, index: .zero)
            peers[position].isTried = true
        }
    }

    // MARK: Answers

    func receiveAnswer(_ message: RepairMessage, at position: Int, now: Instant) {
        switch message {
        case .entries(let answer):
            receive(answer, at: position, now: now)
        case .snapshotChunk(let number, let chunk):
            receive(chunk, number, at: position)
        case .snapshotUnavailable(let number):
            guard fetch?.number == number, fetch?.peer == peers[position].node else { return }
            note("cannot read its snapshot", of: peers[position].node)
            fetch = nil
            abandonSnapshot(of: peers[position].node)
        case .adoption(let number, let barrier):
            guard number > firstNumber, number <= lastNumber, adoption == nil, barrier.index > .zero else {
                return
            }
            adoptionOffer = (barrier, peers[position].node)
        case .adoptionRefused(_, let leader):
            if repair == nil {
                note(
                    leader.map { "does not lead, \($0) does" } ?? "knows no leader", of: peers[position].node)
            }
        case .introduction, .verdict, .entriesRequest, .snapshotRequest, .adoptionRequest:
            preconditionFailure("questions are not answers")
        }
    }

    private func receive(_ answer: EntriesAnswer, at position: Int, now: Instant) {
        guard let fetch, fetch.number == answer.number, fetch.peer == peers[position].node,
            snapshotFetch == nil, var changed = repair
        else { return }
        self.fetch = nil
        let excerpt = usable(answer.excerpt)
        peers[position].snapshot = excerpt.snapshot
        let asked = changed
        repair = nil
        guard changed.add(excerpt), changed.isAhead(of: asked) else {
            repair = asked
            peers[position].isTried = true
            let boundary = asked.boundary.map(\.description) ?? "it"
            note(
                excerpt.holdsBoundary
                    ? "has entry \(boundary) and nothing before it" : "does not have entry \(boundary)",
                of: peers[position].node)
            return
        }
        repair = changed
        noteProgress(now: now)
        note("gives entries", of: peers[position].node)
        for other in peers.indices where other != position { peers[other].isTried = false }
        // Where the peer's log does not reach down far enough, its snapshot does the rest at once.
        if !changed.isComplete, excerpt.firstIndex > changed.from,
            excerpt.snapshot.index.next >= excerpt.firstIndex, changed.isHelped(by: excerpt.snapshot)
        {
            snapshotFetch = SnapshotFetch(peer: peers[position].node)
        }
    }

    /// Of what a peer gave, what this node may keep: a witness no data, and everybody else nothing without.
    private func usable(_ excerpt: LogExcerpt) -> LogExcerpt {
        var excerpt = excerpt
        if isWitness {
            excerpt.entries = excerpt.entries.map(\.asWithheld)
        } else if excerpt.entries.contains(where: { $0.kind == .withheld }) {
            rarePaths.insert(.withheldRefusedByDataMember)
            return LogExcerpt()
        }
        return excerpt
    }

    private func receive(_ whole: SnapshotChunk, _ number: UInt64, at position: Int) {
        let chunk =
            isWitness
            ? SnapshotChunk(
                metadata: whole.metadata.asWithheld, offset: whole.offset, bytes: ByteSlice(), isLast: true,
                sentAt: whole.sentAt) : whole
        guard let fetch, fetch.number == number, fetch.peer == peers[position].node,
            var transfer = snapshotFetch, transfer.peer == fetch.peer
        else { return }
        self.fetch = nil
        guard chunk.offset == transfer.offset,
            transfer.metadata == nil || transfer.metadata == chunk.metadata,
            chunk.isLast || !chunk.bytes.isEmpty, repair?.isHelped(by: chunk.metadata.position) == true
        else { return abandonSnapshot(of: transfer.peer) }
        transfer.metadata = chunk.metadata
        transfer.offset += UInt64(chunk.bytes.count)
        transfer.isStoring = true
        transfer.attempts = 0
        snapshotFetch = transfer
        note("gives snapshot \(chunk.metadata.index)", of: transfer.peer)
        effects.append(.storeChunk(chunk))
    }

    /// What became of ``AdmissionEffect/storeChunk(_:)``.
    public func chunkStored(_ metadata: SnapshotMetadata, outcome: ChunkOutcome, now: Instant) {
        guard isRepairing, var transfer = snapshotFetch, transfer.metadata == metadata, transfer.isStoring
        else { return }
        noteProgress(now: now)
        switch outcome {
        case .stored:
            transfer.isStoring = false
            snapshotFetch = transfer
        case .failed:
            note("gave a snapshot that could not be stored", of: transfer.peer)
            abandonSnapshot(of: transfer.peer)
        case .whole:
            snapshotFetch = nil
            repair?.install(metadata)
            for position in peers.indices { peers[position].isTried = false }
        }
        work(now: now)
    }

    private func noteProgress(now: Instant) {
        if adoption != nil { adoptionDeadline = now + .milliseconds(settings.adoptionPatienceMilliseconds) }
    }

    // MARK: The end

    func finishIfComplete() {
        guard isRepairing, let repair, repair.isComplete, let base = repair.base else { return }
        guard LogRepair.isContiguous(Array(repair.upper)) else {
            effects.append(
                .report("what peers gave does not make a log; it is asked for anew", isWarning: true))
            return beginAnew()
        }
        mode = .admitted
        fetch = nil
        snapshotFetch = nil
        adoptionDeadline = .distantFuture
        rarePaths.insert(adoption == nil ? .restoredExactly : .adoptedByLeader)
        if let adoption {
            lifeBase = NodeLife.base(adoptedAt: adoption.barrier.index)
            startCount = NodeLife.startCount(base: lifeBase, count: directoryStartCount)
        }
        let group = RecoveredGroup(
            group: group, hardState: restoredHardState(base, repair),
            snapshot: base.index == .zero ? nil : base, entries: Array(repair.upper))
        effects.append(.admitted(.restored(group, adoptedAt: adoption?.barrier.index)))
    }

    /// Exactly what was durable, or after an adoption the higher of what is remembered and the leader's term
    /// with a vote for whoever leads it. Raised where a snapshot is of a later term, in which this node cannot
    /// have voted.
    private func restoredHardState(_ base: SnapshotMetadata, _ repair: LogRepair) -> HardState {
        var state = salvaged.hardState ?? HardState()
        if let adoption, adoption.barrier.term >= state.term {
            state = HardState(term: adoption.barrier.term, votedFor: adoption.leader)
        }
        let end = repair.upper.last?.position ?? base.position
        if end.term > state.term { state = HardState(term: end.term, votedFor: nil) }
        let commit = max(state.commitIndex, max(base.index, adoption?.barrier.index ?? .zero))
        return HardState(term: state.term, votedFor: state.votedFor, commitIndex: min(commit, end.index))
    }
}
