import ConsensusTypes

/// Where a run's faults come from: drawn from a plan as the run goes on, or a list that was given. What was
/// handed out is remembered: given as a list, it makes the same run.
struct FaultSource {
    private struct Stream {
        let rate: FaultRate
        var nextMicroseconds: UInt64
    }

    private let nodeCount: Int
    /// How many nodes are victims: what disks lose there, a quorum of every membership still has.
    private let victimCount: Int
    private var random: SeededRandom
    private let firstVictim: Int
    private var streams: [Stream] = []
    private let reactions: [FaultReaction]
    /// Whether something waits for each observation, by its raw value.
    private var isAwaited: [Bool]
    /// Faults that are known ahead, the next one last.
    private var ahead: [Fault] = []
    private let isGiven: Bool
    private var isStopped = false
    /// Whether there will be no more.
    var isOver: Bool { isStopped }
    private(set) var handedOut: [Fault] = []
    /// When the next fault happens, in microseconds from the start of the run.
    private(set) var nextMicroseconds = UInt64.max

    init(plan: FaultPlan, given: [Fault]?, nodeCount: Int, seed: UInt64, witnesses: [Int] = []) {
        self.nodeCount = nodeCount
        let most = plan.changesMembers ? 1 : (nodeCount - 1) / 2
        victimCount = witnesses.isEmpty ? most : min(most, witnesses.count)
        random = SeededRandom(seed: seed)
        let drawn = Int(random.next(below: UInt64(nodeCount)))
        firstVictim = witnesses.first ?? drawn
        isGiven = given != nil
        isAwaited = Array(repeating: false, count: Observation.allCases.count)
        if let given {
            reactions = []
            ahead = FaultSource.inOrder(given).reversed()
        } else {
            reactions = plan.reactions
            ahead = FaultSource.inOrder(plan.constant).reversed()
            streams = plan.rates.map { rate in
                Stream(rate: rate, nextMicroseconds: random.next(below: 2_000 * rate.intervalMilliseconds))
            }
            for reaction in plan.reactions {
                isAwaited[Int(reaction.observation.rawValue)] = true
            }
        }
        findNext()
    }

    private static func inOrder(_ faults: [Fault]) -> [Fault] {
        faults.enumerated().sorted {
            ($0.element.atMicroseconds, $0.offset) < ($1.element.atMicroseconds, $1.offset)
        }.map(\.element)
    }

    private mutating func findNext() {
        nextMicroseconds = isStopped ? .max : ahead.last?.atMicroseconds ?? .max
        for stream in streams where !isStopped {
            nextMicroseconds = min(nextMicroseconds, stream.nextMicroseconds)
        }
    }

    /// No more faults.
    mutating func stop() {
        isStopped = true
        findNext()
    }

    /// The fault that ``nextMicroseconds`` speaks of. `leader` is whoever leads now.
    mutating func next(leader: Int?) -> Fault {
        let fault: Fault
        if let first = ahead.last, first.atMicroseconds == nextMicroseconds {
            ahead.removeLast()
            fault = first
        } else {
            let position = streams.firstIndex { $0.nextMicroseconds == nextMicroseconds }!
            let rate = streams[position].rate
            streams[position].nextMicroseconds +=
                1 + 1_000 * random.next(below: max(2 * rate.intervalMilliseconds, 1))
            fault = draw(rate, atMicroseconds: nextMicroseconds, subject: nil, leader: leader)
        }
        findNext()
        handedOut.append(fault)
        return fault
    }

    /// Something was seen that faults may follow on.
    mutating func note(_ observation: Observation, at microseconds: UInt64, node: Int, leader: Int?) {
        guard isAwaited[Int(observation.rawValue)], !isStopped else { return }
        for reaction in reactions
        where reaction.observation == observation && random.chance(reaction.perThousand, outOf: 1_000) {
            // Never in this moment, so that a list with this fault in it gives the same order of events.
            let time = microseconds + 1 + random.next(below: reaction.delayMicroseconds + 1)
            let fault = draw(reaction.fault, atMicroseconds: time, subject: node, leader: leader)
            let position = ahead.firstIndex { $0.atMicroseconds <= time } ?? ahead.count
            ahead.insert(fault, at: position)
        }
        findNext()
    }

    // MARK: Drawing

    private mutating func draw(
        _ rate: FaultRate, atMicroseconds time: UInt64, subject: Int?, leader: Int?
    ) -> Fault {
        var fault = Fault(rate.kind, atMicroseconds: time)
        fault.nodes = nodes(rate.target, subject: subject, leader: leader)
        if rate.durationMilliseconds > 0 {
            fault.durationMicroseconds = 1 + random.next(below: 1_000 * rate.durationMilliseconds)
        }
        switch rate.kind {
        case .cut, .flapping, .reset:
            fault.amount = drawLinks(rate, fault.nodes).bits
            fault.nodes = NodeSet()
        case .loss, .duplication, .reordering, .delay, .bandwidth:
            fault.amount = 1 + random.next(below: max(rate.amount, 1))
            // All links, or those of one node in one direction or both.
            switch random.next(below: 4) {
            case 0: fault.nodes = NodeSet()
            case 1: fault.peers = NodeSet(count: nodeCount)
            default:
                fault.peers = fault.nodes
                if random.chance(1, outOf: 2) { fault.nodes = NodeSet(count: nodeCount) }
            }
        case .crash:
            fault.amount = random.next(below: 4)
        case .crashAtOperation:
            fault.amount = random.next(below: max(rate.amount, 1))
        case .diskFull:
            fault.amount = random.next(below: max(rate.amount, 1))
        case .drift:
            fault.amount = 2 * random.next(below: max(rate.amount, 1)) + random.next(below: 2)
        case .damage:
            fault.amount = rate.amount > 0 ? rate.amount - 1 : random.next(below: 16)
        case .misdirectedWrite:
            fault.amount = random.next(below: 64)
        case .addMember, .changeMembers, .setPriority, .transfer:
            fault.amount = rate.amount > 0 ? rate.amount - 1 : random.next(below: 1 << 16)
        case .removeMember, .promoteMember, .demoteMember, .gracefulRestart:
            break
        case .pause, .syncFailure, .syncStall, .lyingSync, .lostWrite, .wipe, .rollBack, .secondProcess:
            break
        }
        return fault
    }

    private mutating func nodes(_ target: FaultTarget, subject: Int?, leader: Int?) -> NodeSet {
        func any(_ random: inout SeededRandom) -> Int { Int(random.next(below: UInt64(nodeCount))) }
        func anyBut(_ node: Int?, _ random: inout SeededRandom) -> Int {
            guard let node, nodeCount > 1 else { return any(&random) }
            return (node + 1 + Int(random.next(below: UInt64(nodeCount - 1)))) % nodeCount
        }
        switch target {
        case .anyNode: return NodeSet(any(&random))
        case .allNodes: return NodeSet(count: nodeCount)
        case .victim:
            guard nodeCount > 2 else { return NodeSet() }
            return NodeSet((firstVictim + Int(random.next(below: UInt64(victimCount)))) % nodeCount)
        case .leader: return NodeSet(leader ?? any(&random))
        case .follower: return NodeSet(anyBut(leader, &random))
        case .subject: return NodeSet(subject ?? any(&random))
        case .others: return NodeSet(anyBut(subject, &random))
        }
    }

    private mutating func drawLinks(_ rate: FaultRate, _ target: NodeSet) -> LinkSet {
        if rate.target != .anyNode {
            // The target is cut off, in both directions or in one.
            let isOneWay = random.chance(1, outOf: 4)
            if isOneWay, random.chance(1, outOf: 2) {
                return .between(
                    NodeSet(bits: NodeSet(count: nodeCount).bits & ~target.bits), nodeCount: nodeCount,
                    isOneWay: true)
            }
            return .between(target, nodeCount: nodeCount, isOneWay: isOneWay)
        }
        let all = UInt64(nodeCount)
        let isOneWay = random.chance(1, outOf: 3)
        switch random.next(below: nodeCount > 3 ? 6 : 3) {
        case 0, 1:
            return .between(
                NodeSet(bits: UInt8(truncatingIfNeeded: random.next(below: 1 << all))), nodeCount: nodeCount,
                isOneWay: isOneWay)
        case 2:
            var links = LinkSet()
            let from = Int(random.next(below: all))
            let to = Int(random.next(below: all))
            links.insert(from: from, to: to)
            if !isOneWay { links.insert(from: to, to: from) }
            return links
        case 3: return .star(hub: Int(random.next(below: all)), nodeCount: nodeCount)
        case 4:
            var order = Array(0..<nodeCount)
            for position in order.indices.dropFirst() {
                order.swapAt(position, Int(random.next(below: UInt64(position + 1))))
            }
            return .chain(order)
        default: return .bridge(over: Int(random.next(below: all)), nodeCount: nodeCount)
        }
    }
}
