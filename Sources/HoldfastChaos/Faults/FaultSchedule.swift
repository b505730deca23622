import ConsensusTypes

/// A fault as the schedule has it.
public struct ScheduledFault: Hashable, Sendable, CustomStringConvertible {
    public enum Target: Hashable, Sendable {
        /// Whoever leads when the fault begins.
        case leader
        case node(Int)
    }

    public let number: Int
    /// After the begin of the schedule.
    public let startMilliseconds: Int
    public let durationMilliseconds: Int
    public let kind: FaultKind
    public let target: Target
    /// For faults of links: whether all of the node's links are concerned, or the one to the peer.
    public let isWholeNode: Bool
    /// How many nodes further the peer is; from 1 to one less than there are nodes.
    public let peerDistance: Int
    /// For faults in one direction: whether it is what the target sends.
    public let isOutgoing: Bool
    /// Whether a cut loses bytes, rather than holding them.
    public let losesBytes: Bool
    /// For delays of links and disks.
    public let delayMilliseconds: Int
    public let bytesPerSecond: Int
    /// For what comes and goes.
    public let periodMilliseconds: Int

    public var description: String {
        let place: String
        switch target {
        case .leader: place = "leader"
        case .node(let index): place = "n\(index + 1)"
        }
        let start = decimal(Double(startMilliseconds) / 1_000, 1)
        let length = decimal(Double(durationMilliseconds) / 1_000, 1)
        return "\(start) s: \(kind) \(place) for \(length) s"
    }
}

/// Which faults come when. The same seed gives the same schedule; what the cluster makes of it differs from run to
/// run, as real processes do.
public struct FaultSchedule: Sendable {
    public let kinds: [FaultKind]
    public let nodeCount: Int
    private var random: SeededRandom
    private var count = 0
    private var lastEnd = 0
    private var nextStart: Int

    /// Quiet times, in milliseconds.
    static let firstQuiet = 2_000
    static let leastQuiet = 1_000
    static let quietRange: UInt64 = 2_000

    public init(seed: UInt64, kinds: [FaultKind], nodeCount: Int) {
        precondition(!kinds.isEmpty && nodeCount >= 2, "a schedule needs faults and nodes that have peers")
        self.kinds = kinds
        self.nodeCount = nodeCount
        random = SeededRandom(seed: seed)
        nextStart = FaultSchedule.firstQuiet
    }

    /// Most faults come alone after a quiet time; one of five begins while the one before is under way.
    public mutating func next() -> ScheduledFault {
        let kind = kinds[Int(random.next(below: UInt64(kinds.count)))]
        let duration = Self.duration(of: kind, &random)
        let target: ScheduledFault.Target =
            random.chance(1, outOf: 2) ? .leader : .node(Int(random.next(below: UInt64(nodeCount))))
        let fault = ScheduledFault(
            number: count, startMilliseconds: nextStart, durationMilliseconds: duration, kind: kind,
            target: target, isWholeNode: random.chance(2, outOf: 3),
            peerDistance: 1 + Int(random.next(below: UInt64(nodeCount - 1))),
            isOutgoing: random.chance(1, outOf: 2), losesBytes: random.chance(1, outOf: 2),
            delayMilliseconds: 5 + Int(random.next(below: random.chance(1, outOf: 3) ? 800 : 100)),
            bytesPerSecond: 4_000 << Int(random.next(below: 6)),
            periodMilliseconds: 200 + Int(random.next(below: 2_800)))
        count += 1
        lastEnd = max(lastEnd, nextStart + duration)
        let quiet = FaultSchedule.leastQuiet + Int(random.next(below: FaultSchedule.quietRange))
        let overlap = random.next(below: UInt64(duration))
        nextStart =
            random.chance(1, outOf: 5) && kind != .killAll
            ? max(nextStart + 1, lastEnd - Int(overlap)) : lastEnd + quiet
        return fault
    }

    private static func duration(of kind: FaultKind, _ random: inout SeededRandom) -> Int {
        switch kind {
        case .kill, .killAll: 200 + Int(random.next(below: 5_000))
        case .restart: 100 + Int(random.next(below: 1_000))
        case .flap, .reset: 3_000 + Int(random.next(below: 6_000))
        case .pause: 1_000 + Int(random.next(below: 9_000))
        default: 1_000 + Int(random.next(below: 5_000))
        }
    }
}
