import ConsensusTypes
import RaftCore
import WriteAheadLog

// Taking snapshots, sending them to followers that are too far behind, and receiving them.
extension Replica {
    /// Starts a snapshot of what is applied, where enough was applied since the last one.
    func takeSnapshotIfDue() {
        guard snapshotUnderWay == nil, finishedRestore == nil, appliedIndex > snapshot.index else { return }
        // On a full disk one try for each entry would keep the node busy with nothing else.
        let retryIndex = failedSnapshotIndex.map { $0 + max(1, settings.snapshotEntryCount / 10) } ?? .zero
        let isDue =
            appliedIndex - snapshot.index >= settings.snapshotEntryCount && appliedIndex >= retryIndex
            || appliedSizeSinceSnapshotBytes >= settings.snapshotLogSizeBytes
        guard isDue else { return }
        takeSnapshot()
    }

    /// The newest snapshot is damaged on the disk: another one of the state, which is intact, takes its place.
    public func renewSnapshot(now: Instant) {
        guard snapshotUnderWay == nil, finishedRestore == nil, appliedIndex > .zero else { return }
        takeSnapshot()
    }

    private func takeSnapshot() {
        let metadata = SnapshotMetadata(
            index: appliedIndex, term: appliedTerm, membership: core.membership(at: appliedIndex),
            isWithheld: core.isWitness)
        // What a node that joins takes for the membership is a guess until its log says that it is a member.
        guard metadata.membership.isMember(core.nodeID) else { return }
        guard !core.isWitness else {
            snapshotUnderWay = metadata
            appliedSizeSinceSnapshotBytes = 0
            return environment.storeSnapshot(metadata, source: WithheldSnapshotSource())
        }
        snapshotUnderWay = metadata
        appliedSizeSinceSnapshotBytes = 0
        environment.storeSnapshot(metadata, source: machine.makeSnapshotSource())
    }

    /// The snapshot that was begun is durable, or could not be stored: then the log stays as it is, and the
    /// next try comes after a tenth of the entries between two snapshots, or as many bytes again.
    public func snapshotStored(_ metadata: SnapshotMetadata, succeeded: Bool, now: Instant) {
        guard snapshotUnderWay == metadata else { return }
        snapshotUnderWay = nil
        if metadata.index <= snapshot.index { mark(.ownSnapshotOvertaken) }
        // A snapshot from the leader may have overtaken this one.
        guard succeeded, metadata.index > snapshot.index else {
            if !succeeded { failedSnapshotIndex = metadata.index }
            return
        }
        failedSnapshotIndex = nil
        submit(
            LogWrite(group: group, hardState: nil, snapshot: metadata, keepsSuffix: true, entries: []),
            coreSequence: nil, messages: [], snapshotMarker: metadata, now: now)
        environment.scheduleTurn()
    }

    /// A snapshot's marker is durable: recovery will start from it, so what it covers can go.
    func snapshotMarkerPersisted(_ metadata: SnapshotMetadata) {
        guard metadata.index > snapshot.index else { return }
        snapshot = metadata
        core.compactLog(through: lastIndexNotTrailing(behind: metadata.index), snapshot: metadata)
        environment.releaseLog(through: metadata)
    }

    /// Behind a snapshot a few entries stay for followers that are only a little behind: at most so many, and
    /// at most so many bytes.
    private func lastIndexNotTrailing(behind snapshotIndex: LogIndex) -> LogIndex {
        var index = snapshotIndex
        var sizeBytes = 0
        while snapshotIndex - index < settings.trailingEntryCount, let entry = core.entry(at: index) {
            sizeBytes += entry.approximateSizeBytes
            if sizeBytes > settings.trailingSizeBytes { break }
            index = index.previous
        }
        return index
    }

    /// `chunk` is `nil` where the snapshot cannot be read any more; the follower then starts on a newer one,
    /// which is taken at once where the file is damaged.
    public func snapshotRead(
        _ read: SnapshotRead, chunk: SnapshotChunk?, isDamaged: Bool = false, now: Instant
    ) {
        if let chunk {
            core.provideSnapshotChunk(chunk, to: read.peer, now: now)
        } else {
            core.snapshotUnavailable(for: read.peer, now: now)
            if isDamaged { renewSnapshot(now: now) }
        }
        environment.scheduleTurn()
    }

    func store(_ received: ReceivedSnapshotChunk) {
        if received.chunk.offset == 0 || restorer == nil {
            restorer = received.chunk.metadata.restorer { machine.makeSnapshotRestorer() }
        }
        environment.storeReceivedChunk(received.chunk, restorer: restorer!)
    }

    /// A snapshot from a leader is durable and `restorer` has built its state, or it was damaged or did not
    /// fit (`restorer` is `nil`).
    public func receivedSnapshotStored(
        _ metadata: SnapshotMetadata, restorer finished: (any SnapshotRestorer)?, now: Instant
    ) {
        restorer = nil
        if let finished {
            finishedRestore = (metadata, finished)
            core.snapshotReceived(metadata, now: now)
        } else {
            core.snapshotRefused(index: metadata.index, now: now)
        }
        environment.scheduleTurn()
    }

    func restore(_ metadata: SnapshotMetadata, now: Instant) {
        guard let finished = finishedRestore, finished.metadata == metadata else {
            preconditionFailure(
                "the core restores snapshot \(metadata.index), which the replica does not hold")
        }
        finishedRestore = nil
        if !metadata.isWithheld {
            machine.restore(from: finished.restorer, metadata: metadata, now: now)
        }
        appliedIndex = metadata.index
        appliedTerm = metadata.term
        appliedSizeSinceSnapshotBytes = 0
        noteRestored(metadata)
    }
}
