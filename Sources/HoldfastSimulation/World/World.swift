import ConsensusTypes
import RaftCore
import ReplicaRuntime

/// What an operator says when a node is started.
struct NodeStart {
    var membership: Membership
    /// Whether the node joins a cluster that runs.
    var joins = false
}

/// What every node of a run shares: the time, what is to happen, the links, the clocks, randomness, and the
/// checks that see everything that is said.
final class World {
    /// The world's time when a run starts.
    static let start = Instant(nanoseconds: 1_000_000_000)

    let nodeCount: Int
    /// How each node is started: by an operator, who says who the members are.
    var starts: [NodeStart]
    /// The last membership that is committed, as far as any node knows.
    var membership: Membership
    /// To whom each node is connected, where links follow the membership.
    private(set) var links: [NodeSet]
    let plan: FaultPlan
    private let witnesses: NodeSet
    var now = World.start
    var random: SeededRandom
    var queue = EventQueue<SimulationEvent>()
    var network: SimulatedNetwork
    var clocks: [NodeClock]
    var faults: FaultSource
    var checker: SafetyChecker
    var counts = FaultCounts()
    /// The present start of each node's process; zero: it is down.
    var sessions: [UInt64]
    /// The second process that runs under each node's name; zero: there is none.
    var secondSessions: [UInt64]
    /// Which peers are connected to the second process and not to the first.
    var heldBySecond: [NodeSet]
    /// Until when each node's syncs do not return.
    var syncStalledUntil: [Instant]
    /// The fastest that any clock ran in this run, and the slowest.
    var fastestDrift: Int64 = 0
    var slowestDrift: Int64 = 0
    /// The node that was last seen to lead.
    var leader: Int?
    /// Set by something that cannot throw.
    private(set) var noted: SimulationFailure?

    init(_ settings: SimulationSettings, plan: FaultPlan, random: SeededRandom) {
        nodeCount = settings.nodeCount
        self.plan = plan
        var chosen = NodeSet()
        for number in 0..<settings.nodeCount where settings.isWitness(number) { chosen.insert(number) }
        witnesses = chosen
        membership = Membership(
            voters: (0..<(settings.voterCount ?? nodeCount)).map(NodeNumber.id),
            descriptions: chosen.numbers.map {
                MemberDescription(node: NodeNumber.id($0), isWitness: true)
            })
        precondition(membership.hasDataInEveryQuorum, "witnesses must be fewer than a quorum")
        starts = Array(repeating: NodeStart(membership: membership), count: nodeCount)
        links = Array(repeating: NodeSet(), count: nodeCount)
        self.random = random
        faults = FaultSource(
            plan: plan, given: settings.faults, nodeCount: nodeCount, seed: self.random.next(),
            witnesses: chosen.numbers)
        network = SimulatedNetwork(nodeCount: nodeCount, plan: plan)
        checker = SafetyChecker(nodeCount: nodeCount)
        sessions = Array(repeating: 0, count: nodeCount)
        secondSessions = sessions
        heldBySecond = Array(repeating: NodeSet(), count: nodeCount)
        syncStalledUntil = Array(repeating: .zero, count: nodeCount)
        clocks = []
        for _ in 0..<nodeCount {
            // Instants of different nodes cannot be compared: no two clocks show the same.
            clocks.append(NodeClock(origin: Instant(nanoseconds: 1 + self.random.next(below: 1 << 50))))
        }
    }

    /// Whether links follow the membership; otherwise everybody is connected to everybody.
    var changesMembers: Bool { plan.changesMembers }

    /// Whether the node keeps no data, wherever it is a member.
    func isWitness(_ number: Int) -> Bool { witnesses.contains(number) }

    func isLinked(_ one: Int, _ other: Int) -> Bool { !changesMembers || links[one].contains(other) }

    /// What was under way on the connection that is made or ends is lost.
    func setLinked(_ one: Int, _ other: Int, _ areLinked: Bool) {
        for (from, to) in [(one, other), (other, one)] {
            if areLinked { links[from].insert(to) } else { links[from].remove(to) }
            network.reset(from: from, to: to)
        }
    }

    /// What the clock of a node shows.
    func now(of node: Int) -> Instant { clocks[node].shown(at: now) }

    /// Microseconds since the run's start, rounded up.
    var elapsedMicroseconds: UInt64 { ((now - World.start).nanoseconds + 999) / 1_000 }

    /// Fails the run after the present step. The first failure counts.
    func note(_ failure: SimulationFailure) {
        if noted == nil { noted = failure }
    }

    /// The process that a peer reaches under a node's name, and hears of it; zero: none.
    func session(of node: Int, for peer: Int) -> UInt64 {
        heldBySecond[node].contains(peer) ? secondSessions[node] : sessions[node]
    }

    func observe(_ observation: Observation, _ node: Int) {
        faults.note(observation, at: elapsedMicroseconds, node: node, leader: leader)
    }

    // MARK: Scheduling

    func add(_ event: SimulationEvent, afterMicroseconds microseconds: UInt64) {
        queue.add(event, at: now + Interval(nanoseconds: microseconds * 1_000))
    }

    func send<Machine>(_ message: SimulatedMessage, from sender: SimulatedNode<Machine>, to: Int) {
        let from = sender.number
        guard to >= 0, to < nodeCount, to != from, isLinked(from, to) else { return }
        let arrivals = network.route(from: from, to: to, now: now, &random) { message.approximateSizeBytes }
        guard let first = arrivals.first else { return }
        let event = SimulationEvent.deliver(
            from: from, to: to, epoch: network.epoch(from: from, to: to), session: sender.session,
            receiver: session(of: to, for: from), message)
        queue.add(event, at: first)
        if let second = arrivals.second { queue.add(event, at: second) }
    }

    func scheduleTurn(_ node: Int, session: UInt64) {
        queue.add(.turn(node, session: session), at: now + .microseconds(Int(plan.turnMicroseconds)))
    }

    func scheduleSync(_ node: Int, session: UInt64) {
        let duration = Interval.microseconds(
            Int(50 + random.next(below: plan.maximumSyncMicroseconds)))
        queue.add(.syncDone(node, session: session), at: max(now, syncStalledUntil[node]) + duration)
    }

    /// Answers when the node's snapshot thread, which does one thing after the other, is done with this.
    func scheduleSnapshotTask(
        _ task: SnapshotTask, _ node: Int, session: UInt64, busyUntil: Instant
    ) -> Instant {
        let done =
            max(busyUntil, now, syncStalledUntil[node])
            + .microseconds(Int(100 + random.next(below: 3_000)))
        queue.add(.snapshotTask(task, node, session: session), at: done)
        return done
    }
}

extension SimulatedMessage {
    var approximateSizeBytes: Int {
        switch self {
        case .raft(let message):
            switch message.body {
            case .append(let append): append.entries.reduce(64) { $0 + $1.approximateSizeBytes }
            case .snapshotChunk(let chunk): 96 + chunk.bytes.count
            case .propose(let proposals): proposals.reduce(48) { $0 + 32 + $1.payload.count }
            default: 64
            }
        case .aside(_, let bytes): 32 + bytes.count
        case .repair(let message): RepairMessageCoding.encode(message).count
        }
    }
}
