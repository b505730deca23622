import ConsensusTypes

/// How often one kind of fault happens, how long it lasts and how bad it is. Integers only, so that a seed
/// means the same everywhere.
public struct FaultRate: Hashable, Sendable {
    public var kind: FaultKind
    /// Mean simulated time between two of them.
    public var intervalMilliseconds: UInt64
    /// The longest duration; each is drawn from zero to this.
    public var durationMilliseconds: UInt64
    /// The largest amount, where the kind's amount is a quantity.
    public var amount: UInt64
    public var target: FaultTarget

    public init(
        _ kind: FaultKind, everyMilliseconds interval: UInt64, forMilliseconds duration: UInt64 = 0,
        amount: UInt64 = 0, target: FaultTarget = .anyNode
    ) {
        self.kind = kind
        intervalMilliseconds = interval
        durationMilliseconds = duration
        self.amount = amount
        self.target = target
    }
}

/// Whom a fault hits.
public enum FaultTarget: Hashable, Sendable {
    case anyNode
    case allNodes
    /// One of a minority of the nodes that is the same for the whole run: what disks lose there, a quorum
    /// still has.
    case victim
    /// Whoever leads when the fault is drawn; any node where nobody does.
    case leader
    /// Any node that does not lead.
    case follower
    /// The node that an observation is about.
    case subject
    /// Any node but the one that an observation is about.
    case others
}

/// Something that a directed plan waits for.
public enum Observation: UInt8, Hashable, Sendable, CaseIterable {
    /// A node became leader.
    case elected
    /// A node granted a vote, which is not durable yet.
    case voted
    /// A leader stepped down.
    case steppedDown
    /// A node replaced or dropped the end of its log.
    case truncated
    /// A node began to store a snapshot, of its own or another's.
    case snapshotBegun
    /// A snapshot's marker went into a node's log.
    case snapshotStored
    /// A node started.
    case started
    /// A node learned that more is committed.
    case committed
    /// A client asked for a linearizable read.
    case readBegun
    /// A client was told that its lease was granted or renewed.
    case leaseAlive
    /// A leader proposed the end of a lease.
    case leaseExpired
    /// A compaction was committed.
    case compacted
    /// Another membership is in force on a node.
    case membershipChanged
    /// A leader began to hand over.
    case transferBegun
}

/// A fault that follows on something that was seen: what makes a scenario directed.
public struct FaultReaction: Hashable, Sendable {
    public var observation: Observation
    /// How often it follows, of 1,000.
    public var perThousand: UInt64
    /// It follows this much later, at most.
    public var delayMicroseconds: UInt64
    public var fault: FaultRate

    public init(
        after observation: Observation, perThousand: UInt64, withinMicroseconds delay: UInt64,
        _ kind: FaultKind, forMilliseconds duration: UInt64 = 0, amount: UInt64 = 0,
        target: FaultTarget = .subject
    ) {
        self.observation = observation
        self.perThousand = perThousand
        delayMicroseconds = delay
        fault = FaultRate(
            kind, everyMilliseconds: 1, forMilliseconds: duration, amount: amount, target: target)
    }
}

/// The world of a run, and which faults it injects how often.
public struct FaultPlan: Hashable, Sendable {
    /// How long a message takes at most where nothing is wrong.
    /// What every message takes at least; ``maximumDelayMicroseconds`` comes on top of it, or a part of it.
    public var minimumDelayMicroseconds: UInt64 = 20
    public var maximumDelayMicroseconds: UInt64 = 500
    /// Whether messages of one link stay in their order, as on one connection, where no fault changes it.
    public var hasOrderedLinks = false
    /// Whether messages of the protocol outlive their connections, and reach later starts of a process.
    public var hasStaleMessages = false
    public var maximumSyncMicroseconds: UInt64 = 1_000
    /// How long a node gathers what arrives before it ends its turn; zero: each event is a turn.
    public var turnMicroseconds: UInt64 = 5
    /// Faults that are there from the beginning to the end of the faults.
    public var constant: [Fault] = []
    public var rates: [FaultRate] = []
    public var reactions: [FaultReaction] = []
    /// Faults under which the cluster must make progress: they are there alone for a while when the others
    /// have stopped.
    public var lasting: [Fault] = []
    public var world = WorldSettings()
    /// Whether nodes join and leave: then links follow the membership, as in production.
    public var changesMembers = false
    /// Writes must be committed in each of these times, whatever faults there are.
    public var demands: [ProgressDemand] = []
    /// No fault of this plan takes a quorum from the first leader that leads for a while: it must keep the
    /// leadership until the faults end.
    public var keepsLeader = false

    public init() {}
}

/// A time in which writes must be committed, in milliseconds from the start of a run.
public struct ProgressDemand: Hashable, Sendable {
    public var fromMilliseconds: UInt64
    public var toMilliseconds: UInt64
    public var entryCount: Int

    public init(fromMilliseconds: UInt64, toMilliseconds: UInt64, entryCount: Int) {
        self.fromMilliseconds = fromMilliseconds
        self.toMilliseconds = toMilliseconds
        self.entryCount = entryCount
    }
}

/// What nodes and clients of a run are like.
public struct WorldSettings: Hashable, Sendable {
    public var electionTimeoutMilliseconds = 1_000
    public var heartbeatIntervalMilliseconds = 100
    public var snapshotEntryCount = 60
    public var trailingEntryCount = 10
    public var segmentSizeBytes = 32 << 10
    public var snapshotChunkSizeBytes = 1 << 10
    public var maximumAppendSizeBytes = 4 << 10
    public var requestTimeoutMilliseconds = 3_000
    /// The longest pause of a client between two of its operations.
    public var clientPauseMicroseconds: UInt64 = 60_000
    /// How long a client waits for an answer before it gives up, not knowing.
    public var clientPatienceMilliseconds: UInt64 = 4_000
    public var quotaBytes = 2 << 30
    /// Whether election timeouts follow measured round trips.
    public var adaptsToRoundTrips = false
    /// Whether leaders hold leases, and within which bound clocks differ from true time.
    public var promisesLeases = false
    public var maximumClockDriftPartsPerMillion = 10_000
    /// When leaders evict members that do not answer; `nil`: never.
    public var evictAfterMilliseconds: Int?
    public var minimumVoters = 3
    /// What clients do: weights, in the order of ``ClientAction``.
    public var mixture = ClientMixture()

    public init() {}
}

/// How often clients do what, against each other.
public struct ClientMixture: Hashable, Sendable {
    public var put: UInt64 = 10
    public var delete: UInt64 = 2
    public var transaction: UInt64 = 3
    public var read: UInt64 = 5
    public var serializableRead: UInt64 = 1
    public var pastRead: UInt64 = 1
    public var compaction: UInt64 = 1
    /// Linearizable reads under the leader's lease.
    public var leaseRead: UInt64 = 0
    /// How many clients hold leases instead of doing any of this.
    public var leaseHolders: UInt64 = 1
    /// How many keys there are.
    public var keyCount: UInt64 = 20
    /// The largest value, in bytes.
    public var valueSizeBytes: UInt64 = 64
    /// The longest time to live, in seconds.
    public var timeToLiveSeconds: UInt64 = 5

    public init() {}
}
