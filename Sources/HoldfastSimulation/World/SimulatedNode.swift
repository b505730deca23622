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

/// One node: production's replica, write-ahead log and snapshot files, on a simulated disk, with the state
/// machine of a service above.
///
/// A node that crashes loses this object and keeps its disk.
final class SimulatedNode<Machine: ReplicaMachine>: ReplicaEnvironment {
    let number: Int
    let session: UInt64
    let nodeID: NodeID
    private(set) var machine: Machine!
    private(set) var replica: Replica<Machine>!
    private let log: WriteAheadLog
    private let files: SnapshotFiles
    private unowned let world: World
    /// Told of more or less room on the disk.
    private let onSpace: (Machine, DiskSpace, Instant) -> Void

    private var lastSequence: UInt64 = 0
    private var writing: (batch: LogBatch, through: UInt64)?
    private var isTurnScheduled = false
    private var space = LogSpace.ample
    private var snapshotThreadBusyUntil = Instant.zero
    /// When the world will next call ``reachDeadline()``, on the node's clock.
    private var timer = Instant.distantFuture

    /// What waits for the process to be resumed, in order; `nil` while it runs.
    var backlog: [SimulationEvent]?

    init<Service: SimulatedService>(
        number: Int, disk: SimulatedFileSystem, session: UInt64, service: Service, world: World
    ) throws(NodeError) where Service.Machine == Machine {
        self.number = number
        self.session = session
        self.world = world
        nodeID = NodeNumber.id(number)
        let shape = world.plan.world
        let found = try NodeData(
            number: number, nodeCount: world.nodeCount, disk: disk, segmentSizeBytes: shape.segmentSizeBytes)
        log = found.log
        files = SnapshotFiles(store: found.snapshots, group: KeyValueNode.groupID)
        onSpace = { [unowned service] in service.spaceChanged($0, $1, now: $2) }
        var restored: (any SnapshotRestorer)?
        if found.state.snapshot.index > .zero {
            let restorer = service.makeRestorer()
            try found.restore(into: restorer)
            restored = restorer
        }
        var settings = ReplicaSettings()
        settings.snapshotEntryCount = shape.snapshotEntryCount
        settings.trailingEntryCount = shape.trailingEntryCount
        settings.raft.snapshotChunkSizeBytes = shape.snapshotChunkSizeBytes
        settings.raft.maximumAppendSizeBytes = shape.maximumAppendSizeBytes
        settings.raft.electionTimeoutMilliseconds = shape.electionTimeoutMilliseconds
        settings.raft.heartbeatIntervalMilliseconds = shape.heartbeatIntervalMilliseconds
        machine = service.makeMachine(
            MachineContext(
                number: number, nodeID: nodeID, session: session, seed: world.random.next(),
                environment: self, clock: { [unowned world] in world.now(of: number) }, world: shape),
            restored: restored)
        let core = RaftCore(
            nodeID: nodeID, settings: settings.raft, restored: found.state, session: session,
            now: world.now(of: number), seed: world.random.next())
        replica = Replica(
            group: KeyValueNode.groupID, core: core, snapshot: found.state.snapshot, machine: machine,
            environment: self, settings: settings)
        service.attach(machine, replica)
    }

    // MARK: Events

    func runTurn() {
        isTurnScheduled = false
        replica.runTurn(now: world.now(of: number))
        setTimer()
    }

    func reachDeadline() {
        timer = .distantFuture
        // As in production: what a deadline brings about ends in a turn, which sets the next timer.
        let now = world.now(of: number)
        if replica.nextDeadline <= now {
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

    private func setTimer() {
        let deadline = replica.nextDeadline
        guard deadline < timer else { return }
        timer = deadline
        let time = deadline == .distantFuture ? deadline : world.clocks[number].time(showing: deadline)
        world.queue.add(.timer(number, session: session), at: max(time, world.now))
    }

    func deliver(_ message: SimulatedMessage) {
        let now = world.now(of: number)
        switch message {
        case .raft(let message): replica.receive(message, now: now)
        case .aside(let from, let bytes): replica.receiveAside(bytes, from: from, now: now)
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

    private func beginSync() throws(WriteAheadLogError) {
        guard writing == nil else { return }
        if let batch = log.takeBatch() {
            writing = (batch, lastSequence)
            world.scheduleSync(number, session: session)
        } else {
            try log.writer.markDurable()
        }
    }

    private func noteSpace() {
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

    /// Tries to get room for the log once more, as production's log thread does every second.
    func retryAllocation() throws(WriteAheadLogError) {
        guard writing == nil, log.writer.isShortOfSpace else { return }
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

    func run(_ task: SnapshotTask) {
        let now = world.now(of: number)
        switch task {
        case .store(let metadata, let source):
            let isStored = (try? files.write(metadata, source: source)) != nil
            replica.snapshotStored(metadata, succeeded: isStored, now: now)
            if isStored { world.observe(.snapshotStored, number) }
        case .read(let read):
            replica.snapshotRead(read, chunk: try? files.read(read), now: now)
        case .receive(let chunk, let restorer):
            do throws(SnapshotReceiveError) {
                guard try files.add(chunk, restorer: restorer) else { return }
                replica.receivedSnapshotStored(chunk.metadata, restorer: restorer, now: now)
                world.observe(.snapshotStored, number)
            } catch {
                replica.receivedSnapshotStored(chunk.metadata, restorer: nil, now: now)
            }
        case .removeObsolete(let index):
            try? files.removeObsolete(before: index)
        }
    }

    // MARK: ReplicaEnvironment

    func send(_ message: RaftMessage) {
        world.checker.noteSent(number, message)
        if case .voteResponse(granted: true) = message.body { world.observe(.voted, number) }
        world.send(.raft(message), from: number, to: NodeNumber.number(message.to))
    }

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        world.send(.aside(from: nodeID, ByteSlice(bytes)), from: number, to: NodeNumber.number(peer))
    }

    func persist(_ write: LogWrite, sequence: UInt64) {
        log.encode([write])
        lastSequence = sequence
        // Cannot fail: beginning a sync does no input or output while something is gathered.
        try? beginSync()
    }

    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        schedule(.store(metadata, source))
        world.observe(.snapshotBegun, number)
    }

    func releaseLog(through metadata: SnapshotMetadata) {
        log.release(group: KeyValueNode.groupID, through: metadata.index)
        schedule(.removeObsolete(before: metadata.index))
    }

    func readSnapshot(_ read: SnapshotRead) {
        schedule(.read(read))
    }

    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        if chunk.offset == 0 { world.observe(.snapshotBegun, number) }
        schedule(.receive(chunk, restorer))
    }

    private func schedule(_ task: SnapshotTask) {
        snapshotThreadBusyUntil = world.scheduleSnapshotTask(
            task, number, session: session, busyUntil: snapshotThreadBusyUntil)
    }

    func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        world.scheduleTurn(number, session: session)
    }
}

/// Nodes are numbered from zero; their ids follow from their numbers.
enum NodeNumber {
    static func id(_ number: Int) -> NodeID { NodeID(UInt64(number) + 1) }

    static func number(_ id: NodeID) -> Int { Int(truncatingIfNeeded: id.rawValue) - 1 }
}
