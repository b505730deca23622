import ConsensusTypes

/// What to simulate.
public struct SimulationSettings: Hashable, Sendable {
    public var seed: UInt64
    /// Events under faults. Afterwards the faults stop, and the cluster must recover within
    /// ``recoveryTimeMilliseconds`` of simulated time.
    public var stepCount: Int
    public var nodeCount: Int
    /// How many of the nodes are the first members; the others have empty disks and may join. `nil`: all.
    public var voterCount: Int?
    /// How many of the first members are witnesses: the last ones. Fewer than a quorum. What disks lose, they lose
    /// there only: what the others have may be in fewer copies than a quorum has members.
    public var witnessCount = 0
    /// Whether a random plan changes the members and moves the leadership, beside its faults.
    public var changesMembers = false
    public var clientCount = 4
    public var recoveryTimeMilliseconds = 120_000
    public var maximumRecoveryEvents = 1_000_000
    /// `nil`: a random plan, chosen by the seed.
    public var plan: FaultPlan?
    /// Exactly these faults instead of those that the plan would inject. What a run reports in
    /// ``SimulationOutcome/injectedFaults`` repeats it.
    public var faults: [Fault]?

    /// Whether the node, where it is a member, is a witness. It stays one through all that becomes of the members.
    func isWitness(_ number: Int) -> Bool {
        let voters = voterCount ?? nodeCount
        return number >= voters - witnessCount && number < voters
    }

    public init(seed: UInt64, stepCount: Int = 20_000, nodeCount: Int = 3) {
        precondition((1...7).contains(nodeCount), "a simulated cluster has from 1 to 7 nodes")
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
    /// What was injected: as ``SimulationSettings/faults`` it repeats the run.
    public let injectedFaults: FaultList
    public let committedEntryCount: Int
    public let acknowledgedWriteCount: Int
    public let unknownWriteCount: Int
    public let readCount: Int
    public let watchEventCount: Int
    public let expiredLeaseCount: Int
    /// Histories that were too entangled to be searched for an order; 0 or 1.
    public let undecidedHistoryCount: Int
    /// The branches that only faults reach, as far as this run reached them.
    public let rarePaths: RarePathSet
    public let memberships: MembershipCounts
    public let highestTerm: Term
    /// What happened last, for a person; empty where nothing failed.
    public let lastEvents: [String]

    /// One line.
    public var summary: String {
        let state = failure == nil ? "clean" : "FAILED"
        return "\(state), trace \(String(traceHash, radix: 16)), \(eventCount) events, "
            + "\(simulatedTime.milliseconds) ms simulated, \(committedEntryCount) entries committed, "
            + "\(acknowledgedWriteCount) writes acknowledged (\(unknownWriteCount) unknown), "
            + "\(readCount) reads, \(watchEventCount) watch events, \(expiredLeaseCount) leases expired, "
            + (memberships.isEmpty ? "" : "\(memberships.text), ")
            + "term \(highestTerm), faults: \(faults.text)"
    }
}
