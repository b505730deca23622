import ConsensusTypes
import RaftCore
import WriteAheadLog

// Damage, and what is written once it is made up for.
extension OpenedNode {
    /// What is left of each group. Damaged snapshots are set aside, so that nobody takes them for the newest.
    func salvage(_ cause: NodeError) throws(NodeError) -> [SalvagedState] {
        let log: SalvagedLog
        do throws(DataDirectoryError) {
            log = try directory.salvageLog(options: logOptions)
        } catch {
            throw .dataDirectory(error)
        }
        if case .dataDirectory = cause {
            damages += log.damages.dropFirst().map(\.description)
        }
        if case .snapshotContents(let file, _) = cause {
            do throws(SnapshotError) { try snapshots.setAside(file) } catch { throw .snapshot(error) }
        }
        unhosted = []
        incompleteUnhosted = []
        for left in log.groups where !groups.contains(where: { $0.id == left.group }) {
            keepUnhosted(try salvaged(left, cause), left.group)
        }
        var result: [SalvagedState] = []
        for group in groups {
            let left =
                log.groups.first { $0.group == group.id }
                ?? SalvagedGroup(
                    group: group.id, hardState: nil, snapshot: nil, runs: [], lastPosition: nil,
                    isEndTrusted: false)
            result.append(try salvaged(left, cause))
        }
        return result
    }

    private func salvaged(_ left: SalvagedGroup, _ cause: NodeError) throws(NodeError) -> SalvagedState {
        do throws(SnapshotError) {
            for damage in try snapshots.damaged(left.group) {
                guard case .damaged(let file, _, _) = damage else { continue }
                if "\(damage)" != "\(cause)" { damages.append("\(damage)") }
                try snapshots.setAside(file)
            }
            let base = try snapshots.intact(left.group).last?.metadata
            return SalvagedState(left, base: base, membership: membership)
        } catch {
            throw .snapshot(error)
        }
    }

    /// Nobody restores a group that is not hosted: what is left of it stays, and that it is not all.
    private func keepUnhosted(_ found: SalvagedState, _ group: GroupID) {
        var state = found
        if let noted = note(of: group) { state.add(noted) }
        let repair = LogRepair(state, membership: membership)
        if state.isExactlyRestorable, repair.isComplete, let base = repair.base {
            unhosted.append(
                RecoveredGroup(
                    group: group, hardState: state.hardState ?? HardState(),
                    snapshot: base.index == .zero ? nil : base, entries: Array(repair.upper)))
        } else {
            incompleteUnhosted.append(group)
            unhosted.append(OpenedNode.beforeFirstHole(state, group, membership))
        }
    }

    /// What an operator says: the node starts with what is intact before the first hole.
    func acceptLoss() throws(NodeError) {
        if groups.contains(where: \.isBlocking) {
            var contents: [RecoveredGroup] = []
            for group in groups {
                switch group.start {
                case .damaged(let state), .outdated(let state):
                    let kept = OpenedNode.beforeFirstHole(state, group.id, membership)
                    let index = kept.entries.last?.index ?? kept.snapshot?.index ?? .zero
                    let name = groups.count > 1 ? " of group \(group.id)" : ""
                    damages.append(
                        "started with --accept-data-loss: everything after entry \(index)\(name) is dropped")
                    contents.append(kept)
                case .certain, .fresh, .forced:
                    break
                }
            }
            try replaceLog(by: contents)
            try readWhole()
        }
        for group in groups {
            try markAdmitted(group, lifeBase: group.lifeBase)
            group.start = .forced
        }
        try removeNotes()
    }

    static func beforeFirstHole(
        _ state: SalvagedState, _ group: GroupID, _ membership: Membership
    ) -> RecoveredGroup {
        let base = state.base ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership)
        var entries: [Entry] = []
        if let run = state.runs.first(where: { $0.contains { $0.index == base.index.next } }) {
            entries = run.filter { $0.index > base.index }
        }
        var hardState = state.hardState ?? HardState()
        // A vote that is not remembered was cast in the last known term at the latest, as far as can be told.
        let ends = state.runs.compactMap { $0.last?.term } + [base.term, state.lostEnd?.term ?? .zero]
        if let last = ends.max(), last > hardState.term { hardState = HardState(term: last) }
        return RecoveredGroup(
            group: group, hardState: hardState, snapshot: base.index == .zero ? nil : base, entries: entries)
    }

    // MARK: Outcomes

    /// Whether the log can be used, or be written anew, with these outcomes of the groups' admissions.
    func isReady(_ outcomes: [AdmissionOutcome?]) -> Bool {
        zip(groups, outcomes).allSatisfy { group, outcome in !group.isBlocking || outcome != nil }
    }

    /// Carries the outcomes of the groups' admissions out, durably, before any of the node's groups runs: `nil` for
    /// those that have none yet. Afterwards each group's ``OpenedGroup/whole`` is what it runs with.
    public func carryOut(_ outcomes: [AdmissionOutcome?]) throws(NodeError) {
        precondition(
            outcomes.count == groups.count && isReady(outcomes), "a group of the node is not restored yet")
        var contents: [RecoveredGroup] = []
        for case .restored(let restored, _)? in outcomes { contents.append(restored) }
        if !contents.isEmpty {
            log = nil
            for group in groups { group.whole = nil }
            try replaceLog(by: contents)
        }
        for (group, outcome) in zip(groups, outcomes) {
            if let outcome { try markAdmitted(group, by: outcome) }
        }
        try removeNotes()
        if log == nil { try readWhole() }
    }

    /// Says durably that the node takes part in the group: what it restored of it is durable.
    func markAdmitted(_ group: OpenedGroup, by outcome: AdmissionOutcome) throws(NodeError) {
        var adopted: LogIndex?
        if case .restored(_, let adoptedAt) = outcome { adopted = adoptedAt }
        if let adopted {
            try markAdmitted(group, lifeBase: NodeLife.base(adoptedAt: adopted))
        } else if group.id != OpenedNode.firstGroup {
            try markAdmitted(group, lifeBase: group.lifeBase)
        } else {
            try markDirectory()
        }
    }

    private func markAdmitted(_ group: OpenedGroup, lifeBase: UInt64) throws(NodeError) {
        do throws(DataDirectoryError) {
            try group.memory.remember(
                NodeLife.ownRecord(
                    directory.identity.node, directory.directoryID, base: lifeBase, mustBeAdopted: false))
        } catch {
            throw .dataDirectory(error)
        }
        if group.id == OpenedNode.firstGroup { try markDirectory() }
    }

    private func markDirectory() throws(NodeError) {
        do throws(DataDirectoryError) {
            try directory.markAdmitted()
        } catch {
            throw .dataDirectory(error)
        }
    }

    /// Gives the open log away, for good.
    func takeLog() -> (log: WriteAheadLog, report: RecoveryReport)? {
        defer { log = nil }
        return log
    }

    private func replaceLog(by contents: [RecoveredGroup]) throws(NodeError) {
        for group in incompleteUnhosted { try requireAdoption(of: group) }
        let others = unhosted.filter { found in !contents.contains { $0.group == found.group } }
        do throws(DataDirectoryError) {
            try directory.rebuildLog(groups: contents + others, options: logOptions)
        } catch {
            throw .dataDirectory(error)
        }
    }

    private func removeNotes() throws(NodeError) {
        do throws(DataDirectoryError) {
            try directory.noteRepair([])
        } catch {
            throw .dataDirectory(error)
        }
    }

    func requireAdoption(of group: GroupID) throws(NodeError) {
        let memory = try OpenedNode.openMemory(directory, group, peers: []).memory
        let node = directory.identity.node
        let own = NodeLife.read(
            memory.records.first { $0.node == node }, directory: directory.directoryID)
        do throws(DataDirectoryError) {
            try memory.remember(
                NodeLife.ownRecord(node, directory.directoryID, base: own.base, mustBeAdopted: true))
        } catch {
            throw .dataDirectory(error)
        }
    }
}
