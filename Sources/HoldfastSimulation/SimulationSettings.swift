import ConsensusTypes

/// What to simulate.
public struct SimulationSettings: Hashable, Sendable {
    public var seed: UInt64
    /// Events under faults. Afterwards the faults stop, and the cluster must recover within
    /// ``recoveryTimeMilliseconds`` of simulated time.
    public var stepCount: Int
    public var nodeCount: Int
    public var clientCount = 4
    public var recoveryTimeMilliseconds = 60_000
    /// `nil`: a random plan, chosen by the seed.
    public var plan: FaultPlan?

    public init(seed: UInt64, stepCount: Int = 20_000, nodeCount: Int = 3) {
        self.seed = seed
        self.stepCount = stepCount
        self.nodeCount = nodeCount
    }
}

/// How a run went.
public struct SimulationOutcome: Sendable {
    public let failure: SimulationFailure?
    /// Equal for two runs with equal settings, in any two processes.
    public let traceHash: UInt64
    public let eventCount: Int
    public let simulatedTime: Interval
    public let faults: FaultCounts
    public let committedEntryCount: Int
    public let acknowledgedWriteCount: Int
    public let unknownWriteCount: Int
    public let readCount: Int
    public let watchEventCount: Int
    public let highestTerm: Term
    /// What happened last, for a person.
    public let lastEvents: [String]

    /// One line.
    public var summary: String {
        let state = failure == nil ? "clean" : "FAILED"
        return "\(state), trace \(String(traceHash, radix: 16)), \(eventCount) events, "
            + "\(simulatedTime.milliseconds) ms simulated, \(committedEntryCount) entries committed, "
            + "\(acknowledgedWriteCount) writes acknowledged (\(unknownWriteCount) unknown), "
            + "\(readCount) reads, \(watchEventCount) watch events, term \(highestTerm), "
            + "faults: \(faults.crashes) crashes (\(faults.clusterCrashes) of all nodes, "
            + "\(faults.tornWrites) within a write), \(faults.partitions) partitions, "
            + "\(faults.lostMessages) messages lost, \(faults.duplicatedMessages) repeated, "
            + "\(faults.reorderedMessages) late"
    }
}
