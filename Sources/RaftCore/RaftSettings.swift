import ConsensusTypes

/// What a user may set of the protocol. Times are in milliseconds, sizes in bytes.
public struct RaftSettings: Hashable, Sendable {
    /// A follower that hears no leader for this long, up to a quarter longer, starts a pre-vote. Also how long
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

    /// To how many members a leader sends a snapshot at the same time; the others wait their turn.
    public var maximumConcurrentSnapshotTransfers = 2
    /// The largest payload of a proposal; larger ones are refused.
    public var maximumEntrySizeBytes = 8 << 20
    /// Whether the election timeout is raised, up to ten times, where round trips are long; see
    /// ``RaftCore/electionTimeout``. Leases keep the length that the configured one gives them.
    public var adaptsToRoundTrips = false
    /// Whether leaders hold a lease: a time in which no other node can be elected, see
    /// ``RaftCore/leaseDeadline``. It must be the same on every member of a group, as must the election
    /// timeout and the drift. A member that starts again then waits out a lease that it may have granted.
    public var promisesLeases = false
    /// How much slower or faster than true time any member's monotonic clock may run, in millionths. Leases
    /// are exactly as certain as this bound. The clock must go on while the machine is suspended.
    public var maximumClockDriftPartsPerMillion = 10_000

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
        if maximumConcurrentSnapshotTransfers < 1 || maximumEntrySizeBytes < 1 {
            return "snapshot transfers at a time and the size of entries must be at least 1"
        }
        if maximumClockDriftPartsPerMillion < 0 || maximumClockDriftPartsPerMillion > 250_000 {
            return "the clock drift (\(maximumClockDriftPartsPerMillion) ppm) must be from 0 to 250000 ppm"
        }
        return nil
    }
}
