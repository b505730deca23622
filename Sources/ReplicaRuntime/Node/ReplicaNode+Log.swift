import ConsensusTypes
import Logging
import NIOCore
import RaftCore
import WriteAheadLog

// The log, and what becomes of the groups' admissions in it.
extension ReplicaNode {
    /// Gives the log that was opened to its thread.
    func runLog() {
        guard let (recovered, report) = opened.takeLog() else {
            preconditionFailure("the log was opened before")
        }
        for group in opened.unhosted {
            logger.warning(
                "the log holds a group that this node does not host any more; its last state is kept",
                metadata: ["group": "\(group.group)", "entries": "\(group.entries.count)"])
        }
        recovered.retire(opened.unhosted)
        opened.unhosted = []
        logRecovery(report)
        let loopOfLog = loop
        let node = WeakNode(self)
        // Nothing else keeps the log that was just recovered, which the compiler cannot see through the value
        // that it came in.
        nonisolated(unsafe) let recoveredLog = recovered
        log = LogSyncThread(log: recoveredLog) { event in
            loopOfLog.execute { node.value?.handle(event) }
        }
    }

    private func logRecovery(_ report: RecoveryReport) {
        logger.info(
            "opened the log",
            metadata: [
                "directory": "\(options.dataDirectory)", "end": "\(report.end)",
                "entries": "\(report.entries)",
            ])
        if let tail = report.truncatedTail {
            logger.warning(
                "removed a write that had not finished",
                metadata: [
                    "file": "\(tail.file)", "offset": "\(tail.offset)", "bytes": "\(tail.bytes)",
                ])
        }
    }

    // MARK: Writing

    /// What the groups of one turn write goes into the log at once, and becomes durable in one sync.
    func persist(_ write: LogWrite, of position: Int, sequence: UInt64) {
        persists.append((lastLogSequence + 1, position, sequence))
        if turnsLeft > 0 || !gathered.isEmpty {
            gathered.append(write)
            if turnsLeft == 0 { submitGathered() }
        } else {
            lastLogSequence += 1
            log.submit([write], sequence: lastLogSequence)
        }
    }

    func submitGathered() {
        guard !gathered.isEmpty else { return }
        lastLogSequence += 1
        log.submit(gathered, sequence: lastLogSequence)
        gathered.removeAll(keepingCapacity: true)
    }

    private func handle(_ event: LogSyncThread.Event) {
        guard !isStopped else { return }
        let now = Self.now()
        switch event {
        case .durable(let sequence):
            noteDurable(through: sequence, now: now)
        case .failed(let error):
            end(.failed("\(error)"))
        case .space(let space):
            logger.warning("room for the log: \(space)")
            let room: DiskSpace =
                switch space {
                case .ample: .ample
                case .low: .low
                case .none: .none
                }
            for group in groups { group.setLogSpace(room, now: now) }
        }
    }

    private func noteDurable(through sequence: UInt64, now: Instant) {
        while let first = persists.first, first.log <= sequence {
            persists.removeFirst()
            durable[first.position] = first.sequence
        }
        for position in durable.indices where durable[position] > 0 {
            let through = durable[position]
            durable[position] = 0
            groups[position].notePersisted(through: through, now: now)
        }
        while let first = afterDurable.first, first.log <= sequence {
            afterDurable.removeFirst()
            first.body()
        }
    }

    // MARK: Admissions

    /// A group's admission has an outcome. While no group runs all those are waited for that the log must be written
    /// anew for; afterwards each group begins by itself.
    func admitted(_ position: Int, _ outcome: AdmissionOutcome) {
        if log != nil { return addToRunningLog(position, outcome) }
        outcomes[position] = outcome
        guard opened.isReady(outcomes) else {
            logger.info("restored; the node takes part once all of its groups are")
            return
        }
        do throws(NodeError) {
            try opened.carryOut(outcomes)
        } catch {
            return end(.failed("\(error)"))
        }
        runLog()
        for position in groups.indices
        where outcomes[position] != nil || groups[position].admission.isActive {
            run(position)
        }
        scheduleTurn()
    }

    /// The group is new in the log, so what was restored of it is one write. It may be there without the record that
    /// the node was admitted: then the next start asks for adoption again.
    private func addToRunningLog(_ position: Int, _ outcome: AdmissionOutcome) {
        guard case .restored(let restored, _) = outcome else {
            return markAdmitted(position, outcome) { [self] in run(position) }
        }
        submitGathered()
        lastLogSequence += 1
        log.submit(
            [
                LogWrite(
                    group: restored.group, hardState: restored.hardState, snapshot: restored.snapshot,
                    keepsSuffix: false, entries: restored.entries)
            ], sequence: lastLogSequence)
        afterDurable.append(
            (
                lastLogSequence,
                { [self] in
                    markAdmitted(position, outcome) { [self] in runRestored(position, restored) }
                }
            ))
    }

    private func markAdmitted(
        _ position: Int, _ outcome: AdmissionOutcome, then body: @escaping @Sendable () -> Void
    ) {
        // What it uses of these does not change any more, or has a lock of its own.
        nonisolated(unsafe) let opened = opened!
        remembering { [self] in
            var failure: NodeError?
            do throws(NodeError) {
                try opened.markAdmitted(opened.groups[position], by: outcome)
            } catch {
                failure = error
            }
            whenRunning { [self, failure] _ in
                guard let failure else { return body() }
                guard case .dataDirectory(let problem) = failure, problem.isNoSpace else {
                    return end(.failed("\(failure)"))
                }
                logger.error("the admission cannot be written down: \(failure)")
                loop.scheduleTask(in: .seconds(1)) { [self] in
                    if !isStopped { markAdmitted(position, outcome, then: body) }
                }
            }
        }
    }

    private func runRestored(_ position: Int, _ restored: RecoveredGroup) {
        let snapshot =
            restored.snapshot
            ?? SnapshotMetadata(index: .zero, term: .zero, membership: opened.membership)
        let state = RestoredState(
            hardState: restored.hardState, snapshot: snapshot, entries: restored.entries)
        guard restored.snapshot != nil else { return run(position, WholeGroup(state: state, restorer: nil)) }
        let snapshots = opened.snapshots
        // A static function of the group's.
        nonisolated(unsafe) let makeRestorer = groups[position].plan.makeRestorer
        _ = snapshotThread.runIfActive(eventLoop: loop) {
            // It was written before, by this thread.
            Result { try OpenedNode.restore(snapshots, restored.group, snapshot, makeRestorer) }
        }.map { [self] result in
            guard !isStopped else { return }
            switch result {
            case .success(let restorer): run(position, WholeGroup(state: state, restorer: restorer))
            case .failure(let error): end(.failed("\(error)"))
            }
        }
    }
}

/// A node that a thread may outlive.
private struct WeakNode: Sendable {
    weak let value: ReplicaNode?

    init(_ node: ReplicaNode) {
        value = node
    }
}
