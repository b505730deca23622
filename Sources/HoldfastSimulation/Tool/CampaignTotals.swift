import ConsensusTypes

/// What many runs together did.
public struct CampaignTotals: Sendable {
    public private(set) var runCount = 0
    public private(set) var eventCount = 0
    public private(set) var simulatedNanoseconds: UInt64 = 0
    /// Time that processors spent on the runs.
    public private(set) var processorNanoseconds: UInt64 = 0
    public private(set) var committedEntryCount = 0
    public private(set) var acknowledgedWriteCount = 0
    public private(set) var unknownWriteCount = 0
    public private(set) var readCount = 0
    public private(set) var watchEventCount = 0
    public private(set) var expiredLeaseCount = 0
    public private(set) var undecidedHistoryCount = 0
    public private(set) var memberships = MembershipCounts()
    public private(set) var faults = FaultCounts()
    public private(set) var rarePaths = RarePathSet()

    public init() {}

    public mutating func add(_ outcome: SimulationOutcome, processorNanoseconds time: UInt64) {
        runCount += 1
        eventCount += outcome.eventCount
        simulatedNanoseconds += outcome.simulatedTime.nanoseconds
        processorNanoseconds += time
        committedEntryCount += outcome.committedEntryCount
        acknowledgedWriteCount += outcome.acknowledgedWriteCount
        unknownWriteCount += outcome.unknownWriteCount
        readCount += outcome.readCount
        watchEventCount += outcome.watchEventCount
        expiredLeaseCount += outcome.expiredLeaseCount
        undecidedHistoryCount += outcome.undecidedHistoryCount
        memberships.add(outcome.memberships)
        faults.add(outcome.faults)
        rarePaths.formUnion(outcome.rarePaths)
    }

    /// Events that one core simulates in a second.
    public var eventsPerSecond: UInt64 {
        UInt64(eventCount) * 1_000_000 / max(processorNanoseconds / 1_000, 1)
    }

    /// Seconds that one core simulates in a second.
    public var simulatedSecondsPerSecond: UInt64 {
        simulatedNanoseconds / max(processorNanoseconds, 1)
    }

    private var simulatedHours: String {
        let tenths = simulatedNanoseconds / 360_000_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// For now and then.
    public var progress: String {
        "\(runCount) seeds, \(simulatedHours) simulated hours, \(eventsPerSecond) events/s and "
            + "\(simulatedSecondsPerSecond) simulated s/s per core; faults: \(faults.text)"
    }

    /// For the end, several lines.
    public var report: [String] {
        var lines = [
            "\(committedEntryCount) entries committed, \(acknowledgedWriteCount) writes acknowledged "
                + "(\(unknownWriteCount) of unknown outcome), \(readCount) reads, \(watchEventCount) watch "
                + "events, \(expiredLeaseCount) leases expired; \(undecidedHistoryCount) histories too "
                + "entangled for a search (the model checked every answer)"
        ]
        if !memberships.isEmpty { lines.append(memberships.text) }
        let missing = rarePaths.missing
        lines.append(
            missing.isEmpty
                ? "every rare path was reached"
                : "rare paths that no seed reached: " + missing.map { "\($0)" }.joined(separator: ", "))
        return lines
    }
}
