import ConsensusTypes

/// What a user may set of the protocol. Times are in milliseconds, sizes in bytes.
public struct RaftSettings: Hashable, Sendable {
    /// A follower that hears no leader for this long, up to twice as long, starts a pre-vote. Also how long
    /// a follower sticks to a leader that it has heard, and how long a leader may go without a quorum.
    public var electionTimeoutMilliseconds = 1_000
    /// How often an idle leader says that it is there.
    public var heartbeatIntervalMilliseconds = 100
    /// The most payload in one AppendEntries; one larger entry still goes, alone.
    public var maximumAppendSizeBytes = 1 << 20
    /// How many AppendEntries may be under way to one follower.
    public var maximumInFlightAppends = 64
    /// How much of the log may be proposed and not yet committed; beyond it proposals are refused.
    public var maximumUncommittedSizeBytes = 64 << 20
    /// How many reads may wait for a read index; beyond it reads are refused.
    public var maximumPendingReads = 65_536
    /// The most bytes in one chunk of a snapshot.
    public var snapshotChunkSizeBytes = 256 << 10

    public init() {}

    /// Why these settings cannot work, in one line, or `nil`.
    public var problem: String? {
        if heartbeatIntervalMilliseconds < 1 {
            return "the heartbeat interval must be at least 1 ms"
        }
        if electionTimeoutMilliseconds < 5 * heartbeatIntervalMilliseconds {
            return "the election timeout (\(electionTimeoutMilliseconds) ms) must be at least five times the "
                + "heartbeat interval (\(heartbeatIntervalMilliseconds) ms)"
        }
        if electionTimeoutMilliseconds > 50_000 {
            return "the election timeout (\(electionTimeoutMilliseconds) ms) must be at most 50000 ms"
        }
        if maximumAppendSizeBytes < 1 || maximumInFlightAppends < 1 || snapshotChunkSizeBytes < 1 {
            return "limits on messages must be at least 1"
        }
        return nil
    }
}
