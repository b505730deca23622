import ConsensusTypes
import RaftCore

// What a shell does with a core's effects.
extension World {
    /// Ends the turn of a node as its shell would.
    mutating func settle(_ position: Int) {
        for round in 0..<64 {
            let effects = nodes[position].core.takeEffects(now: nodes[position].clock(now))
            checkCore(position)
            if effects.isEmpty {
                nodes[position].deadline = nodes[position].trueTime(of: nodes[position].core.nextDeadline)
                return
            }
            carryOut(effects, position)
            if checker.failure != nil { return }
            if round == 63 { checker.fail("node \(nodes[position].id): effects never end") }
        }
    }

    private mutating func carryOut(_ effects: Effects, _ position: Int) {
        if let persist = effects.persist {
            let delay = random.next(below: UInt64(faults.maximumDiskDelayMilliseconds) * 1_000)
            enqueue(
                DiskWrite(
                    sequence: persist.sequence, hardState: persist.hardState, snapshot: persist.snapshot,
                    keepsSuffix: persist.keepsSuffix, entries: persist.entries,
                    messages: effects.messagesAfterPersist, doneAt: now + .microseconds(Int(delay))),
                position)
        } else if !effects.messagesAfterPersist.isEmpty {
            checker.fail("messages wait for a persist that is not there")
        }
        for message in effects.messages { send(message) }
        if let metadata = effects.restore { restore(metadata, position) }
        apply(effects.committed, position)
        for ready in effects.readyReads { confirm(ready, position) }
        answerReads(position)
        for id in effects.failedReads {
            nodes[position].reads.removeAll { $0.id == id }
        }
        for rejected in effects.rejectedProposals where rejected.reason != .notLeader {
            nodes[position].pending.removeAll { $0.id == rejected.id }
        }
        for read in effects.snapshotReads { provideSnapshot(read, position) }
        for received in effects.receivedChunks { store(received.chunk, position) }
    }

    /// Writes become durable in their order.
    mutating func enqueue(_ write: DiskWrite, _ position: Int) {
        let doneAt = max(write.doneAt, nodes[position].writes.last?.doneAt ?? .zero)
        nodes[position].writes.append(
            DiskWrite(
                sequence: write.sequence, hardState: write.hardState, snapshot: write.snapshot,
                keepsSuffix: write.keepsSuffix, entries: write.entries, messages: write.messages,
                doneAt: doneAt))
    }

    private mutating func restore(_ metadata: SnapshotMetadata, _ position: Int) {
        guard let stored = nodes[position].stored, stored.metadata == metadata else {
            return checker.fail("node \(nodes[position].id): restore of a snapshot that was not stored")
        }
        if metadata.index <= nodes[position].appliedIndex {
            checker.fail("node \(nodes[position].id): restore takes the state back to \(metadata.index)")
        }
        restoreCount += 1
        nodes[position].appliedIndex = metadata.index
        nodes[position].digest = stored.digest
        checkDigest(position)
        // What the snapshot jumped over has an outcome that cannot be told.
        nodes[position].pending.removeAll { $0.term != nil }
    }

    private mutating func apply(_ entries: [Entry], _ position: Int) {
        guard let first = entries.first else { return }
        guard first.index == nodes[position].appliedIndex.next else {
            return checker.fail(
                "node \(nodes[position].id): \(first.index) is applied after \(nodes[position].appliedIndex)")
        }
        checkCommitted(entries, position)
        for entry in entries {
            nodes[position].appliedIndex = entry.index
            if nodes[position].core.isWitness {
                // It has no state; what everybody else's is stands in for it.
                nodes[position].digest = checker.digests[Int(entry.index.rawValue)]
            } else {
                if entry.kind == .withheld { checker.fail("node \(nodes[position].id) applies \(entry)") }
                nodes[position].digest = WorldChecker.digest(nodes[position].digest, entry)
            }
            nodes[position].pending.removeAll { $0.id == entry.proposal }
            proposeAgain(before: entry.term, position)
        }
        checkDigest(position)
    }

    /// The rule that makes it safe to propose again: an entry of a later term was applied.
    private mutating func proposeAgain(before term: Term, _ position: Int) {
        for slot in nodes[position].pending.indices {
            guard let proposed = nodes[position].pending[slot].term, proposed < term else { continue }
            nodes[position].lastSequence += 1
            nodes[position].pending[slot].term = nil
            nodes[position].pending[slot].id = ProposalID(
                session: nodes[position].session, sequence: nodes[position].lastSequence)
        }
    }

    private mutating func confirm(_ ready: ReadyRead, _ position: Int) {
        guard let slot = nodes[position].reads.firstIndex(where: { $0.id == ready.id }) else {
            return checker.fail("node \(nodes[position].id): read \(ready.id.rawValue) is answered twice")
        }
        let read = nodes[position].reads.remove(at: slot)
        if ready.index < read.floor {
            checker.fail(
                "stale read: node \(nodes[position].id) reads at \(ready.index), \(read.floor) was committed")
        }
        nodes[position].confirmed.append((read, ready.index))
    }

    private mutating func answerReads(_ position: Int) {
        let applied = nodes[position].appliedIndex
        answeredReadCount += nodes[position].confirmed.count { $0.index <= applied }
        nodes[position].confirmed.removeAll { $0.index <= applied }
    }

    private mutating func provideSnapshot(_ read: SnapshotRead, _ position: Int) {
        let newest = nodes[position].disk.snapshot
        let isThere = newest.index > .zero && (read.metadata == nil || read.metadata == newest)
        guard isThere, !random.chance(faults.loss, outOf: 4_000) else {
            return nodes[position].core.snapshotUnavailable(for: read.peer, now: nodes[position].clock(now))
        }
        let bytes = WorldNode.snapshotBytes(newest, digest: nodes[position].snapshotDigest)
        let start = Int(min(read.offset, UInt64(bytes.count)))
        let end = min(bytes.count, start + read.maximumSizeBytes)
        nodes[position].core.provideSnapshotChunk(
            SnapshotChunk(
                metadata: newest, offset: read.offset, bytes: ByteSlice(Array(bytes[start..<end])),
                isLast: end == bytes.count, sentAt: .zero),
            to: read.peer, now: nodes[position].clock(now))
    }

    private func withheldDigest(_ metadata: SnapshotMetadata) -> UInt64? {
        metadata.index <= checker.commitIndex ? checker.digests[Int(metadata.index.rawValue)] : nil
    }

    private mutating func store(_ chunk: SnapshotChunk, _ position: Int) {
        if chunk.offset == 0 { nodes[position].incoming = (chunk.metadata, []) }
        guard let incoming = nodes[position].incoming, incoming.metadata == chunk.metadata,
            UInt64(incoming.bytes.count) == chunk.offset
        else {
            return checker.fail("node \(nodes[position].id): a chunk at \(chunk.offset) is out of order")
        }
        let bytes = incoming.bytes + chunk.bytes.bytes
        nodes[position].incoming?.bytes = bytes
        guard chunk.isLast else { return }
        let withheld = chunk.metadata.isWithheld && bytes.isEmpty ? withheldDigest(chunk.metadata) : nil
        guard let digest = withheld ?? WorldNode.digest(in: bytes, of: chunk.metadata) else {
            return checker.fail("node \(nodes[position].id): snapshot \(chunk.metadata.index) is damaged")
        }
        let isRefused = random.chance(faults.loss, outOf: 2_000)
        let delay = random.next(below: UInt64(faults.maximumDiskDelayMilliseconds) * 4_000)
        nodes[position].storing = (
            chunk.metadata, isRefused ? nil : digest, now + .microseconds(Int(delay))
        )
    }
}
