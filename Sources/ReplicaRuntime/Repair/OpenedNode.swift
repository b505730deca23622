import ConsensusTypes
import RaftCore
import struct SystemPackage.FilePath
import WriteAheadLog

/// A node's data directory, opened, and what is to become of each of its groups: what a ``NodeAdmission`` of each
/// starts from, and what carries their outcomes out.
///
/// All groups are in one log, so damage to it concerns all of them: the log is written anew once each group that
/// it concerns is restored, and no group runs before.
public final class OpenedNode {
    /// The group that every node has, which decides who the cluster's members are.
    public static var firstGroup: GroupID { GroupID(1) }

    public let directory: DataDirectory
    public let snapshots: SnapshotStore
    /// What a log without a snapshot starts with.
    public let membership: Membership
    /// The groups that the node hosts; the first one is ``firstGroup``.
    public let groups: [OpenedGroup]
    let logOptions: WriteAheadLogOptions
    /// What was noted when damage was found, and was not repaired since.
    var notes: [RepairNote] = []
    /// Whether there were such notes and they are damaged, so that any group may lack something.
    var hasLostNotes = false

    /// The log, open, where it is whole and was not given away.
    var log: (log: WriteAheadLog, report: RecoveryReport)?
    /// What the log holds of groups that the node does not host.
    public internal(set) var unhosted: [RecoveredGroup] = []
    /// Of these a part was lost with which nobody helps: should they be hosted again, a leader must adopt them.
    var incompleteUnhosted: [GroupID] = []
    /// One line for each place where something is wrong, for people.
    public internal(set) var damages: [String] = []

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
    public init(
        directory path: FilePath, identity: NodeIdentity, newDirectoryID: DirectoryID = .random(),
        membership: Membership, latest: Membership? = nil, record: ClusterRecord? = nil,
        groups plans: [GroupPlan], acceptsDataLoss: Bool = false, logOptions: WriteAheadLogOptions,
        fileSystem: any FileSystem
    ) throws(NodeError) {
        precondition(plans.first?.id == OpenedNode.firstGroup, "a node's first group is group 1")
        precondition(Set(plans.map(\.id)).count == plans.count, "two groups of a node have one number")
        self.membership = membership
        self.logOptions = logOptions
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
        let peers = (latest ?? membership).members.filter { $0 != identity.node }
        damages += directory.damages.map(\.description)
        var found: [OpenedGroup] = []
        for plan in plans {
            let opened = try OpenedNode.openMemory(directory, plan.id, peers: peers)
            damages += opened.damages
            found.append(
                OpenedGroup(
                    plan, memory: opened.memory, node: identity.node, directory: directory.directoryID))
        }
        groups = found
        try readState(hasPeers: hasPeers(latest ?? membership), acceptsDataLoss: acceptsDataLoss)
        if acceptsDataLoss { try acceptLoss() }
    }

    static func openMemory(
        _ directory: DataDirectory, _ group: GroupID, peers: [NodeID]
    ) throws(NodeError) -> (memory: MemberMemory, damages: [String]) {
        do throws(DataDirectoryError) {
            do throws(DataDirectoryError) {
                return (MemberMemory(try directory.openMembers(group: group), peers: peers), [])
            } catch {
                guard case .damaged = error else { throw error }
                try MemberMemory(directory.forgetMembers(group: group), peers: peers).noteLoss()
                return (MemberMemory(try directory.openMembers(group: group), peers: peers), ["\(error)"])
            }
        } catch {
            throw .dataDirectory(error)
        }
    }

    // MARK: Reading

    private func readState(hasPeers: Bool, acceptsDataLoss: Bool) throws(NodeError) {
        try readNotes()
        do throws(NodeError) {
            try readWhole()
        } catch {
            closeLog()
            guard error.isDamage, hasPeers || acceptsDataLoss else { throw error }
            damages.append("\(error)")
            for (group, left) in zip(groups, try salvage(error)) { judge(group, left) }
            return try noteDamage()
        }
        guard let report = log?.report else { preconditionFailure("a log that was read is open") }
        let isEndUnknown = report.end == .open && !OpenedNode.isKnown(report.anchor)
        let found = groups.map { judge($0, isEndUnknown: isEndUnknown) }
        if found.contains(.damagedBefore) {
            damages.append(
                "damage was found at an earlier start, and what was lost has not been restored since")
        }
        if found.contains(.endUnknown) {
            damages.append(
                "write-ahead log: nothing in \(directory.logPath) says how far the log was durable; its file "
                    + "ANCHOR is missing or damaged")
        }
        checkUnhosted()
        guard groups.contains(where: \.isBlocking) else { return try endRepair() }
        try noteDamage()
        // The log is going to be written anew: what is intact goes into it as it is.
        for group in groups {
            guard let whole = group.whole, group.start == .certain else { continue }
            group.start = .damaged(OpenedNode.salvaged(whole.state, isEndTrusted: true))
        }
        closeLog()
    }

    private func closeLog() {
        log = nil
        for group in groups { group.whole = nil }
    }

    /// What becomes of a group of which a part may be damaged.
    private func judge(_ group: OpenedGroup, _ found: SalvagedState) {
        if group.isAdmitted(directory, isBlank: found.isBlank), !group.mustBeAdopted {
            group.start = damaged(found, group.id)
        } else if group.id != OpenedNode.firstGroup, !group.mustBeAdopted, found.isBlank {
            group.start = .fresh
        } else {
            group.start = .outdated(found)
        }
    }

    /// What is left, less what was not there any more when damage was found first.
    private func damaged(_ found: SalvagedState, _ group: GroupID) -> AdmissionStart {
        var left = found
        if let noted = note(of: group) { left.add(noted) }
        return .damaged(left)
    }

    private enum Finding {
        case nothing
        case endUnknown
        case damagedBefore
    }

    /// What becomes of a group whose state is intact as far as the log tells.
    private func judge(_ group: OpenedGroup, isEndUnknown: Bool) -> Finding {
        guard let state = group.whole?.state else { preconditionFailure("the group was read") }
        let isBlank =
            state.entries.isEmpty && state.snapshot.index == .zero && state.hardState == HardState()
        let isAdmitted = group.isAdmitted(directory, isBlank: isBlank)
        let salvaged = OpenedNode.salvaged(state, isEndTrusted: false)
        if isAdmitted, !group.mustBeAdopted, let noted = note(of: group.id),
            !OpenedNode.isRestored(state, noted)
        {
            group.start = damaged(OpenedNode.salvaged(state, isEndTrusted: true), group.id)
            return .damagedBefore
        } else if !hasPeers(state.membership), isAdmitted || !isBlank {
            group.start = .certain
        } else if group.mustBeAdopted {
            group.start = .outdated(salvaged)
        } else if !isAdmitted {
            group.start = isBlank ? .fresh : .outdated(salvaged)
        } else if isEndUnknown {
            group.start = damaged(salvaged, group.id)
            return .endUnknown
        } else {
            group.start = .certain
        }
        return .nothing
    }

    private static func isKnown(_ anchor: RecoveryReport.Anchor) -> Bool {
        if case .known = anchor { true } else { false }
    }

    static func salvaged(_ state: RestoredState, isEndTrusted: Bool) -> SalvagedState {
        SalvagedState(
            hardState: state.hardState, base: state.snapshot,
            runs: state.entries.isEmpty ? [] : [state.entries], isEndTrusted: isEndTrusted)
    }

    /// Opens the log and reads the snapshots that its groups start after.
    func readWhole() throws(NodeError) {
        let opened: WriteAheadLog.Opened
        do throws(DataDirectoryError) {
            opened = try directory.openLog(options: logOptions)
        } catch {
            throw .dataDirectory(error)
        }
        damages += opened.report.damages.map(\.description)
        unhosted = opened.groups.filter { found in !groups.contains { $0.id == found.group } }
        for group in groups {
            let found = opened.groups.first { $0.group == group.id }
            var restorer: (any SnapshotRestorer)?
            if let snapshot = found?.snapshot {
                restorer = try OpenedNode.restore(snapshots, group.id, snapshot, group.makeRestorer)
            }
            group.whole = WholeGroup(
                state: RestoredState(
                    hardState: found?.hardState ?? HardState(),
                    snapshot: found?.snapshot
                        ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership),
                    entries: found?.entries ?? []), restorer: restorer)
        }
        log = (opened.log, opened.report)
    }

    private func hasPeers(_ membership: Membership) -> Bool {
        membership.members.contains { $0 != directory.identity.node }
    }

    /// Builds the state of a stored snapshot.
    static func restore(
        _ snapshots: SnapshotStore, _ group: GroupID, _ metadata: SnapshotMetadata,
        _ makeRestorer: () -> any SnapshotRestorer
    ) throws(NodeError) -> any SnapshotRestorer {
        let restorer = metadata.restorer(makeRestorer)
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
