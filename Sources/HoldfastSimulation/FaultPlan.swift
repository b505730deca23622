import ConsensusTypes

/// Which faults a run injects and how often. Integers only, so that a seed means the same everywhere.
public struct FaultPlan: Hashable, Sendable {
    /// Messages lost, of 1,000.
    public var lossPerThousand: UInt64 = 0
    /// Messages that arrive twice, of 1,000.
    public var duplicationPerThousand: UInt64 = 0
    /// Messages that take much longer than the rest, so that others overtake them, of 1,000.
    public var reorderingPerThousand: UInt64 = 0
    public var maximumDelayMicroseconds: UInt64 = 500
    public var maximumSyncMicroseconds: UInt64 = 1_000
    /// Mean simulated time between crashes of a node; 0 for none.
    public var crashIntervalMilliseconds: UInt64 = 0
    /// Mean simulated time between partitions; 0 for none.
    public var partitionIntervalMilliseconds: UInt64 = 0
    /// Whether a partition may cut one direction of a link only.
    public var hasOneWayPartitions = false
    /// Whether all nodes may crash at the same moment.
    public var hasClusterCrashes = false

    public init() {}

    /// A random subset of the faults with random rates, so that some runs are gentle and some are harsh, and
    /// no fault always hides another ("swarm testing", Groce and others 2012).
    public static func swarm(_ random: inout SeededRandom) -> FaultPlan {
        var plan = FaultPlan()
        plan.maximumDelayMicroseconds = 100 + random.next(below: 20_000)
        plan.maximumSyncMicroseconds = 100 + random.next(below: 10_000)
        if random.chance(1, outOf: 2) { plan.lossPerThousand = 1 + random.next(below: 150) }
        if random.chance(1, outOf: 2) { plan.duplicationPerThousand = 1 + random.next(below: 100) }
        if random.chance(1, outOf: 2) { plan.reorderingPerThousand = 1 + random.next(below: 100) }
        if random.chance(3, outOf: 4) { plan.crashIntervalMilliseconds = 300 + random.next(below: 5_000) }
        if random.chance(1, outOf: 2) { plan.partitionIntervalMilliseconds = 300 + random.next(below: 5_000) }
        plan.hasOneWayPartitions = random.chance(1, outOf: 2)
        plan.hasClusterCrashes = random.chance(1, outOf: 3)
        return plan
    }

    /// The world after the faults stopped.
    static let none = FaultPlan()
}

/// How many faults a run injected.
public struct FaultCounts: Hashable, Sendable {
    public var lostMessages = 0
    public var duplicatedMessages = 0
    public var reorderedMessages = 0
    public var crashes = 0
    public var clusterCrashes = 0
    public var tornWrites = 0
    public var partitions = 0

    public init() {}
}
