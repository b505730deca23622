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

    /// Processes that run with a copy of a node's directory.
    var seconds: [Second?]
    /// Those that have ended: what they said counts no more.
    var endedSeconds = Set<UInt64>()
    private var lastSession: UInt64 = 0
    private var trace = TraceHash()
    private(set) var eventCount = 0
    var timeline = Timeline()
    /// Faults that last, by number; `nil` where they are over.
    var activeFaults: [Fault?] = []
    /// What disks were when a fault began that will put them back, by the fault's number.
    var oldDisks: [Int: SimulatedFileSystem] = [:]
    /// Whether something on a node's disk was damaged in this run.
    var mayBeDamaged: [Bool]
    /// Whether a node may have forgotten in this run what it remembered of others.
    var mayHaveForgotten: [Bool]
    /// Whether the node's log was damaged since the node started.
    var hasDamagedLog: [Bool]
    /// Whether syncs of the node have lied since it started.
    var hasLied: [Bool]
    /// Whether the node lost its power when it stopped.
    var hasLostPower: [Bool]
    /// Whether a write to the node's disk may have been lost or misdirected since the node started.
    var hasLostWrite: [Bool]
    /// Whether a node's disk was put back to an older state in this run.
    var wasPutBack: [Bool]
    /// Whether a node's disk may fail at the moment, so that its stopping is no fault of its own.
    var hasDiskFault: [Bool]
    /// When each node that is down starts again.
    var restartTimes: [Instant]
    /// Requests under way to nodes, by number.
    private var requests: [UInt64: (Service.Machine) -> Void] = [:]
    private var lastRequest: UInt64 = 0
    /// What operators do at nodes, by number.
    var operations: [UInt64: (Node) -> Void] = [:]
    var lastOperation: UInt64 = 0
    /// Nodes whose processes end when the present step is over.
    var endingNodes = NodeSet()
    var places: [NodePlace]
    /// Whether the node's disk was emptied because it was to join anew.
    var wasRemade: [Bool]
    /// Whether the node's disk was empty when it last started, and it does not take part yet.
    var lacksPast: [Bool]
    /// Whether the node was a member, and left. Peers that were away may know that life of it, and say so when it has
    /// long joined anew: then it must be adopted.
    var hadAnotherLife: [Bool]
    /// Whether the node may be a voter although it has never taken part since its disk was empty.
    var isDirectVoter: [Bool]
    /// The node that was last asked for a change, until it answers.
    var changing: (number: Int, session: UInt64)?
    /// The knocks that are on their way, by the node that knocks.
    var knocks: [NodeSet]
    var members = MembershipChecker()
    private(set) var isEnding = false
    private var rarePaths = RarePathSet()

    init(_ settings: SimulationSettings, makeService: (SimulationSettings, FaultPlan) -> Service) {
        self.settings = settings
        var random = SeededRandom(seed: settings.seed)
        var swarm = FaultPlan.swarm(&random)
        if settings.changesMembers { swarm.addMemberChanges(&random) }
        let plan = settings.plan ?? swarm
        world = World(settings, plan: plan, random: random)
        service = makeService(settings, plan)
        nodes = Array(repeating: nil, count: settings.nodeCount)
        restartTimes = Array(repeating: .zero, count: settings.nodeCount)
        mayBeDamaged = Array(repeating: false, count: settings.nodeCount)
        mayHaveForgotten = mayBeDamaged
        hasDamagedLog = mayBeDamaged
        hasLied = mayBeDamaged
        hasLostPower = mayBeDamaged
        seconds = Array(repeating: nil, count: settings.nodeCount)
        wasPutBack = Array(repeating: false, count: settings.nodeCount)
        hasLostWrite = Array(repeating: false, count: settings.nodeCount)
        hasDiskFault = Array(repeating: false, count: settings.nodeCount)
        let voterCount = settings.voterCount ?? settings.nodeCount
        places = (0..<settings.nodeCount).map { $0 < voterCount ? .running : .absent }
        wasRemade = mayBeDamaged
        lacksPast = mayBeDamaged
        isDirectVoter = mayBeDamaged
        hadAnotherLife = mayBeDamaged
        knocks = Array(repeating: NodeSet(), count: settings.nodeCount)
        let diskSeed = world.random.next()
        disks = (0..<settings.nodeCount).map { SimulatedFileSystem(seed: diskSeed &+ UInt64($0)) }
    }

    // MARK: Phases

    func run() throws(SimulationFailure) {
        for number in nodes.indices where places[number] != .absent {
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
        if !world.plan.lasting.isEmpty { try makeProgressUnderLastingFaults() }
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

    /// Some links stay broken, and a quorum is connected all the same: writes must be committed within the
    /// bound.
    private func makeProgressUnderLastingFaults() throws(SimulationFailure) {
        for fault in world.plan.lasting { try begin(fault) }
        let wanted = world.checker.committed.count + SimulationRun.entriesUnderLastingFaults
        let deadline = world.now + .milliseconds(settings.recoveryTimeMilliseconds)
        let lastEvent = eventCount + settings.maximumRecoveryEvents
        while world.checker.committed.count < wanted {
            guard world.now < deadline, eventCount < lastEvent else {
                throw SimulationFailure(
                    "progress under lasting faults",
                    "nothing is committed by \(world.now) after \(eventCount) events: \(describeNodes())")
            }
            try step()
        }
        try endAllFaults()
    }

    private static var entriesUnderLastingFaults: Int { 20 }

    private var hasRecovered: Bool {
        if world.changesMembers { return service.hasEnded(in: self) && haveMembersRecovered }
        guard service.hasEnded(in: self), let first = nodes[0], first.replica != nil else { return false }
        let applied = first.replica.appliedIndex
        var hasLeader = false
        for node in nodes {
            guard let node, node.replica != nil, node.replica.appliedIndex == applied,
                node.replica.core.lastIndex == applied
            else { return false }
            if node.replica.core.role == .leader { hasLeader = true }
        }
        return hasLeader
    }

    private func describeNodes() -> String {
        nodes.indices.map { number in
            guard let node = nodes[number] else { return "\(places[number]) down" }
            guard node.replica != nil else { return node.admission.progress }
            let core = node.replica.core
            return "\(node.backlog == nil ? "" : "paused ")\(core.role) term \(core.term) "
                + "log \(core.lastPosition) commit \(core.commitIndex) "
                + "applied \(node.replica.appliedIndex)\(memberText(core)) \(core.status.members)"
        }.joined(separator: "; ")
            + (world.changesMembers ? "; \(world.membership.text)" : "") + "; " + service.description
    }

    private func memberText(_ core: borrowing RaftCore) -> String {
        world.changesMembers ? " \(core.membership.text)" : ""
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
        members.noteFault()
        try begin(fault)
    }

    private func handle(_ event: SimulationEvent) throws(SimulationFailure) {
        guard let number = event.node else {
            switch event {
            case .client(let client): service.act(client, in: self)
            case .restart(let number): try restart(number)
            case .faultEnds(let number): try endFault(number)
            case .knock(let number, let other): knock(number, at: other)
            default: break
            }
            return
        }
        if let second = seconds[number], event.session == second.node.session {
            return handleSecond(second, event)
        }
        guard let node = nodes[number] else { return }
        if node.backlog != nil {
            node.backlog!.append(event)
            return
        }
        switch event {
        case .deliver(let from, let to, let epoch, let session, let receiver, let message):
            guard epoch == world.network.epoch(from: from, to: to) else { return }
            guard isConnected(node, to: from, session: session, receiver: receiver, message) else { return }
            node.deliver(message, from: from)
        case .turn(_, let session):
            guard session == node.session else { return }
            node.runTurn()
        case .timer(_, let session, let timerNumber):
            guard session == node.session else { return }
            node.reachDeadline(timerNumber)
        case .syncDone(_, let session):
            guard session == node.session else { return }
            guard try finishSync(of: node) else { return }
        case .lookForRoom(_, let session):
            guard session == node.session else { return }
            guard try findRoom(number) else { return }
        case .snapshotTask(let task, _, let session):
            guard session == node.session else { return }
            node.run(task)
        case .peerStopped(_, let about):
            node.peerDisconnected(about, hasStopped: true)
        case .peerConnected(_, let about):
            let session = world.session(of: about, for: number)
            guard session != 0, world.isLinked(node.number, about) else { return }
            node.peerConnected(about, session: session)
        case .peerDisconnected(_, let about):
            node.peerDisconnected(about, hasStopped: false)
        case .call(_, let session, let request):
            guard let body = requests.removeValue(forKey: request), session == node.session,
                let machine = node.machine
            else { return }
            body(machine)
        case .operate(_, let session, let operation):
            guard let body = operations.removeValue(forKey: operation), session == node.session else {
                return
            }
            body(node)
        case .client, .restart, .faultEnds, .knock:
            break
        }
        node.endEvent()
        if disks[number].isCrashed { return crashed(number) }
        if let ending = node.ending { return try ended(number, ending) }
        if node.replica != nil { try check(node) }
        if endingNodes.contains(number) {
            endingNodes.remove(number)
            stop(number, losesPower: false)
        }
        if world.changesMembers { try members.checkTransfer(world) }
        if !world.plan.demands.isEmpty { try members.checkDemands(world) }
    }

    /// Whether the message comes over a connection that stands: from the process that the sender is, or was
    /// until the receiver hears of its end. Messages of the protocol may be older where the plan says so.
    func isConnected(
        _ node: Node, to from: Int, session: UInt64, receiver: UInt64, _ message: SimulatedMessage
    ) -> Bool {
        guard endedSeconds.isEmpty || !endedSeconds.contains(session) else { return false }
        if case .repair(.introduction) = message { node.introducers[from] = session }
        if seconds[from] != nil {
            // As in production: a new connection takes the place of the one before, and begins with an
            // introduction.
            guard receiver == node.session, session == world.session(of: from, for: node.number),
                session == node.introducers[from]
            else { return false }
            if session != node.peerSessions[from] { node.peerConnected(from, session: session) }
            return true
        }
        if case .raft = message, world.plan.hasStaleMessages { return true }
        guard receiver == node.session, session >= node.peerSessions[from] else { return false }
        if world.changesMembers {
            guard world.isLinked(from, node.number) else { return false }
            if !node.connected.contains(from) { node.peerConnected(from, session: session) }
        }
        // Whatever comes over a new connection comes after the news of it.
        if session > node.peerSessions[from] { node.peerConnected(from, session: session) }
        return true
    }

    /// Looks at what became of a node that did something.
    func check(_ node: Node) throws(SimulationFailure) {
        try world.checker.check(node.number, node.replica.core, world)
        if world.changesMembers { try members.check(node, nodes, places, world) }
        if world.plan.keepsLeader { try members.checkLeaderIsKept(world) }
        while let entry = world.checker.takeCommitted() {
            if world.changesMembers, entry.kind == .membership { try noteMembership(entry) }
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

    /// Opens a node's directory, on its disk or on a copy of it.
    func makeNode(_ number: Int, on disk: SimulatedFileSystem) throws(NodeError) -> Node {
        lastSession += 1
        return try Node(number: number, disk: disk, session: lastSession, service: service, world: world)
    }

    func start(_ number: Int) throws(SimulationFailure) {
        hasLostPower[number] = false
        letSyncsLie(number)
        let node: Node
        do throws(NodeError) {
            node = try makeNode(number, on: disks[number])
        } catch {
            timeline.add(world.now, .note("node \(number) does not start: \(error)"))
            // It died, or ran out of space, within its recovery, and tries again.
            if recoveryWasInterrupted(number) { return }
            throw SimulationFailure("recovery", "node \(number) does not start: \(error)")
        }
        nodes[number] = node
        world.sessions[number] = node.session
        var lastReport: Substring = ""
        node.onReport = { [unowned self] text in
            // What is waited for is said again and again, and who answered what behind it.
            let beginning = text.prefix { $0 != "(" }
            guard beginning != lastReport else { return }
            lastReport = beginning
            timeline.add(world.now, .note("node \(number): \(text)"))
        }
        node.onAdmitted = { [unowned self, unowned node] in admitted(node) }
        node.start()
        node.endEvent()
        if disks[number].isCrashed { return crashed(number) }
        if let ending = node.ending { return try ended(number, ending) }
        connectPeers(of: number)
        node.onLinksChanged = { [unowned self] in updateLinks(of: number) }
        if let noted = world.noted { throw noted }
    }

    /// The node takes part from now on.
    private func admitted(_ node: Node) {
        do throws(SimulationFailure) {
            try world.checker.noteRestart(
                node.number, core: node.replica.core,
                hasForgotten: wasPutBack[node.number] || wasRemade[node.number]
                    || node.admission.rarePaths.contains(.adoptedByLeader))
        } catch {
            world.note(error)
        }
        wasRemade[node.number] = false
        lacksPast[node.number] = false
        isDirectVoter[node.number] = false
        service.nodeStarted(node.number, in: self)
        world.observe(.started, node.number)
    }

    func connectPeers(of number: Int) {
        if world.changesMembers { return reconnectPeers(of: number) }
        for other in nodes.indices where other != number && nodes[other] != nil {
            world.add(
                .peerConnected(number, about: other),
                afterMicroseconds: 100 + world.random.next(below: 1_000))
            world.add(
                .peerConnected(other, about: number),
                afterMicroseconds: 100 + world.random.next(below: 1_000))
        }
    }

    /// Keeps what is known of a node's rare paths before it goes.
    func noteRarePaths(of node: Node) {
        rarePaths.formUnion(node.admission.rarePaths)
        guard node.replica != nil else { return }
        rarePaths.formUnion(node.replica.rarePaths)
        rarePaths.formUnion(service.rarePaths(of: node.machine))
        if node.hasRemovedTail { rarePaths.insert(.tornTailRemoved) }
    }

    // MARK: For services

    /// Whether the node takes requests.
    func isUp(_ number: Int) -> Bool { nodes[number]?.machine != nil }

    /// Whether clients can ask the node: it is up, and no witness.
    func takesRequests(_ number: Int) -> Bool { isUp(number) && !world.isWitness(number) }

    /// Whether the node serves when nothing is wrong any more: only members do.
    func mustServe(_ number: Int) -> Bool {
        !world.changesMembers || world.membership.isMember(NodeNumber.id(number))
    }

    func isPaused(_ number: Int) -> Bool { nodes[number]?.backlog != nil }

    /// Calls ``SimulatedService/act(_:in:)`` for the client after this time.
    func wakeClient(_ client: Int, afterMicroseconds microseconds: UInt64) {
        world.add(.client(client), afterMicroseconds: microseconds)
    }

    /// Gives a request to a node, which handles it as soon as it runs: not while it is paused, and never if
    /// it dies before. `false`: the node is down, nothing was done.
    func call(_ number: Int, _ request: @escaping (Service.Machine) -> Void) -> Bool {
        guard let node = nodes[number], node.replica != nil else { return false }
        lastRequest += 1
        requests[lastRequest] = request
        world.add(.call(number, session: node.session, request: lastRequest), afterMicroseconds: 0)
        return true
    }

    // MARK: Reporting

    func outcome(_ failure: SimulationFailure?) -> SimulationOutcome {
        var faults = world.counts
        for case let node? in nodes { noteRarePaths(of: node) }
        for case let second? in seconds { noteRarePaths(of: second.node) }
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
            undecidedHistoryCount: counts.undecidedHistories, rarePaths: rarePaths,
            memberships: members.counts, highestTerm: world.checker.committed.last?.term ?? .zero,
            lastEvents: failure == nil ? [] : timeline.lines)
    }
}
