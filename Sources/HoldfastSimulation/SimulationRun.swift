import ConsensusTypes
import KeyValueCore
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// One run: owns the nodes, their disks, the network, the clients and the checks.
final class SimulationRun: SimulatedWorld {
    /// How many events are remembered for a failure's report.
    private static let rememberedEventCount = 60

    private static let maximumRecoveryEvents = 500_000

    let settings: SimulationSettings
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    var random: SeededRandom
    var plan: FaultPlan
    private(set) var counts = FaultCounts()
    private(set) var network: SimulatedNetwork
    private(set) var nodes: [SimulatedNode?]
    private var disks: [SimulatedFileSystem]
    private var checker: SafetyChecker
    var workload: Workload

    private var queue = EventQueue<SimulationEvent>()
    private var lastSession: UInt64 = 0
    private var trace = TraceHash()
    private(set) var eventCount = 0
    private var remembered: [(Instant, SimulationEvent)] = []
    private var rememberedNext = 0
    /// Set by something that cannot throw.
    var noted: SimulationFailure?

    init(_ settings: SimulationSettings) {
        self.settings = settings
        random = SeededRandom(seed: settings.seed)
        plan = settings.plan ?? FaultPlan.swarm(&random)
        network = SimulatedNetwork(nodeCount: settings.nodeCount)
        nodes = Array(repeating: nil, count: settings.nodeCount)
        let diskSeed = random.next()
        disks = (0..<settings.nodeCount).map { SimulatedFileSystem(seed: diskSeed &+ UInt64($0)) }
        checker = SafetyChecker(nodeCount: settings.nodeCount)
        workload = Workload(clientCount: settings.clientCount, nodeCount: settings.nodeCount)
    }

    // MARK: Phases

    func run() throws(SimulationFailure) {
        for number in nodes.indices {
            try start(number)
        }
        for client in 0..<settings.clientCount {
            add(.client(client), afterMicroseconds: random.next(below: 100_000))
        }
        if plan.crashIntervalMilliseconds > 0 { addLater(.crash, plan.crashIntervalMilliseconds) }
        if plan.partitionIntervalMilliseconds > 0 { addLater(.partition, plan.partitionIntervalMilliseconds) }
        while eventCount < settings.stepCount {
            try step()
        }
        try recover()
        try workload.checkEnd(committed: checker, nodes: nodes.compactMap(\.self))
    }

    /// The faults stop. The cluster must serve every client again, and its nodes must become equal.
    private func recover() throws(SimulationFailure) {
        plan = .none
        network.heal()
        for number in nodes.indices where nodes[number] == nil {
            try start(number)
        }
        for number in nodes.indices {
            connectPeers(of: number)
        }
        workload.isEnding = true
        let deadline = now + .milliseconds(settings.recoveryTimeMilliseconds)
        // A storm of messages would keep the time from passing.
        let lastEvent = eventCount + SimulationRun.maximumRecoveryEvents
        while !hasRecovered {
            guard now < deadline, eventCount < lastEvent else {
                throw SimulationFailure(
                    "progress", "no recovery by \(now) after \(eventCount) events: \(describeNodes())")
            }
            try step()
        }
    }

    private var hasRecovered: Bool {
        guard workload.isIdle, workload.hasFinalWrites else { return false }
        let running = nodes.compactMap(\.self)
        guard running.count == nodes.count, running.contains(where: { $0.core.role == .leader }) else {
            return false
        }
        let applied = running[0].replica.appliedIndex
        return running.allSatisfy { $0.replica.appliedIndex == applied && $0.core.lastIndex == applied }
    }

    private func describeNodes() -> String {
        nodes.map { node in
            guard let node else { return "down" }
            return "\(node.core.role) term \(node.core.term) log \(node.core.lastPosition) commit "
                + "\(node.core.commitIndex) applied \(node.replica.appliedIndex) \(node.core.status.members)"
        }.joined(separator: "; ") + "; " + workload.description
    }

    // MARK: Steps

    private func step() throws(SimulationFailure) {
        guard let (time, event) = queue.removeFirst() else {
            throw SimulationFailure("progress", "nothing is left to happen")
        }
        now = max(now, time)
        eventCount += 1
        let (kind, detail) = event.trace
        trace.combine(now.nanoseconds)
        trace.combine(kind << 56 ^ detail)
        remember(event)
        try handle(event)
        if let noted { throw noted }
    }

    private func handle(_ event: SimulationEvent) throws(SimulationFailure) {
        switch event {
        case .deliver(let to, let message):
            try withNode(to) { (node) throws(SimulationFailure) in node.deliver(message) }
        case .turn(let number, let session):
            try withNode(number, session) { (node) throws(SimulationFailure) in
                node.runTurn()
                setTimer(of: node)
            }
        case .timer(let number, let session):
            try withNode(number, session) { (node) throws(SimulationFailure) in
                node.timer = .distantFuture
                // As in production: what a deadline brings about ends in a turn, which sets the next timer.
                if node.replica.nextDeadline <= now {
                    node.replica.advance(now: now)
                } else {
                    setTimer(of: node)
                }
            }
        case .syncDone(let number, let session):
            try withNode(number, session) { (node) throws(SimulationFailure) in
                do throws(WriteAheadLogError) {
                    try node.finishSync()
                } catch {
                    throw SimulationFailure("log", "node \(number): \(error)")
                }
            }
        case .snapshotTask(let task, let number, let session):
            try withNode(number, session) { (node) throws(SimulationFailure) in node.run(task) }
        case .peerStopped(let number, let about):
            try withNode(number) { (node) throws(SimulationFailure) in
                node.replica.peerDisconnected(SimulatedNode.nodeID(about), now: now)
                node.replica.peerStopped(SimulatedNode.nodeID(about), now: now)
            }
        case .peerConnected(let number, let about):
            try withNode(number) { (node) throws(SimulationFailure) in
                node.replica.peerConnected(SimulatedNode.nodeID(about), now: now)
            }
        case .client(let client):
            workload.act(client, in: self)
        case .restart(let number):
            if nodes[number] == nil { try start(number) }
        case .crash:
            injectCrash()
        case .partition:
            guard plan.partitionIntervalMilliseconds > 0 else { return }
            network.partition(isOneWay: plan.hasOneWayPartitions && random.chance(1, outOf: 2), &random)
            addLater(.heal, 2_000)
        case .heal:
            network.heal()
            if plan.partitionIntervalMilliseconds > 0 {
                addLater(.partition, plan.partitionIntervalMilliseconds)
            }
        }
    }

    /// Lets a node that is up do something, then looks at what became of it.
    private func withNode(
        _ number: Int, _ session: UInt64? = nil,
        _ body: (SimulatedNode) throws(SimulationFailure) -> Void
    ) throws(SimulationFailure) {
        guard let node = nodes[number], session == nil || session == node.session else { return }
        try body(node)
        try checker.check(number, core: node.core)
    }

    private func setTimer(of node: SimulatedNode) {
        let deadline = node.replica.nextDeadline
        guard deadline < node.timer else { return }
        node.timer = deadline
        queue.add(.timer(node.number, session: node.session), at: max(deadline, now))
    }

    // MARK: Nodes

    private func start(_ number: Int) throws(SimulationFailure) {
        lastSession += 1
        do throws(NodeError) {
            let node = try SimulatedNode(
                number: number, nodeCount: settings.nodeCount, disk: disks[number], session: lastSession,
                seed: random.next(), world: self)
            nodes[number] = node
        } catch {
            throw SimulationFailure("recovery", "node \(number) does not start: \(error)")
        }
        let node = nodes[number]!
        try checker.noteRestart(number, core: node.core)
        workload.noteStart(node, in: self)
        node.scheduleTurn()
        connectPeers(of: number)
    }

    private func connectPeers(of number: Int) {
        for other in nodes.indices where other != number && nodes[other] != nil {
            add(.peerConnected(number, about: other), afterMicroseconds: 100 + random.next(below: 1_000))
            add(.peerConnected(other, about: number), afterMicroseconds: 100 + random.next(below: 1_000))
        }
    }

    private func injectCrash() {
        guard plan.crashIntervalMilliseconds > 0 else { return }
        addLater(.crash, plan.crashIntervalMilliseconds)
        if plan.hasClusterCrashes, random.chance(1, outOf: 5) {
            counts.clusterCrashes += 1
            for number in nodes.indices {
                crash(number)
            }
        } else {
            crash(Int(random.next(below: UInt64(nodes.count))))
        }
    }

    private func crash(_ number: Int) {
        guard let node = nodes[number] else { return }
        counts.crashes += 1
        let disk = disks[number]
        if random.chance(1, outOf: 2) {
            // The process dies within one of the disk operations that it has begun.
            counts.tornWrites += 1
            let last = disk.operationCount + Int(random.next(below: 4))
            disk.setPlan { $0.number >= last ? .crash : .none }
            node.dieWriting()
            disk.setPlan(nil)
        }
        workload.noteCrash(number)
        node.group.onAnnouncement = nil
        nodes[number] = nil
        disk.restart(after: random.chance(1, outOf: 2) ? .power : .process)
        for other in nodes.indices where other != number && network.canReach(from: number, to: other) {
            add(.peerStopped(other, about: number), afterMicroseconds: 100 + random.next(below: 2_000))
        }
        add(.restart(number), afterMicroseconds: 1_000 + random.next(below: 3_000_000))
    }

    // MARK: SimulatedWorld

    func send(_ message: SimulatedMessage, from: Int) {
        let receiver: NodeID
        switch message {
        case .raft(let message):
            checker.noteSent(from, message)
            receiver = message.to
        case .aside(_, let to, _): receiver = to
        }
        let to = Int(receiver.rawValue) - 1
        for delay in network.delays(from: from, to: to, plan: plan, &random) {
            add(.deliver(to: to, message), afterMicroseconds: delay)
        }
    }

    func scheduleTurn(_ node: Int) {
        // During a node's making it is not there yet; its start asks for the first turn.
        guard let session = nodes[node]?.session else { return }
        add(.turn(node, session: session), afterMicroseconds: 5)
    }

    func scheduleSync(_ node: Int) {
        guard let session = nodes[node]?.session else { return }
        add(
            .syncDone(node, session: session),
            afterMicroseconds: 50 + random.next(below: plan.maximumSyncMicroseconds))
    }

    func scheduleSnapshotTask(_ task: SnapshotTask, _ node: Int) {
        guard let running = nodes[node] else { return }
        // One thread does them, in their order.
        running.snapshotThreadBusyUntil =
            max(running.snapshotThreadBusyUntil, now) + .microseconds(Int(100 + random.next(below: 3_000)))
        queue.add(
            .snapshotTask(task, node, session: running.session), at: running.snapshotThreadBusyUntil)
    }

    func add(_ event: SimulationEvent, afterMicroseconds microseconds: UInt64) {
        queue.add(event, at: now + .microseconds(Int(microseconds)))
    }

    private func addLater(_ event: SimulationEvent, _ meanMilliseconds: UInt64) {
        add(event, afterMicroseconds: 1_000 * (1 + random.next(below: 2 * meanMilliseconds)))
    }

    // MARK: Reporting

    private func remember(_ event: SimulationEvent) {
        if remembered.count < SimulationRun.rememberedEventCount {
            remembered.append((now, event))
        } else {
            remembered[rememberedNext] = (now, event)
            rememberedNext = (rememberedNext + 1) % remembered.count
        }
    }

    func outcome(_ failure: SimulationFailure?) -> SimulationOutcome {
        var faults = counts
        faults.lostMessages = network.counts.lostMessages
        faults.duplicatedMessages = network.counts.duplicatedMessages
        faults.reorderedMessages = network.counts.reorderedMessages
        faults.partitions = network.counts.partitions
        let inOrder = remembered[rememberedNext...] + remembered[..<rememberedNext]
        return SimulationOutcome(
            failure: failure, traceHash: trace.value, eventCount: eventCount,
            simulatedTime: now - Instant(nanoseconds: 1_000_000_000), faults: faults,
            committedEntryCount: checker.committed.count,
            acknowledgedWriteCount: workload.acknowledgedCount, unknownWriteCount: workload.unknownCount,
            readCount: workload.readCount, watchEventCount: workload.watchEventCount,
            highestTerm: checker.committed.last?.term ?? .zero,
            lastEvents: inOrder.map { "\($0.0) \($0.1.text)" })
    }
}
