import ConsensusTypes
import RaftCore
import Synchronization
import struct SystemPackage.FilePath
import WriteAheadLog

/// A node's log and state, intact.
public struct WholeNode {
    public let log: WriteAheadLog
    /// What a ``RaftCore`` starts with.
    public let state: RestoredState
    /// Has built the state of the snapshot, where there is one.
    public let restorer: (any SnapshotRestorer)?
    public let report: RecoveryReport
}

/// What a node remembers of others. May be used from any thread.
public final class MemberMemory: Sendable {
    /// Stands among the records after the file was damaged. No node has it.
    private static let loss = MemberRecord(
        node: NodeID(0), directory: DirectoryID(0), startCount: 0, incarnation: 1)

    private let kept: Mutex<MemberRecords>
    /// Whether nothing was lost that has not been learnt anew: then not to know a node means something.
    public let isTrusted: Bool

    /// - Parameter peers: who is to be remembered.
    init(_ records: MemberRecords, peers: [NodeID]) {
        isTrusted =
            records.record(of: MemberMemory.loss.node) == nil
            || peers.allSatisfy { records.record(of: $0)?.startCount ?? 0 > 0 }
        kept = Mutex(records)
    }

    public var records: [MemberRecord] { kept.withLock { $0.records } }

    /// For a node that is a member no more. Durable on return.
    public func forget(_ node: NodeID) throws(DataDirectoryError) {
        try kept.withLock { (records) throws(DataDirectoryError) in try records.forget(node) }
    }

    /// Durable on return.
    public func remember(_ record: MemberRecord) throws(DataDirectoryError) {
        try kept.withLock { (records) throws(DataDirectoryError) in try records.remember(record) }
    }

    /// The file was damaged: what it said is forgotten, and that it was is remembered.
    func noteLoss() throws(DataDirectoryError) {
        try remember(MemberMemory.loss)
    }
}

/// A node's data directory, opened, and what is to become of the node: what ``NodeAdmission`` starts from,
/// and what carries its outcome out.
public final class OpenedNode {
    public let directory: DataDirectory
    public let memory: MemberMemory
    public let snapshots: SnapshotStore
    public let group: GroupID
    public let membership: Membership
    private let logOptions: WriteAheadLogOptions
    private let makeRestorer: () -> any SnapshotRestorer

    public private(set) var start: AdmissionStart
    /// The node's state, where all of it is intact and it may be used once the node is admitted.
    public private(set) var whole: WholeNode?
    /// One line for each place where something is wrong, for people.
    public private(set) var damages: [String] = []

    /// Opens the directory and reads everything in it.
    ///
    /// Throws where peers cannot help: the directory is another node's, a file cannot be read, or there is
    /// damage and there are no peers. Then nothing was changed.
    ///
    /// - Parameters:
    ///   - membership: what a log without a snapshot starts with.
    ///   - latest: the last membership that is known to have been committed, where that is another.
    ///   - record: written into the directory before anything else, where it is not there yet.
    ///   - acceptsDataLoss: an operator says that the node is to start with what is intact before the first
    ///     hole.
    ///   - makeRestorer: builds the state machine's state from a snapshot.
    public init(
        directory path: FilePath, identity: NodeIdentity, newDirectoryID: DirectoryID = .random(),
        membership: Membership, latest: Membership? = nil, record: ClusterRecord? = nil, group: GroupID,
        acceptsDataLoss: Bool = false, logOptions: WriteAheadLogOptions, fileSystem: any FileSystem,
        makeRestorer: @escaping () -> any SnapshotRestorer
    ) throws(NodeError) {
        self.group = group
        self.membership = membership
        self.logOptions = logOptions
        self.makeRestorer = makeRestorer
        let directory: DataDirectory
        do throws(DataDirectoryError) {
            directory = try DataDirectory.open(
                path, identity: identity, newDirectoryID: newDirectoryID,
                replacesLostIdentity: membership.members.count > 1 || acceptsDataLoss, fileSystem: fileSystem)
            snapshots = try directory.openSnapshots()
            if let record { try ClusterFile.write(record, path, fileSystem: fileSystem) }
        } catch {
            throw .dataDirectory(error)
        }
        self.directory = directory
        start = .certain
        let opened = try OpenedNode.openMemory(
            directory, peers: (latest ?? membership).members.filter { $0 != identity.node })
        memory = opened.memory
        damages += directory.damages.map(\.description)
        damages += opened.damages
        let own = NodeLife.read(
            memory.records.first { $0.node == identity.node }, directory: directory.directoryID)
        try readState(
            mustBeAdopted: own.mustBeAdopted, hasPeers: hasPeers(latest ?? membership),
            acceptsDataLoss: acceptsDataLoss)
        if acceptsDataLoss { try acceptLoss(lifeBase: own.base) }
    }

    private static func openMemory(
        _ directory: DataDirectory, peers: [NodeID]
    ) throws(NodeError) -> (memory: MemberMemory, damages: [String]) {
        do throws(DataDirectoryError) {
            do throws(DataDirectoryError) {
                return (MemberMemory(try directory.openMembers(), peers: peers), [])
            } catch {
                guard case .damaged = error else { throw error }
                try MemberMemory(directory.forgetMembers(), peers: peers).noteLoss()
                return (MemberMemory(try directory.openMembers(), peers: peers), ["\(error)"])
            }
        } catch {
            throw .dataDirectory(error)
        }
    }

    // MARK: Reading

    private func readState(
        mustBeAdopted: Bool, hasPeers: Bool, acceptsDataLoss: Bool
    ) throws(NodeError) {
        let noted = try readNote()
        let found: WholeNode
        do throws(NodeError) {
            found = try readWhole()
        } catch {
            guard error.isDamage, hasPeers || acceptsDataLoss else { throw error }
            damages.append("\(error)")
            let left = try salvage(error)
            if directory.isAdmitted && !mustBeAdopted {
                try setDamaged(left, noted)
            } else {
                start = .outdated(left)
            }
            return
        }
        let state = found.state
        let hasPeers = self.hasPeers(state.membership)
        let isBlank =
            state.entries.isEmpty && state.snapshot.index == .zero && state.hardState == HardState()
        if directory.isAdmitted, !mustBeAdopted, let noted, !OpenedNode.isRestored(found.state, noted) {
            damages.append(
                "damage was found at an earlier start, and what was lost has not been restored since")
            try setDamaged(OpenedNode.salvaged(found.state, isEndTrusted: true), noted)
        } else if !hasPeers, directory.isAdmitted || !isBlank {
            whole = found
        } else if mustBeAdopted {
            start = .outdated(OpenedNode.salvaged(found.state, isEndTrusted: false))
        } else if !directory.isAdmitted {
            start = isBlank ? .fresh : .outdated(OpenedNode.salvaged(found.state, isEndTrusted: false))
            whole = isBlank ? found : nil
        } else if found.report.end == .open, !OpenedNode.isKnown(found.report.anchor) {
            damages.append(
                "write-ahead log: nothing in \(directory.logPath) says how far the log was durable; its file "
                    + "ANCHOR is missing or damaged")
            try setDamaged(OpenedNode.salvaged(found.state, isEndTrusted: false), noted)
        } else {
            whole = found
            if noted != nil { try endRepair() }
        }
    }

    // MARK: Earlier damage

    /// What was noted when damage was found; `nil` where none was, or it was repaired.
    private func readNote() throws(NodeError) -> RepairNote? {
        do throws(DataDirectoryError) {
            return try directory.repairNotes().first { $0.group == group }
        } catch {
            guard case .damaged = error else { throw .dataDirectory(error) }
            damages.append("\(error)")
            return RepairNote(group: group, hardState: nil, end: nil)
        }
    }

    /// Whether the log has what was noted: the repair was done, and the node ended before it removed the note.
    private static func isRestored(_ state: RestoredState, _ note: RepairNote) -> Bool {
        guard let hardState = note.hardState, let end = note.end else { return false }
        return state.hardState.term >= hardState.term
            && state.entries.last?.position ?? state.snapshot.position >= end
    }

    /// The node is under repair, which is noted before anything else: more damage may take what tells of this.
    private func setDamaged(_ found: SalvagedState, _ noted: RepairNote?) throws(NodeError) {
        var left = found
        if let noted { left.add(noted) }
        start = .damaged(left)
        let note = left.note(group)
        guard note != noted else { return }
        do throws(DataDirectoryError) {
            try directory.noteRepair([note])
        } catch {
            // Without room for the note the repair is as good as long as nothing more is damaged meanwhile.
            guard error.isNoSpace else { throw .dataDirectory(error) }
            damages.append("there is no room to note what must be restored: \(error)")
        }
    }

    private func endRepair() throws(NodeError) {
        do throws(DataDirectoryError) {
            try directory.noteRepair([])
        } catch {
            throw .dataDirectory(error)
        }
    }

    private static func isKnown(_ anchor: RecoveryReport.Anchor) -> Bool {
        if case .known = anchor { true } else { false }
    }

    private static func salvaged(_ state: RestoredState, isEndTrusted: Bool) -> SalvagedState {
        SalvagedState(
            hardState: state.hardState, base: state.snapshot,
            runs: state.entries.isEmpty ? [] : [state.entries],
            isEndTrusted: isEndTrusted)
    }

    /// Opens the log and reads the snapshot that it starts after.
    private func readWhole() throws(NodeError) -> WholeNode {
        let opened: WriteAheadLog.Opened
        do throws(DataDirectoryError) {
            opened = try directory.openLog(options: logOptions)
        } catch {
            throw .dataDirectory(error)
        }
        damages += opened.report.damages.map(\.description)
        let found = opened.groups.first { $0.group == group }
        var restorer: (any SnapshotRestorer)?
        if let snapshot = found?.snapshot {
            restorer = try restore(snapshot)
        }
        let state = RestoredState(
            hardState: found?.hardState ?? HardState(),
            snapshot: found?.snapshot
                ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership),
            entries: found?.entries ?? [])
        return WholeNode(log: opened.log, state: state, restorer: restorer, report: opened.report)
    }

    private func hasPeers(_ membership: Membership) -> Bool {
        membership.members.contains { $0 != directory.identity.node }
    }

    private func restore(_ metadata: SnapshotMetadata) throws(NodeError) -> any SnapshotRestorer {
        let restorer = makeRestorer()
        let file: SnapshotFile
        do throws(SnapshotError) {
            guard try snapshots.contains(group, index: metadata.index, term: metadata.term) else {
                throw SnapshotError.missing(file: snapshots.directory)
            }
            file = try snapshots.open(group, metadata)
        } catch {
            if case .missing = error {
                throw .snapshotMissing(directory: snapshots.directory, index: metadata.index)
            }
            throw .snapshot(error)
        }
        var offset: UInt64 = 0
        while offset < file.sizeBytes {
            let bytes: ByteSlice
            do throws(SnapshotError) {
                bytes = try file.read(at: offset, maximum: 4 << 20)
            } catch {
                throw .snapshot(error)
            }
            offset += UInt64(bytes.count)
            do throws(ByteDecodingError) {
                try restorer.receive(bytes)
            } catch {
                throw .snapshotContents(file: file.path, error)
            }
        }
        do throws(ByteDecodingError) {
            try restorer.finish()
        } catch {
            throw .snapshotContents(file: file.path, error)
        }
        return restorer
    }

    // MARK: Damage

    /// What is left. Damaged snapshots are set aside, so that nobody takes them for the newest.
    private func salvage(_ cause: NodeError) throws(NodeError) -> SalvagedState {
        let log: SalvagedLog
        do throws(DataDirectoryError) {
            log = try directory.salvageLog(options: logOptions)
        } catch {
            throw .dataDirectory(error)
        }
        if case .dataDirectory = cause {
            damages += log.damages.dropFirst().map(\.description)
        }
        guard log.groups.allSatisfy({ $0.group == group }) else { throw cause }
        var base: SnapshotMetadata?
        do throws(SnapshotError) {
            if case .snapshotContents(let file, _) = cause { try snapshots.setAside(file) }
            for damage in try snapshots.damaged(group) {
                guard case .damaged(let file, _, _) = damage else { continue }
                if "\(damage)" != "\(cause)" { damages.append("\(damage)") }
                try snapshots.setAside(file)
            }
            base = try snapshots.intact(group).last?.metadata
        } catch {
            throw .snapshot(error)
        }
        let left =
            log.groups.first
            ?? SalvagedGroup(
                group: group, hardState: nil, snapshot: nil, runs: [], lastPosition: nil, isEndTrusted: false)
        return SalvagedState(left, base: base, membership: membership)
    }

    /// What an operator says: the node starts with what is intact before the first hole.
    private func acceptLoss(lifeBase: UInt64) throws(NodeError) {
        switch start {
        case .damaged(let state), .outdated(let state):
            let kept = OpenedNode.beforeFirstHole(state, group, membership)
            let index = kept.entries.last?.index ?? kept.snapshot?.index ?? .zero
            damages.append(
                "started with --accept-data-loss: everything after entry \(index) is dropped")
            try replaceLog(by: kept)
            whole = try readWhole()
        case .certain, .fresh, .forced:
            break
        }
        do throws(DataDirectoryError) {
            try memory.remember(
                NodeLife.ownRecord(
                    directory.identity.node, directory.directoryID, base: lifeBase, mustBeAdopted: false))
            try directory.markAdmitted()
            try directory.noteRepair([])
        } catch {
            throw .dataDirectory(error)
        }
        start = .forced
    }

    private static func beforeFirstHole(
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

    // MARK: The outcome

    /// Carries the outcome of the node's admission out, durably. Afterwards ``whole`` is what it runs with.
    public func carryOut(_ outcome: AdmissionOutcome) throws(NodeError) -> WholeNode {
        if case .restored(let restored, let adoptedAt) = outcome {
            whole = nil
            try replaceLog(by: restored)
            if let adoptedAt {
                let record = NodeLife.ownRecord(
                    directory.identity.node, directory.directoryID,
                    base: NodeLife.base(adoptedAt: adoptedAt), mustBeAdopted: false)
                do throws(DataDirectoryError) {
                    try memory.remember(record)
                } catch {
                    throw .dataDirectory(error)
                }
            }
        }
        do throws(DataDirectoryError) {
            try directory.markAdmitted()
            try directory.noteRepair([])
        } catch {
            throw .dataDirectory(error)
        }
        if let result = takeWhole() { return result }
        return try readWhole()
    }

    private func replaceLog(by contents: RecoveredGroup) throws(NodeError) {
        do throws(DataDirectoryError) {
            try directory.rebuildLog(groups: [contents], options: logOptions)
        } catch {
            throw .dataDirectory(error)
        }
    }

    /// Gives the whole state away: for a node that is certain of its past.
    public func takeWhole() -> WholeNode? {
        defer { whole = nil }
        return whole
    }
}

extension RestoredState {
    /// The last membership in the log, or else that of the snapshot.
    package var membership: Membership {
        for entry in entries.reversed() where entry.kind == .membership {
            var reader = ByteReader(entry.payload)
            if let membership = try? Membership.decode(from: &reader) { return membership }
        }
        return snapshot.membership
    }
}
