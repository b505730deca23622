import RaftCore

/// What a user may set of a replica.
public struct ReplicaSettings: Hashable, Sendable {
    public var raft = RaftSettings()
    /// A snapshot is taken after this many applied entries (etcd's `--snapshot-count`).
    public var snapshotEntryCount = 100_000
    /// A snapshot is also taken after this many bytes of applied entries, so that large values do not fill
    /// the memory before the count is reached.
    public var snapshotLogSizeBytes = 256 << 20
    /// Entries that stay in memory behind a snapshot, for followers that are only a little behind.
    public var trailingEntryCount = 5_000
    /// The most that these entries may take, so that large values do not fill the memory.
    public var trailingSizeBytes = 32 << 20

    /// What the leader does about the members by itself.
    public var members = MembershipKeeperSettings()

    /// A write that takes longer than this means that the disk stands still: then the node does not lead.
    public var syncDeadlineMilliseconds = 1_000

    public init() {}
}
