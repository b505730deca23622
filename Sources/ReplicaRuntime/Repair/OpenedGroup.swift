import ConsensusTypes
import RaftCore
import WriteAheadLog

/// One group's state, intact.
public struct WholeGroup {
    /// What a ``RaftCore`` starts with.
    public let state: RestoredState
    /// Has built the state of the snapshot, where there is one.
    public let restorer: (any SnapshotRestorer)?
}

/// A group that a node is to host.
public struct GroupPlan {
    public let id: GroupID
    /// Builds the state machine's state from a snapshot.
    let makeRestorer: () -> any SnapshotRestorer

    public init(id: GroupID, makeRestorer: @escaping () -> any SnapshotRestorer) {
        self.id = id
        self.makeRestorer = makeRestorer
    }
}

/// One of the groups that an ``OpenedNode`` hosts: what its data directory holds of it, and what is to become of
/// it.
public final class OpenedGroup {
    public let id: GroupID
    public let memory: MemberMemory
    public internal(set) var start = AdmissionStart.certain
    /// The group's state, where all of it is intact and it may be used once the node is admitted to the group.
    public internal(set) var whole: WholeGroup?
    let makeRestorer: () -> any SnapshotRestorer
    /// What the node's record of itself says: see ``NodeLife``.
    let lifeBase: UInt64
    let mustBeAdopted: Bool
    private let hasOwnRecord: Bool

    init(_ plan: GroupPlan, memory: MemberMemory, node: NodeID, directory: DirectoryID) {
        id = plan.id
        makeRestorer = plan.makeRestorer
        self.memory = memory
        let own = memory.records.first { $0.node == node && $0.directory == directory }
        (lifeBase, mustBeAdopted) = NodeLife.read(own, directory: directory)
        hasOwnRecord = own != nil
    }

    /// Whether the node was let into the group with this directory. Of the first group the directory's `IDENTITY`
    /// says it, of every other one the node's record of itself; should that be lost, the log does, which nothing
    /// of a group is written to before.
    func isAdmitted(_ directory: DataDirectory, isBlank: Bool) -> Bool {
        id == OpenedNode.firstGroup ? directory.isAdmitted : hasOwnRecord || memory.hasLost && !isBlank
    }

    /// Whether the log has to be written anew before any group of the node runs.
    var isBlocking: Bool {
        switch start {
        case .damaged, .outdated: true
        case .certain, .fresh, .forced: false
        }
    }

    /// Gives the state away: for a group that the node takes part in.
    func takeWhole() -> WholeGroup? {
        defer { whole = nil }
        return whole
    }
}
