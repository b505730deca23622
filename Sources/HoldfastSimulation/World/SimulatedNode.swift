import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// What a service needs to make the state machine of one node.
struct MachineContext {
    let number: Int
    let nodeID: NodeID
    let session: UInt64
    let seed: UInt64
    let environment: any ReplicaEnvironment
    /// The node's own monotonic clock.
    let clock: () -> Instant
    let world: WorldSettings
}

/// How a node's process ends by itself.
enum NodeEnding {
    /// It is to be started again.
    case restart(String)
    /// Another process runs with the same directory, or a copy of it.
    case copy(String)
    case failed(NodeError)
    case cannotRemember(DataDirectoryError)
    /// It is no member any more.
    case removed
}

/// One node: production's admission, replica, write-ahead log and snapshot files, on a simulated disk, with
/// the state machine of a service above.
///
/// A node that crashes loses this object and keeps its disk.
final class SimulatedNode<Machine: ReplicaMachine>: ReplicaEnvironment {
    let number: Int
    let session: UInt64
    let nodeID: NodeID
    /// `nil` until the node is admitted.
    private(set) var machine: Machine!
    /// `nil` until the node is admitted.
    var replica: Replica<Machine>!
    let admission: NodeAdmission
    let opened: OpenedNode
    /// Set when the process ends by itself.
    var ending: NodeEnding?
    /// Called when the machine and the replica are made.
    var onAdmitted: () -> Void = {}

    unowned let world: World
    let files: SnapshotFiles
    let makeRestorer: () -> any SnapshotRestorer
    private let makeMachine: (SimulatedNode, (any SnapshotRestorer)?) -> Machine
    private let attach: (Machine, Replica<Machine>) -> Void
    /// Told of more or less room on the disk.
    private let onSpace: (Machine, DiskSpace, Instant) -> Void
    var log: WriteAheadLog!
    /// Whether the log ended in a write that had not finished when the node started.
    private(set) var hasRemovedTail = false

    var lastSequence: UInt64 = 0
    private var writing: (batch: LogBatch, through: UInt64)?
    var isTurnScheduled = false
    let runsTurnsAtOnce: Bool
    private var space = LogSpace.ample
    private var isLookingForRoom = false
    var snapshotThreadBusyUntil = Instant.zero
    var memoryThreadBusyUntil = Instant.zero
    /// When the world will next call ``reachDeadline(_:)``, on the node's clock.
    private var timer = Instant.distantFuture
    /// The number of the timer that counts.
    private var lastTimer: UInt64 = 0
    /// Messages of peers that are being remembered.
    private var kept: [(peer: NodeID, message: RaftMessage)] = []
    var repairCheck: (any SnapshotRestorer)?
    /// What the admission says for people.
    var onReport: (String) -> Void = { _ in }
    private var isCarryingOut = false
    /// The start of each peer's process that this node is connected to, by the peer's number.
    var peerSessions: [UInt64]
    /// The start of each peer's process that introduced itself last.
    var introducers: [UInt64]
    /// Whether it runs with a copy of the node's directory, beside the node. What it says is checked by what it
    /// brings about: its peers must not listen to it.
    var isSecond = false

    let disk: SimulatedFileSystem
    /// Whom links are kept to.
    var known: KnownMembers
    /// What the directory says of the cluster.
    var record: ClusterRecord
    /// Whether the members changed in this turn.
    var areLinksOutdated = false
    /// Told that links are to be made or to end.
    var onLinksChanged: () -> Void = {}
    /// The peers that it is connected to, as far as it knows.
    var connected = NodeSet()
    /// When it looks whether it was removed.
    var removalDue = Instant.distantFuture
    var isReportedRemoved = false
    /// When a message of the protocol last came.
    var lastHeard = Instant.zero

    /// What waits for the process to be resumed, in order; `nil` while it runs.
    var backlog: [SimulationEvent]?

    /// More than this is not kept of peers that are being remembered.
    private static var maximumKeptMessages: Int { 1_000 }

    init<Service: SimulatedService>(
        number: Int, disk: SimulatedFileSystem, session: UInt64, service: Service, world: World
    ) throws(NodeError) where Service.Machine == Machine {
        self.number = number
        self.session = session
        self.world = world
        nodeID = NodeNumber.id(number)
        runsTurnsAtOnce = world.plan.turnMicroseconds == 0
        peerSessions = Array(repeating: 0, count: world.nodeCount)
        introducers = peerSessions
        makeRestorer = { [unowned service] in service.makeRestorer() }
        makeMachine = { [unowned service, unowned world] node, restored in
            let number = node.number
            return service.makeMachine(
                MachineContext(
                    number: number, nodeID: node.nodeID, session: node.session, seed: world.random.next(),
                    environment: node, clock: { [unowned world] in world.now(of: number) },
                    world: world.plan.world),
                restored: restored)
        }
        attach = { [unowned service] in service.attach($0, $1) }
        onSpace = { [unowned service] in service.spaceChanged($0, $1, now: $2) }
        self.disk = disk
        let cluster = try SimulatedNode.findCluster(number, disk, world)
        record = cluster.record
        opened = try OpenedNode(
            directory: "/node",
            identity: NodeIdentity(cluster: cluster.identity, node: nodeID, name: "node\(number)"),
            newDirectoryID: DirectoryID(world.random.next() | 1), membership: record.first,
            latest: record.latest, record: cluster.isNew ? record : nil, group: KeyValueNode.groupID,
            logOptions: WriteAheadLogOptions(segmentSizeBytes: world.plan.world.segmentSizeBytes),
            fileSystem: disk, makeRestorer: makeRestorer)
        let inForce = world.changesMembers ? opened.whole?.state.membership ?? record.latest : record.first
        known = KnownMembers(
            nodeID: nodeID, record: record, given: [], routes: [],
            patience: .milliseconds(2 * world.plan.world.electionTimeoutMilliseconds))
        known.changed(inForce)
        files = SnapshotFiles(store: opened.snapshots, group: KeyValueNode.groupID)
        var settings = AdmissionSettings()
        settings.maximumEntriesSizeBytes = world.plan.world.maximumAppendSizeBytes
        settings.snapshotChunkSizeBytes = world.plan.world.snapshotChunkSizeBytes
        admission = NodeAdmission(
            nodeID: nodeID, group: KeyValueNode.groupID, membership: inForce, first: record.first,
            directory: opened.directory.directoryID, startCount: opened.directory.startCount,
            incarnation: session, records: opened.memory.records, isMemoryTrusted: opened.memory.isTrusted,
            start: opened.start, settings: settings, now: world.now(of: number))
    }

    /// Begins to take part, or to ask for admission.
    func start() {
        for damage in opened.damages { onReport(damage) }
        if world.changesMembers { updateLinks() }
        if admission.isActive, let whole = opened.takeWhole() { run(whole) }
        carryOutAdmission()
        setTimer()
    }

    private func run(_ whole: WholeNode) {
        let now = world.now(of: number)
        let shape = world.plan.world
        var settings = ReplicaSettings()
        settings.snapshotEntryCount = shape.snapshotEntryCount
        settings.trailingEntryCount = shape.trailingEntryCount
        settings.raft.snapshotChunkSizeBytes = shape.snapshotChunkSizeBytes
        settings.raft.maximumAppendSizeBytes = shape.maximumAppendSizeBytes
        settings.raft.electionTimeoutMilliseconds = shape.electionTimeoutMilliseconds
        settings.raft.heartbeatIntervalMilliseconds = shape.heartbeatIntervalMilliseconds
        settings.raft.promisesLeases = shape.promisesLeases
        settings.raft.adaptsToRoundTrips = shape.adaptsToRoundTrips
        settings.raft.maximumClockDriftPartsPerMillion = shape.maximumClockDriftPartsPerMillion
        settings.members.evictAfterMilliseconds = shape.evictAfterMilliseconds
        settings.members.minimumVoters = shape.minimumVoters
        log = whole.log
        hasRemovedTail = whole.report.truncatedTail != nil
        machine = makeMachine(self, whole.restorer)
        let core = RaftCore(
            nodeID: nodeID, settings: settings.raft, restored: whole.state, session: session, now: now,
            seed: world.random.next())
        replica = Replica(
            group: KeyValueNode.groupID, core: core, snapshot: whole.state.snapshot, machine: machine,
            environment: self, settings: settings,
            changeSession: world.changesMembers ? world.random.next() : nil)
        attach(machine, replica)
        followMembership(now: now)
        for peer in peerSessions.indices
        where peerSessions[peer] != 0 && (!world.changesMembers || connected.contains(peer)) {
            replica.peerConnected(NodeNumber.id(peer), now: now)
        }
        admission.takesPart(from: replica, now: now)
        onAdmitted()
        scheduleTurn()
    }

    // MARK: The admission

    /// Does what the admission asks for after it was told something.
    func carryOutAdmission() {
        guard !isCarryingOut, ending == nil else { return }
        isCarryingOut = true
        while ending == nil {
            let effects = admission.takeEffects()
            if effects.isEmpty { break }
            for effect in effects where ending == nil { carryOut(effect) }
        }
        isCarryingOut = false
    }

    private func carryOut(_ effect: AdmissionEffect) {
        switch effect {
        case .send(let message, let peer):
            world.send(.repair(message), from: self, to: NodeNumber.number(peer))
        case .remember(let record): scheduleRemembering(record)
        case .readSnapshot(let read): schedule(.readForRepair(read))
        case .storeChunk(let chunk): schedule(.storeForRepair(chunk))
        case .accepted(let peer): peerAccepted(peer)
        case .admitted(let outcome):
            do throws(NodeError) {
                run(try opened.carryOut(outcome))
            } catch {
                ending = .failed(error)
            }
        case .restart(let reason): ending = .restart(reason)
        case .stop(let reason): ending = .copy(reason)
        case .report(let text, _): onReport(text)
        }
    }

    func scheduleRemembering(_ record: MemberRecord) {
        memoryThreadBusyUntil = world.scheduleSnapshotTask(
            .remember(record), number, session: session, busyUntil: memoryThreadBusyUntil)
    }

    private func peerAccepted(_ peer: NodeID) {
        let messages = kept.filter { $0.peer == peer }
        kept.removeAll { $0.peer == peer }
        guard replica != nil else { return }
        let now = world.now(of: number)
        replica.peerConnected(peer, now: now)
        for item in messages { replica.receive(item.message, now: now) }
    }

    /// A link to the peer was made, by this start of the peer's process.
    func peerConnected(_ peer: Int, session: UInt64) {
        peerSessions[peer] = session
        connected.insert(peer)
        learnCluster()
        let now = world.now(of: number)
        admission.peerConnected(NodeNumber.id(peer), now: now)
        carryOutAdmission()
        replica?.peerConnected(NodeNumber.id(peer), now: now)
        setTimer()
    }

    func peerDisconnected(_ peer: Int, hasStopped: Bool) {
        connected.remove(peer)
        let now = world.now(of: number)
        admission.peerDisconnected(NodeNumber.id(peer), now: now)
        carryOutAdmission()
        replica?.peerDisconnected(NodeNumber.id(peer), now: now)
        if hasStopped { replica?.peerStopped(NodeNumber.id(peer), now: now) }
        setTimer()
    }

    // MARK: Events

    /// Ends the turn, where each event is one. A turn may ask for another.
    func endEvent() {
        guard runsTurnsAtOnce else { return }
        var turns = 0
        while isTurnScheduled {
            runTurn()
            turns += 1
            precondition(turns < 10_000, "a node asks for one turn after the other")
        }
    }

    func runTurn() {
        isTurnScheduled = false
        guard replica != nil else { return }
        let now = world.now(of: number)
        replica.runTurn(now: now)
        if areLinksOutdated { updateLinks() }
        admission.turnEnded(now: now)
        carryOutAdmission()
        setTimer()
    }

    func reachDeadline(_ timerNumber: UInt64) {
        guard timerNumber == lastTimer else { return }
        timer = .distantFuture
        let now = world.now(of: number)
        if admission.nextDeadline <= now {
            admission.advance(now: now)
            carryOutAdmission()
        }
        if membersDeadline <= now { advanceMembers(now: now) }
        // As in production: what a deadline brings about ends in a turn, which sets the next timer.
        if let replica, replica.nextDeadline <= now {
            replica.advance(now: now)
        } else {
            setTimer()
        }
    }

    /// Sets the timer anew: the node's clock runs at another speed now.
    func resetTimer() {
        timer = .distantFuture
        setTimer()
    }

    func setTimer() {
        let deadline = min(
            min(replica?.nextDeadline ?? .distantFuture, admission.nextDeadline), membersDeadline)
        guard deadline < timer else { return }
        timer = deadline
        lastTimer += 1
        let time = world.clocks[number].time(showing: deadline)
        world.queue.add(.timer(number, session: session, number: lastTimer), at: max(time, world.now))
    }

    func deliver(_ message: SimulatedMessage, from: Int) {
        let now = world.now(of: number)
        switch message {
        case .raft(let message):
            switch admission.standing(of: message.from) {
            case .accepted:
                lastHeard = now
                replica?.receive(message, now: now)
            case .beingRemembered:
                if replica != nil, kept.count < SimulatedNode.maximumKeptMessages {
                    kept.append((message.from, message))
                }
            case .apart:
                admission.ignoredMessage(from: message.from)
                carryOutAdmission()
            }
        case .aside(let from, let bytes):
            replica?.receiveAside(bytes, from: from, now: now)
        case .repair(let message):
            admission.receive(message, from: NodeNumber.id(from), now: now)
            carryOutAdmission()
            setTimer()
        }
    }

    /// The disk has done what it was given: it is durable.
    func finishSync() throws(WriteAheadLogError) {
        guard let (begun, through) = writing else {
            preconditionFailure("a sync ended that was not begun")
        }
        var batch = begun
        try log.writer.write(&batch)
        writing = nil
        try log.writer.maintain(after: batch)
        log.reclaim(batch)
        replica.persisted(through: through, now: world.now(of: number))
        try beginSync()
        noteSpace()
    }

    func beginSync() throws(WriteAheadLogError) {
        guard writing == nil else { return }
        if let batch = log.takeBatch() {
            writing = (batch, lastSequence)
            world.scheduleSync(number, session: session)
        } else {
            try log.writer.markDurable()
        }
    }

    private func noteSpace() {
        guard log != nil else { return }
        lookForRoomLater()
        let found = log.space
        guard found != space else { return }
        space = found
        let room: DiskSpace =
            switch found {
            case .ample: .ample
            case .low: .low
            case .none: .none
            }
        onSpace(machine, room, world.now(of: number))
    }

    /// As production's log thread does every second where it is short of room.
    func lookForRoom() throws(WriteAheadLogError) {
        isLookingForRoom = false
        try retryAllocation()
        lookForRoomLater()
    }

    private func lookForRoomLater() {
        guard log != nil, log.writer.isShortOfSpace, !isLookingForRoom else { return }
        isLookingForRoom = true
        world.add(.lookForRoom(number, session: session), afterMicroseconds: 1_000_000)
    }

    /// Tries to get room for the log once more.
    func retryAllocation() throws(WriteAheadLogError) {
        guard log != nil, writing == nil, log.writer.isShortOfSpace else { return }
        try log.retryAllocation()
        noteSpace()
    }

    /// The node dies while the disk may be at work: what it was given is written in part. The disk's plan
    /// says where it ends.
    func dieWriting() {
        guard let (begun, _) = writing else { return }
        var batch = begun
        try? log.writer.write(&batch)
    }
}

/// Nodes are numbered from zero; their ids follow from their numbers.
enum NodeNumber {
    static func id(_ number: Int) -> NodeID { NodeID(UInt64(number) + 1) }

    static func number(_ id: NodeID) -> Int { Int(truncatingIfNeeded: id.rawValue) - 1 }
}
