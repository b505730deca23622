import ConsensusTypes
import RaftCore
import struct SystemPackage.FilePath
import WriteAheadLog

/// The log and the state of a node with one group, intact.
public struct WholeNode {
    public let log: WriteAheadLog
    /// What a ``RaftCore`` starts with.
    public let state: RestoredState
    /// Has built the state of the snapshot, where there is one.
    public let restorer: (any SnapshotRestorer)?
    public let report: RecoveryReport
}

// For a node that hosts the first group alone.
extension OpenedNode {
    /// As ``init(directory:identity:newDirectoryID:membership:latest:record:groups:acceptsDataLoss:logOptions:fileSystem:)``.
    public convenience init(
        directory path: FilePath, identity: NodeIdentity, newDirectoryID: DirectoryID = .random(),
        membership: Membership, latest: Membership? = nil, record: ClusterRecord? = nil, group: GroupID,
        acceptsDataLoss: Bool = false, logOptions: WriteAheadLogOptions, fileSystem: any FileSystem,
        makeRestorer: @escaping () -> any SnapshotRestorer
    ) throws(NodeError) {
        try self.init(
            directory: path, identity: identity, newDirectoryID: newDirectoryID, membership: membership,
            latest: latest, record: record, groups: [GroupPlan(id: group, makeRestorer: makeRestorer)],
            acceptsDataLoss: acceptsDataLoss, logOptions: logOptions, fileSystem: fileSystem)
    }

    private var onlyGroup: OpenedGroup {
        precondition(groups.count == 1, "the node has several groups")
        return groups[0]
    }

    public var group: GroupID { onlyGroup.id }

    public var memory: MemberMemory { onlyGroup.memory }

    public var start: AdmissionStart { onlyGroup.start }

    /// The node's state, where all of it is intact and it may be used once the node is admitted.
    public var whole: WholeNode? {
        guard let log, let whole = onlyGroup.whole else { return nil }
        return WholeNode(log: log.log, state: whole.state, restorer: whole.restorer, report: log.report)
    }

    /// Carries the outcome of the node's admission out, durably.
    public func carryOut(_ outcome: AdmissionOutcome) throws(NodeError) -> WholeNode {
        try carryOut([outcome])
        guard let whole = takeWhole() else { preconditionFailure("the log was opened") }
        return whole
    }

    /// Gives the whole state away: for a node that is certain of its past.
    public func takeWhole() -> WholeNode? {
        defer {
            log = nil
            onlyGroup.whole = nil
        }
        return whole
    }
}
