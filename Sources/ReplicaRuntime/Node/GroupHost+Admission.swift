import ConsensusTypes
import Logging
import NIOCore
import RaftCore
import WriteAheadLog

extension GroupHost {
    /// Does what the admission asks for after it was told something.
    package func carryOutAdmission() {
        guard let node, !isCarryingOut, !node.isStopped else { return }
        isCarryingOut = true
        while !node.isStopped {
            let effects = admission.takeEffects()
            if effects.isEmpty { break }
            for effect in effects where !node.isStopped { carryOut(effect, node) }
        }
        isCarryingOut = false
        node.transport.flush()
        setAdmissionTimer(node)
    }

    private func carryOut(_ effect: AdmissionEffect, _ node: ReplicaNode) {
        switch effect {
        case .send(let message, let peer):
            sendRepair(message, to: peer)
        case .remember(let record):
            remember(record, node)
        case .readSnapshot(let read):
            readSnapshotForRepair(read, node)
        case .storeChunk(let chunk):
            storeChunkOfRepair(chunk, node)
        case .accepted(let peer):
            peerAccepted(peer)
        case .admitted(let outcome):
            logOutcome(outcome)
            node.admitted(position, outcome)
        case .restart(let reason):
            node.end(.restart(reason))
        case .stop(let reason):
            node.end(.failed(reason))
        case .report(let text, let isWarning):
            logger.log(level: isWarning ? .warning : .info, "\(text)")
        }
    }

    private func logOutcome(_ outcome: AdmissionOutcome) {
        guard case .restored(let restored, let adoptedAt) = outcome else {
            logger.info("admitted: the peers know no other data directory of this node's")
            return
        }
        logger.info(
            "repaired",
            metadata: [
                "by": adoptedAt == nil ? "exact restoration" : "adoption",
                "snapshot-index": "\(restored.snapshot?.index ?? .zero)",
                "last-index": "\(restored.entries.last?.index ?? restored.snapshot?.index ?? .zero)",
            ])
    }

    private func remember(_ record: MemberRecord, _ node: ReplicaNode) {
        let memory = memory!
        node.remembering { [self] in
            var failure: DataDirectoryError?
            do throws(DataDirectoryError) {
                try memory.remember(record)
            } catch {
                failure = error
            }
            node.whenRunning { [self, failure] now in
                if let failure { return rememberingFailed(record, failure, node) }
                admission.remembered(record, now: now)
                carryOutAdmission()
            }
        }
    }

    /// On a full disk the peer waits until there is room; after any other failure the file cannot be trusted.
    private func rememberingFailed(
        _ record: MemberRecord, _ failure: DataDirectoryError, _ node: ReplicaNode
    ) {
        guard failure.isNoSpace else { return node.end(.failed("\(failure)")) }
        logger.error("a peer cannot be remembered: \(failure)", metadata: ["peer": "\(record.node)"])
        node.loop.scheduleTask(in: .seconds(1)) { [self] in
            if !node.isStopped { remember(record, node) }
        }
    }

    private func readSnapshotForRepair(_ read: SnapshotRead, _ node: ReplicaNode) {
        worker.submit { [self] files in
            var chunk: SnapshotChunk?
            var isDamaged = false
            do throws(SnapshotError) {
                chunk = try files.read(read)
            } catch {
                isDamaged = error.isDamage(in: read)
                logger.error("a snapshot cannot be read for \(read.peer): \(error)")
            }
            node.whenRunning { [self, chunk, isDamaged] now in
                admission.snapshotRead(read, chunk: chunk, now: now)
                if isDamaged { replica?.renewSnapshot(now: now) }
                carryOutAdmission()
            }
        }
    }

    private func storeChunkOfRepair(_ chunk: SnapshotChunk, _ node: ReplicaNode) {
        let check = snapshotCheck
        worker.submit { [self] files in
            var outcome = ChunkOutcome.failed
            do throws(SnapshotReceiveError) {
                outcome = try files.add(chunk, restorer: check.restorer(for: chunk)) ? .whole : .stored
            } catch {
                logger.error("a snapshot from a peer was refused: \(error)")
            }
            if outcome != .stored { check.forget() }
            node.whenRunning { [self, outcome] now in
                admission.chunkStored(chunk.metadata, outcome: outcome, now: now)
                carryOutAdmission()
            }
        }
    }

    private func setAdmissionTimer(_ node: ReplicaNode) {
        admissionTimer?.cancel()
        admissionTimer = nil
        let deadline = admission.nextDeadline
        guard deadline < .distantFuture, !node.isStopped else { return }
        admissionTimer = node.loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) {
            [self] in
            guard !node.isStopped else { return }
            admission.advance(now: ReplicaNode.now())
            carryOutAdmission()
        }
    }
}

/// Checks that a snapshot which is taken during a repair decodes.
///
/// Sendable without a lock: it is used on the snapshots' thread alone.
final class SnapshotCheck: @unchecked Sendable {
    private let makeRestorer: @Sendable () -> any SnapshotRestorer
    private var current: (any SnapshotRestorer)?

    init(_ makeRestorer: @escaping @Sendable () -> any SnapshotRestorer) {
        self.makeRestorer = makeRestorer
    }

    func restorer(for chunk: SnapshotChunk) -> any SnapshotRestorer {
        if let current, chunk.offset > 0 { return current }
        let restorer = chunk.metadata.restorer(makeRestorer)
        current = restorer
        return restorer
    }

    func forget() {
        current = nil
    }
}
