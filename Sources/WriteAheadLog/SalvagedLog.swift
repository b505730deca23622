import ConsensusTypes
import struct SystemPackage.FilePath

/// What is left of a damaged log.
public struct SalvagedLog: Hashable, Sendable {
    /// Every place where something is wrong, the one that keeps the log from being opened first. Empty where
    /// nothing is wrong.
    public let damages: [WriteAheadLogError]
    /// Sorted by group.
    public let groups: [SalvagedGroup]
}

/// What is left of a group's log.
public struct SalvagedGroup: Hashable, Sendable {
    public let group: GroupID
    /// The newest term and vote, where it is certain that no newer ones are lost: from what the anchor
    /// remembers and what intact records say. `nil` where it is not certain.
    public let hardState: HardState?
    /// The newest snapshot that an intact record says the log starts after. A newer one may be lost.
    public let snapshot: SnapshotMetadata?
    /// Every intact entry that no intact record replaced or covers, ascending by index, without overlaps.
    ///
    /// Each run is contiguous, and was at one moment a part of this group's log. Between two runs something
    /// is lost: entries where their indexes leave a gap; in any case a batch that may have replaced the end
    /// of the earlier run, which the node's log then held no longer.
    public let runs: [[Entry]]
    /// Where the group's log ended; `nil` where nothing tells. What a run does not reach of it is lost.
    public let lastPosition: LogPosition?
    /// Whether the last run (or, without runs, the snapshot or the beginning) is how the log ended: it
    /// reaches ``lastPosition``, with no loss in it or after it. Earlier runs say nothing about that.
    public let isEndTrusted: Bool

    public init(
        group: GroupID, hardState: HardState?, snapshot: SnapshotMetadata?, runs: [[Entry]],
        lastPosition: LogPosition?, isEndTrusted: Bool
    ) {
        self.group = group
        self.hardState = hardState
        self.snapshot = snapshot
        self.runs = runs
        self.lastPosition = lastPosition
        self.isEndTrusted = isEndTrusted
    }
}

extension WriteAheadLog {
    /// Reads what is left of a log that ``open(directory:fileSystem:options:)`` refuses with an error that
    /// ``WriteAheadLogError/isDamage``. Changes nothing on the disk but the lock's file.
    ///
    /// Where the header of a batch is lost the segment is searched for the next intact one; segments that
    /// are missing are passed over. Other errors, such as a device that cannot read, are thrown.
    public static func salvage(
        directory: FilePath, fileSystem: any FileSystem, options: WriteAheadLogOptions = .init()
    ) throws(WriteAheadLogError) -> SalvagedLog {
        if let problem = options.problem { throw .invalidOptions(problem) }
        let lock = try prepareDirectory(directory, fileSystem)
        defer { withExtendedLifetime(lock) {} }
        var salvage = try LogSalvage(fileSystem, directory, options)
        return try salvage.run()
    }
}
