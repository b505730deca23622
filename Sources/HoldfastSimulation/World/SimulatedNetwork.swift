import ConsensusTypes

/// The links between the nodes: what happens to a message on the way, and when it arrives.
struct SimulatedNetwork {
    /// What is wrong with one link in one direction.
    struct Condition {
        var isCut = false
        var lossPerThousand: UInt64 = 0
        var duplicationPerThousand: UInt64 = 0
        var reorderingPerThousand: UInt64 = 0
        var extraDelayMicroseconds: UInt64 = 0
        /// Zero: without a limit.
        var bytesPerSecond: UInt64 = 0
    }

    private struct Link {
        var condition = Condition()
        /// Counts the connections: what was sent on an earlier one never arrives.
        var epoch: UInt32 = 0
        /// When the link has carried everything that it was given.
        var freeAt = Instant.zero
        /// When the last message arrives, where the order is kept.
        var lastArrival = Instant.zero
    }

    /// When a message arrives: never, once or twice.
    struct Arrivals {
        var first: Instant?
        var second: Instant?
    }

    /// A link that is too slow for what it is given loses messages rather than let them wait longer.
    private static let maximumQueueing = Interval.milliseconds(2_000)

    private let nodeCount: Int
    private let minimumDelayMicroseconds: UInt64
    private let maximumDelayMicroseconds: UInt64
    private let isOrdered: Bool
    private var links: [Link]
    private(set) var lostMessages = 0
    private(set) var duplicatedMessages = 0
    private(set) var reorderedMessages = 0

    init(nodeCount: Int, plan: FaultPlan) {
        self.nodeCount = nodeCount
        minimumDelayMicroseconds = plan.minimumDelayMicroseconds
        maximumDelayMicroseconds = plan.maximumDelayMicroseconds
        isOrdered = plan.hasOrderedLinks
        links = Array(repeating: Link(), count: nodeCount * nodeCount)
    }

    func canReach(from: Int, to: Int) -> Bool {
        !links[from * nodeCount + to].condition.isCut
    }

    func epoch(from: Int, to: Int) -> UInt32 { links[from * nodeCount + to].epoch }

    /// The link's connection breaks: what is under way is lost.
    mutating func reset(from: Int, to: Int) {
        links[from * nodeCount + to].epoch &+= 1
        links[from * nodeCount + to].freeAt = .zero
        links[from * nodeCount + to].lastArrival = .zero
    }

    mutating func setCondition(from: Int, to: Int, _ condition: Condition) {
        links[from * nodeCount + to].condition = condition
    }

    /// `size` is called only where the link's bandwidth is limited.
    mutating func route(
        from: Int, to: Int, now: Instant, _ random: inout SeededRandom, size: () -> Int
    ) -> Arrivals {
        let position = from * nodeCount + to
        let condition = links[position].condition
        if condition.isCut
            || condition.lossPerThousand > 0 && random.chance(condition.lossPerThousand, outOf: 1_000)
        {
            lostMessages += 1
            return Arrivals()
        }
        var start = now
        if condition.bytesPerSecond > 0 {
            let queued = max(links[position].freeAt, now)
            guard queued - now < SimulatedNetwork.maximumQueueing else {
                lostMessages += 1
                return Arrivals()
            }
            let nanoseconds = UInt64(size()) * 1_000_000_000 / condition.bytesPerSecond
            start = queued + Interval(nanoseconds: nanoseconds)
            links[position].freeAt = start
        }
        let spread = maximumDelayMicroseconds + condition.extraDelayMicroseconds
        var arrival = start + .microseconds(Int(minimumDelayMicroseconds + random.next(below: spread)))
        if isOrdered {
            arrival = max(arrival, links[position].lastArrival + Interval(nanoseconds: 1))
            links[position].lastArrival = arrival
        }
        if condition.reorderingPerThousand > 0,
            random.chance(condition.reorderingPerThousand, outOf: 1_000)
        {
            reorderedMessages += 1
            arrival = arrival + .microseconds(Int(random.next(below: 50 * spread)))
        }
        guard condition.duplicationPerThousand > 0,
            random.chance(condition.duplicationPerThousand, outOf: 1_000)
        else { return Arrivals(first: arrival) }
        duplicatedMessages += 1
        return Arrivals(
            first: arrival, second: arrival + .microseconds(Int(random.next(below: 20 * spread))))
    }
}
