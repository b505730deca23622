import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// One run: owns the nodes, their disks, the world and the service, and takes one step after the other.
final class SimulationRun<Service: SimulatedService> {
    typealias Node = SimulatedNode<Service.Machine>

    let settings: SimulationSettings
    let world: World
    let service: Service
    var nodes: [Node?]
    var disks: [SimulatedFileSystem]

    private var lastSession: UInt64 = 0
    private var trace = TraceHash()
    private(set) var eventCount = 0
    private var timeline = Timeline()
    /// Faults that last, by number; `nil` where they are over.
    var activeFaults: [Fault?] = []
    /// Whether a node's disk may fail at the moment, so that its stopping is no fault of its own.
    var hasDiskFault: [Bool]
    /// When each node that is down starts again.
    var restartTimes: [Instant]
    /// Requests under way to nodes, by number.
    private var requests: [UInt64: (Service.Machine) -> Void] = [:]
    private var lastRequest: UInt64 = 0
    private(set) var isEnding = false

    init(_ settings: SimulationSettings, makeService: (SimulationSettings, FaultPlan) -> Service) {
        self.settings = settings
        var random = SeededRandom(seed: settings.seed)
        let swarm = FaultPlan.swarm(&random)
        let plan = settings.plan ?? swarm
        world = World(settings, plan: plan, random: random)
        service = makeService(settings, plan)
        nodes = Array(repeating: nil, count: settings.nodeCount)
        restartTimes = Array(repeating: .zero, count: settings.nodeCount)
        hasDiskFault = Array(repeating: false, count: settings.nodeCount)
        let diskSeed = world.random.next()
        disks = (0..<settings.nodeCount).map { SimulatedFileSystem(seed: diskSeed &+ UInt64($0)) }
    }

    // MARK: Phases

    func run() throws(SimulationFailure) {
        for number in nodes.indices {
            try start(number)
        }
        service.begin(in: self)
        while eventCount < settings.stepCount {
            try step()
        }
        try recover()
        try service.checkEnd(in: self)
        if let noted = world.noted { throw noted }
    }

    /// The faults stop. The cluster must serve every client again, and its nodes must become equal.
    private func recover() throws(SimulationFailure) {
        try endAllFaults()
        isEnding = true
        service.endingBegins(in: self)
        let deadline = world.now + .milliseconds(settings.recoveryTimeMilliseconds)
        // A storm of messages would keep the time from passing.
        let lastEvent = eventCount + settings.maximumRecoveryEvents
        while !hasRecovered {
            guard world.now < deadline, eventCount < lastEvent else {
                throw SimulationFailure(
                    "progress",
                    "no recovery by \(world.now) after \(eventCount) events: \(describeNodes())")
            }
            try step()
        }
    }

    private var hasRecovered: Bool {
        guard service.hasEnded, let first = nodes[0] else { return false }
        let applied = first.replica.appliedIndex
        var hasLeader = false
        for node in nodes {
            guard let node, node.replica.appliedIndex == applied, node.replica.core.lastIndex == applied
            else { return false }
            if node.replica.core.role == .leader { hasLeader = true }
        }
        return hasLeader
    }

    private func describeNodes() -> String {
        nodes.map { node in
            guard let node else { return "down" }
            let core = node.replica.core
            return "\(node.backlog == nil ? "" : "paused ")\(core.role) term \(core.term) "
                + "log \(core.lastPosition) commit \(core.commitIndex) "
                + "applied \(node.replica.appliedIndex) \(core.status.members)"
        }.joined(separator: "; ") + "; " + service.description
    }

    // MARK: Steps

    private func step() throws(SimulationFailure) {
        guard let next = world.queue.nextTime else {
            throw SimulationFailure("progress", "nothing is left to happen")
        }
        let faultMicroseconds = world.faults.nextMicroseconds
        if faultMicroseconds != .max {
            let time = World.start + Interval(nanoseconds: faultMicroseconds * 1_000)
            if time <= next {
                world.now = max(world.now, time)
                eventCount += 1
                try inject(world.faults.next(leader: world.leader))
                if let noted = world.noted { throw noted }
                return
            }
        }
        guard let (time, event) = world.queue.removeFirst() else { return }
        world.now = max(world.now, time)
        eventCount += 1
        let (kind, detail) = event.trace
        trace.combine(world.now.nanoseconds)
        trace.combine(kind << 56 ^ detail)
        timeline.add(world.now, .event(event))
        try handle(event)
        if let noted = world.noted { throw noted }
    }

    private func inject(_ fault: Fault) throws(SimulationFailure) {
        trace.combine(world.now.nanoseconds)
        trace.combine(fault.amount ^ UInt64(fault.nodes.bits) << 48 ^ UInt64(fault.peers.bits) << 56)
        timeline.add(world.now, .fault(fault))
        world.counts.note(fault.kind)
        try begin(fault)
    }

    private func handle(_ event: SimulationEvent) throws(SimulationFailure) {
        guard let number = event.node else {
            switch event {
            case .client(let client): service.act(client, in: self)
            case .restart(let number): try restart(number)
            case .faultEnds(let number): try endFault(number)
            default: break
            }
            return
        }
        guard let node = nodes[number] else { return }
        if node.backlog != nil {
            node.backlog!.append(event)
            return
        }
        switch event {
        case .deliver(let from, let to, let epoch, let message):
            guard epoch == world.network.epoch(from: from, to: to) else { return }
            node.deliver(message)
        case .turn(_, let session):
            guard session == node.session else { return }
            node.runTurn()
        case .timer(_, let session):
            guard session == node.session else { return }
            node.reachDeadline()
        case .syncDone(_, let session):
            guard session == node.session else { return }
            guard try finishSync(of: node) else { return }
        case .snapshotTask(let task, _, let session):
            guard session == node.session else { return }
            node.run(task)
        case .peerStopped(_, let about):
            node.replica.peerDisconnected(NodeNumber.id(about), now: world.now(of: number))
            node.replica.peerStopped(NodeNumber.id(about), now: world.now(of: number))
        case .peerConnected(_, let about):
            node.replica.peerConnected(NodeNumber.id(about), now: world.now(of: number))
        case .peerDisconnected(_, let about):
            node.replica.peerDisconnected(NodeNumber.id(about), now: world.now(of: number))
        case .call(_, let session, let request):
            guard let body = requests.removeValue(forKey: request), session == node.session else { return }
            body(node.machine)
        case .client, .restart, .faultEnds:
            break
        }
        if disks[number].isCrashed { return crashed(number) }
        try check(node)
    }

    /// Looks at what became of a node that did something.
    func check(_ node: Node) throws(SimulationFailure) {
        try world.checker.check(node.number, node.replica.core, world)
        while let entry = world.checker.takeCommitted() {
            try service.noteCommitted(entry, in: self)
        }
        try service.check(node, in: self)
    }

    /// `false`: the disk failed, and the node stopped.
    private func finishSync(of node: Node) throws(SimulationFailure) -> Bool {
        do throws(WriteAheadLogError) {
            try node.finishSync()
            return true
        } catch {
            if disks[node.number].isCrashed {
                crashed(node.number)
            } else if !diskFailed(node.number, error) {
                throw SimulationFailure("log", "node \(node.number): \(error)")
            }
            return false
        }
    }

    // MARK: Nodes

    func start(_ number: Int) throws(SimulationFailure) {
        lastSession += 1
        let node: Node
        do throws(NodeError) {
            node = try Node(
                number: number, disk: disks[number], session: lastSession, service: service, world: world)
        } catch {
            // It died, or ran out of space, within its recovery, and tries again.
            if recoveryWasInterrupted(number) { return }
            throw SimulationFailure("recovery", "node \(number) does not start: \(error)")
        }
        nodes[number] = node
        try world.checker.noteRestart(number, core: node.replica.core)
        service.nodeStarted(number, in: self)
        node.scheduleTurn()
        connectPeers(of: number)
        world.observe(.started, number)
    }

    func connectPeers(of number: Int) {
        for other in nodes.indices where other != number && nodes[other] != nil {
            world.add(
                .peerConnected(number, about: other),
                afterMicroseconds: 100 + world.random.next(below: 1_000))
            world.add(
                .peerConnected(other, about: number),
                afterMicroseconds: 100 + world.random.next(below: 1_000))
        }
    }

    // MARK: For services

    func isPaused(_ number: Int) -> Bool { nodes[number]?.backlog != nil }

    /// Calls ``SimulatedService/act(_:in:)`` for the client after this time.
    func wakeClient(_ client: Int, afterMicroseconds microseconds: UInt64) {
        world.add(.client(client), afterMicroseconds: microseconds)
    }

    /// Gives a request to a node, which handles it as soon as it runs: not while it is paused, and never if
    /// it dies before. `false`: the node is down, nothing was done.
    func call(_ number: Int, _ request: @escaping (Service.Machine) -> Void) -> Bool {
        guard let node = nodes[number] else { return false }
        lastRequest += 1
        requests[lastRequest] = request
        world.add(.call(number, session: node.session, request: lastRequest), afterMicroseconds: 0)
        return true
    }

    // MARK: Reporting

    func outcome(_ failure: SimulationFailure?) -> SimulationOutcome {
        var faults = world.counts
        faults.lostMessages = world.network.lostMessages
        faults.duplicatedMessages = world.network.duplicatedMessages
        faults.reorderedMessages = world.network.reorderedMessages
        let counts = service.counts
        return SimulationOutcome(
            failure: failure, traceHash: trace.value, eventCount: eventCount,
            simulatedTime: world.now - World.start, faults: faults,
            injectedFaults: FaultList(world.faults.handedOut),
            committedEntryCount: world.checker.committed.count,
            acknowledgedWriteCount: counts.acknowledgedWrites, unknownWriteCount: counts.unknownWrites,
            readCount: counts.reads, watchEventCount: counts.watchEvents,
            expiredLeaseCount: counts.leasesExpired,
            highestTerm: world.checker.committed.last?.term ?? .zero,
            lastEvents: failure == nil ? [] : timeline.lines)
    }
}
