import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import WriteAheadLog

extension ReplicaNode {
    /// Does what the admission asks for after it was told something.
    func carryOutAdmission() {
        guard !isCarryingOut, !isStopped else { return }
        isCarryingOut = true
        while !isStopped {
            let effects = admission.takeEffects()
            if effects.isEmpty { break }
            for effect in effects where !isStopped { carryOut(effect) }
        }
        isCarryingOut = false
        transport.flush()
        setAdmissionTimer()
    }

    private func carryOut(_ effect: AdmissionEffect) {
        switch effect {
        case .send(let message, let peer):
            _ = transport.send(
                RepairMessageCoding.encode(message), kind: NodeFrameKind.repair.rawValue, to: peer)
        case .remember(let record):
            remember(record)
        case .readSnapshot(let read):
            readSnapshotForRepair(read)
        case .storeChunk(let chunk):
            storeChunkOfRepair(chunk)
        case .accepted(let peer):
            peerAccepted(peer)
        case .admitted(let outcome):
            admit(outcome)
        case .restart(let reason):
            end(.restart(reason))
        case .stop(let reason):
            end(.failed(reason))
        case .report(let text, let isWarning):
            logger.log(level: isWarning ? .warning : .info, "\(text)")
        }
    }

    private func remember(_ record: MemberRecord) {
        let memory = opened.memory
        memoryThread.submit { [self] state in
            guard state == .active else { return }
            var failure: DataDirectoryError?
            do throws(DataDirectoryError) {
                try memory.remember(record)
            } catch {
                failure = error
            }
            whenRunning { [self, failure] now in
                if let failure { return rememberingFailed(record, failure) }
                admission.remembered(record, now: now)
                carryOutAdmission()
            }
        }
    }

    /// On a full disk the peer waits until there is room; after any other failure the file cannot be trusted.
    private func rememberingFailed(_ record: MemberRecord, _ failure: DataDirectoryError) {
        guard failure.isNoSpace else { return end(.failed("\(failure)")) }
        logger.error("a peer cannot be remembered: \(failure)", metadata: ["peer": "\(record.node)"])
        loop.scheduleTask(in: .seconds(1)) { [self] in
            if !isStopped { remember(record) }
        }
    }

    private func readSnapshotForRepair(_ read: SnapshotRead) {
        worker.submit { [self] files in
            var chunk: SnapshotChunk?
            var isDamaged = false
            do throws(SnapshotError) {
                chunk = try files.read(read)
            } catch {
                isDamaged = error.isDamage(in: read)
                logger.error("a snapshot cannot be read for \(read.peer): \(error)")
            }
            whenRunning { [self, chunk, isDamaged] now in
                admission.snapshotRead(read, chunk: chunk, now: now)
                if isDamaged { replica?.renewSnapshot(now: now) }
                carryOutAdmission()
            }
        }
    }

    private func storeChunkOfRepair(_ chunk: SnapshotChunk) {
        let check = snapshotCheck
        worker.submit { [self] files in
            var outcome = ChunkOutcome.failed
            do throws(SnapshotReceiveError) {
                outcome = try files.add(chunk, restorer: check.restorer(for: chunk)) ? .whole : .stored
            } catch {
                logger.error("a snapshot from a peer was refused: \(error)")
            }
            if outcome != .stored { check.forget() }
            whenRunning { [self, outcome] now in
                admission.chunkStored(chunk.metadata, outcome: outcome, now: now)
                carryOutAdmission()
            }
        }
    }

    private func admit(_ outcome: AdmissionOutcome) {
        do throws(NodeError) {
            let whole = try opened.carryOut(outcome)
            if case .restored(let group, let adoptedAt) = outcome {
                logger.info(
                    "repaired",
                    metadata: [
                        "by": adoptedAt == nil ? "exact restoration" : "adoption",
                        "snapshot-index": "\(group.snapshot?.index ?? .zero)",
                        "last-index": "\(group.entries.last?.index ?? group.snapshot?.index ?? .zero)",
                    ])
            } else {
                logger.info("admitted: the peers know no other data directory of this node's")
            }
            run(whole)
        } catch {
            return end(.failed("\(error)"))
        }
        scheduleTurn()
        onAdmitted()
    }

    private func setAdmissionTimer() {
        admissionTimer?.cancel()
        admissionTimer = nil
        let deadline = admission.nextDeadline
        guard deadline < .distantFuture, !isStopped else { return }
        admissionTimer = loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) { [self] in
            guard !isStopped else { return }
            admission.advance(now: Self.now())
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
        let restorer = makeRestorer()
        current = restorer
        return restorer
    }

    func forget() {
        current = nil
    }
}
