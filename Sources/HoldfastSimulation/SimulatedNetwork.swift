import ConsensusTypes
import RaftCore

/// What travels between two nodes.
enum SimulatedMessage {
    case raft(RaftMessage)
    case aside(from: NodeID, to: NodeID, ByteSlice)
}

/// The links between the nodes: which are cut, and what happens to a message on the way.
struct SimulatedNetwork {
    private let nodeCount: Int
    /// `isCut[from * nodeCount + to]`: nothing that `from` sends arrives at `to`.
    private var isCut: [Bool]
    private(set) var counts = FaultCounts()

    init(nodeCount: Int) {
        self.nodeCount = nodeCount
        isCut = Array(repeating: false, count: nodeCount * nodeCount)
    }

    func canReach(from: Int, to: Int) -> Bool {
        !isCut[from * nodeCount + to]
    }

    mutating func heal() {
        isCut = Array(repeating: false, count: nodeCount * nodeCount)
    }

    /// Cuts a random set of links: a group off from the rest, or single links, in one or both directions.
    mutating func partition(isOneWay: Bool, _ random: inout SeededRandom) {
        counts.partitions += 1
        if random.chance(1, outOf: 2) {
            let side = random.next(below: 1 << UInt64(nodeCount))
            for from in 0..<nodeCount {
                for to in 0..<nodeCount where (side >> UInt64(from)) & 1 != (side >> UInt64(to)) & 1 {
                    if !isOneWay || (side >> UInt64(from)) & 1 == 1 {
                        isCut[from * nodeCount + to] = true
                    }
                }
            }
        } else {
            let from = Int(random.next(below: UInt64(nodeCount)))
            let to = Int(random.next(below: UInt64(nodeCount)))
            isCut[from * nodeCount + to] = true
            if !isOneWay { isCut[to * nodeCount + from] = true }
        }
    }

    /// After how many microseconds the message arrives: never, once or twice.
    mutating func delays(from: Int, to: Int, plan: FaultPlan, _ random: inout SeededRandom) -> [UInt64] {
        guard canReach(from: from, to: to) else {
            counts.lostMessages += 1
            return []
        }
        if plan.lossPerThousand > 0, random.chance(plan.lossPerThousand, outOf: 1_000) {
            counts.lostMessages += 1
            return []
        }
        var delay = 20 + random.next(below: plan.maximumDelayMicroseconds)
        if plan.reorderingPerThousand > 0, random.chance(plan.reorderingPerThousand, outOf: 1_000) {
            counts.reorderedMessages += 1
            delay += random.next(below: 50 * plan.maximumDelayMicroseconds)
        }
        if plan.duplicationPerThousand > 0, random.chance(plan.duplicationPerThousand, outOf: 1_000) {
            counts.duplicatedMessages += 1
            return [delay, delay + random.next(below: 20 * plan.maximumDelayMicroseconds)]
        }
        return [delay]
    }
}
