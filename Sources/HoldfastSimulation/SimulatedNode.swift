import ConsensusTypes
import KeyValueCore
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// Work of a node's snapshot thread.
enum SnapshotTask {
    case store(SnapshotMetadata, any SnapshotSource)
    case read(SnapshotRead)
    case receive(SnapshotChunk, any SnapshotRestorer)
    case removeObsolete(before: LogIndex)
}

/// What a simulated node asks of the world around it.
protocol SimulatedWorld: AnyObject {
    var now: Instant { get }
    func send(_ message: SimulatedMessage, from: Int)
    func scheduleTurn(_ node: Int)
    func scheduleSync(_ node: Int)
    func scheduleSnapshotTask(_ task: SnapshotTask, _ node: Int)
}

/// One node: production's replica, key-value group, write-ahead log and snapshot files, on a simulated disk.
///
/// A node that crashes loses this object and keeps its disk.
final class SimulatedNode: ReplicaEnvironment {
    let number: Int
    let session: UInt64
    private(set) var group: KeyValueGroup!
    private(set) var replica: Replica<KeyValueGroup>!
    private let log: WriteAheadLog
    private let files: SnapshotFiles
    private unowned let world: any SimulatedWorld

    private var lastSequence: UInt64 = 0
    private var writing: (batch: LogBatch, through: UInt64)?
    private var isTurnScheduled = false
    /// When the node's snapshot thread has done all that it was given.
    var snapshotThreadBusyUntil = Instant.zero
    /// When the world was asked to call ``advance()`` next.
    var timer = Instant.distantFuture

    var core: RaftCore { replica.core }

    init(
        number: Int, nodeCount: Int, disk: SimulatedFileSystem, session: UInt64, seed: UInt64,
        world: any SimulatedWorld
    ) throws(NodeError) {
        self.number = number
        self.session = session
        self.world = world
        let nodeID = SimulatedNode.nodeID(number)
        let recovered = try RecoveredNode(
            directory: "/node",
            identity: NodeIdentity(cluster: ClusterID(1), node: nodeID, name: "node\(number)"),
            membership: Membership(voters: (0..<nodeCount).map(SimulatedNode.nodeID)),
            logOptions: WriteAheadLogOptions(segmentSizeBytes: 32 << 10), fileSystem: disk)
        log = recovered.log
        files = SnapshotFiles(store: recovered.snapshots, group: KeyValueNode.groupID)
        // Small sizes everywhere, so that short runs fill, recycle, snapshot and split a lot.
        var settings = ReplicaSettings()
        settings.snapshotEntryCount = 60
        settings.trailingEntryCount = 10
        settings.raft.snapshotChunkSizeBytes = 1 << 10
        settings.raft.maximumAppendSizeBytes = 4 << 10
        var groupSettings = KeyValueGroupSettings()
        groupSettings.requestTimeoutMilliseconds = 3_000
        var random = SeededRandom(seed: seed)
        group = KeyValueGroup(
            nodeID: nodeID, session: session, seed: random.next(), store: recovered.store,
            settings: groupSettings, environment: self, clock: { [unowned world] in world.now })
        let core = RaftCore(
            nodeID: nodeID, settings: settings.raft, restored: recovered.state,
            session: session, now: world.now, seed: random.next())
        replica = Replica(
            group: KeyValueNode.groupID, core: core, snapshot: recovered.state.snapshot, machine: group,
            environment: self, settings: settings)
        group.attach(replica)
    }

    static func nodeID(_ number: Int) -> NodeID { NodeID(UInt64(number) + 1) }

    // MARK: Events

    func runTurn() {
        isTurnScheduled = false
        replica.runTurn(now: world.now)
    }

    func deliver(_ message: SimulatedMessage) {
        switch message {
        case .raft(let message):
            replica.receive(message, now: world.now)
        case .aside(let from, _, let bytes):
            replica.receiveAside(bytes, from: from, now: world.now)
        }
    }

    /// The disk has done what it was given: it is durable.
    func finishSync() throws(WriteAheadLogError) {
        guard let (begun, through) = writing else {
            preconditionFailure("a sync ended that was not begun")
        }
        writing = nil
        var batch = begun
        try log.writer.write(&batch)
        try log.writer.maintain(after: batch)
        log.reclaim(batch)
        replica.persisted(through: through, now: world.now)
        try beginSync()
    }

    private func beginSync() throws(WriteAheadLogError) {
        guard writing == nil else { return }
        if let batch = log.takeBatch() {
            writing = (batch, lastSequence)
            world.scheduleSync(number)
        } else {
            try log.writer.markDurable()
        }
    }

    /// The node dies while the disk may be at work: what it was given is written in part. The disk's plan
    /// says where it ends.
    func dieWriting() {
        guard let (begun, _) = writing else { return }
        var batch = begun
        try? log.writer.write(&batch)
    }

    func run(_ task: SnapshotTask) {
        let now = world.now
        switch task {
        case .store(let metadata, let source):
            let isStored = (try? files.write(metadata, source: source)) != nil
            replica.snapshotStored(metadata, succeeded: isStored, now: now)
        case .read(let read):
            replica.snapshotRead(read, chunk: try? files.read(read), now: now)
        case .receive(let chunk, let restorer):
            do throws(SnapshotReceiveError) {
                guard try files.add(chunk, restorer: restorer) else { return }
                replica.receivedSnapshotStored(chunk.metadata, restorer: restorer, now: now)
            } catch {
                replica.receivedSnapshotStored(chunk.metadata, restorer: nil, now: now)
            }
        case .removeObsolete(let index):
            try? files.removeObsolete(before: index)
        }
    }

    // MARK: ReplicaEnvironment

    func send(_ message: RaftMessage) {
        world.send(.raft(message), from: number)
    }

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        world.send(.aside(from: SimulatedNode.nodeID(number), to: peer, ByteSlice(bytes)), from: number)
    }

    func persist(_ write: LogWrite, sequence: UInt64) {
        log.encode([write])
        lastSequence = sequence
        // Cannot fail: beginning a sync does no input or output while something is gathered.
        try? beginSync()
    }

    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        world.scheduleSnapshotTask(.store(metadata, source), number)
    }

    func releaseLog(through metadata: SnapshotMetadata) {
        log.release(group: KeyValueNode.groupID, through: metadata.index)
        world.scheduleSnapshotTask(.removeObsolete(before: metadata.index), number)
    }

    func readSnapshot(_ read: SnapshotRead) {
        world.scheduleSnapshotTask(.read(read), number)
    }

    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        world.scheduleSnapshotTask(.receive(chunk, restorer), number)
    }

    func scheduleTurn() {
        guard !isTurnScheduled else { return }
        isTurnScheduled = true
        world.scheduleTurn(number)
    }
}
