import ConsensusTypes
import KeyValueCore
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import struct SystemPackage.FilePath
import WriteAheadLog

/// What a node is started with.
public struct KeyValueNodeOptions: Sendable {
    public var nodeID: NodeID
    public var name: String
    public var clusterID: ClusterID
    /// All members with their addresses; this node is among them.
    public var peers: [PeerAddress]
    public var peerListeners: [ListenAddress]
    public var dataDirectory: FilePath
    public var replicaSettings = ReplicaSettings()
    public var groupSettings = KeyValueGroupSettings()
    public var logOptions = WriteAheadLogOptions()
    public var fileSystem: any FileSystem = RealFileSystem()
    /// An operator says that the node is to start with what is intact, whatever was lost.
    public var acceptsDataLoss = false
    public var admissionSettings = AdmissionSettings()

    public init(
        nodeID: NodeID, name: String, clusterID: ClusterID, peers: [PeerAddress],
        peerListeners: [ListenAddress], dataDirectory: FilePath
    ) {
        self.nodeID = nodeID
        self.name = name
        self.clusterID = clusterID
        self.peers = peers
        self.peerListeners = peerListeners
        self.dataDirectory = dataDirectory
    }
}

/// Why a node ends by itself.
public enum NodeEnding: Hashable, Sendable {
    /// It cannot go on. What was acknowledged is durable; the log that is open is not to be trusted.
    case failed(String)
    /// It must be started again, and will then be adopted by a leader.
    case restart(String)
}

/// A node with one key-value group: gives a ``Replica`` and a ``KeyValueGroup`` files, sockets, threads and a
/// clock, once its ``NodeAdmission`` lets it take part.
///
/// Sendable without a lock: everything that changes is touched on `loop` alone. What is done elsewhere (the
/// log's thread, the snapshots' thread) comes back by scheduling a task on the loop.
public final class KeyValueNode: @unchecked Sendable {
    public static let groupID = GroupID(1)

    public let loop: any EventLoop
    /// `nil` until the node is admitted.
    public private(set) var group: KeyValueGroup!
    public let options: KeyValueNodeOptions
    public let admission: NodeAdmission
    let logger: Logger
    let worker: SnapshotWorker
    let transport: PeerTransport
    let opened: OpenedNode
    private(set) var log: LogSyncThread!
    private(set) var replica: Replica<KeyValueGroup>!
    /// Writes down what is remembered of peers, so that a slow disk does not stop the loop.
    let memoryThread = NIOThreadPool(numberOfThreads: 1)
    private let environment = NodeEnvironment()
    private let incarnation: UInt64
    private var generator = SystemRandomNumberGenerator()
    /// Called on the loop, once, when the group runs.
    let onAdmitted: () -> Void
    /// Called on the loop, once, when the node cannot go on.
    private let onEnd: (NodeEnding) -> Void

    private var isTurnScheduled = false
    private var timer: Scheduled<Void>?
    private var timerDeadline = Instant.distantFuture
    var admissionTimer: Scheduled<Void>?
    var isCarryingOut = false
    var isStopped = false
    /// Messages of peers whose records are on their way to the disk.
    var kept: [(peer: NodeID, payload: ByteSlice)] = []
    var keptSizeBytes = 0
    static let maximumKeptSizeBytes = 16 << 20
    /// What each peer said of itself, by node.
    public private(set) var announcements: [NodeID: ByteSlice] = [:]
    var ownAnnouncement: ByteSlice?
    let snapshotCheck = SnapshotCheck()

    /// The monotonic clock of this process, which its event loops use too.
    public static func now() -> Instant {
        Instant(nanoseconds: NIODeadline.now().uptimeNanoseconds)
    }

    /// Reads the node's state. Must be called on `loop`; blocks it for as long as reading the disk takes.
    ///
    /// Throws ``NodeError`` where peers cannot help. A node whose state is damaged, or that may have lost what
    /// it had, starts, and asks its peers for it.
    public init(
        options: KeyValueNodeOptions, loop: any EventLoop, logger: Logger,
        onAdmitted: @escaping () -> Void = {}, onEnd: @escaping (NodeEnding) -> Void
    ) throws(NodeError) {
        loop.preconditionInEventLoop()
        self.options = options
        self.loop = loop
        self.logger = logger
        self.onAdmitted = onAdmitted
        self.onEnd = onEnd
        let membership = Membership(voters: options.peers.map(\.node))
        opened = try OpenedNode(
            directory: options.dataDirectory,
            identity: NodeIdentity(cluster: options.clusterID, node: options.nodeID, name: options.name),
            membership: membership, group: KeyValueNode.groupID, acceptsDataLoss: options.acceptsDataLoss,
            logOptions: options.logOptions, fileSystem: options.fileSystem,
            makeRestorer: { StoreSnapshotRestorer() })
        worker = SnapshotWorker(files: SnapshotFiles(store: opened.snapshots, group: KeyValueNode.groupID))
        incarnation = generator.next()
        transport = PeerTransport(
            loop: loop, nodeID: options.nodeID, clusterID: options.clusterID, incarnation: incarnation,
            peers: options.peers, logger: logger)
        admission = NodeAdmission(
            nodeID: options.nodeID, group: KeyValueNode.groupID, membership: membership,
            directory: opened.directory.directoryID, startCount: opened.directory.startCount,
            incarnation: incarnation, records: opened.memory.records,
            isMemoryTrusted: opened.memory.isTrusted, start: opened.start,
            settings: options.admissionSettings, now: KeyValueNode.now())
        memoryThread.start()
        environment.node = self
        transport.delegate = self
        logDamages()
        if admission.isActive, let whole = opened.takeWhole() { run(whole) }
    }

    /// Makes the group of a node that takes part.
    func run(_ whole: WholeNode) {
        let now = KeyValueNode.now()
        let store = (whole.restorer as? StoreSnapshotRestorer)?.takeStore() ?? KeyValueStore()
        group = KeyValueGroup(
            nodeID: options.nodeID, session: incarnation, seed: generator.next(), store: store,
            settings: options.groupSettings, environment: environment, clock: KeyValueNode.now)
        let core = RaftCore(
            nodeID: options.nodeID, settings: options.replicaSettings.raft, restored: whole.state,
            session: incarnation, now: now, seed: generator.next())
        replica = Replica(
            group: KeyValueNode.groupID, core: core, snapshot: whole.state.snapshot, machine: group,
            environment: environment, settings: options.replicaSettings)
        group.attach(replica)
        group.onAnnouncement = { [weak self] peer, bytes in
            self?.announcements[peer] = ByteSlice(bytes.bytes)
        }
        let loopOfLog = loop
        let node = WeakNode(self)
        // Nothing else keeps the log that was just recovered, which the compiler cannot see through the value
        // that it came in.
        nonisolated(unsafe) let recoveredLog = whole.log
        log = LogSyncThread(log: recoveredLog) { event in
            loopOfLog.execute { node.value?.handle(event) }
        }
        logRecovery(whole, revision: store.revision)
        for peer in transport.connectedPeers { replica.peerConnected(peer, now: now) }
        admission.takesPart(from: replica, now: now)
    }

    private func logDamages() {
        for damage in opened.damages {
            logger.error("\(damage)")
        }
        switch opened.start {
        case .certain, .forced:
            break
        case .fresh:
            logger.info("a new data directory: asks the peers whether they know another one of this node's")
        case .damaged(let state):
            logger.warning(
                "under repair: takes no part and serves no clients until what is missing was had from peers",
                metadata: ["restoration": state.isExactlyRestorable ? "exact" : "adoption by a leader"])
        case .outdated:
            logger.warning("takes no part and serves no clients until a leader has adopted this node")
        }
    }

    private func logRecovery(_ whole: WholeNode, revision: Int64) {
        logger.info(
            "recovered",
            metadata: [
                "directory": "\(options.dataDirectory)", "end": "\(whole.report.end)",
                "entries": "\(whole.report.entries)",
                "snapshot-index": "\(whole.state.snapshot.index)",
                "term": "\(whole.state.hardState.term)",
                "revision": "\(revision)",
            ])
        if let tail = whole.report.truncatedTail {
            logger.warning(
                "removed a write that had not finished",
                metadata: [
                    "file": "\(tail.file)", "offset": "\(tail.offset)", "bytes": "\(tail.bytes)",
                ])
        }
    }

    // MARK: Starting and stopping

    /// Listens for the peers and takes part in the cluster as soon as it may. Call it on the loop.
    public func start() -> EventLoopFuture<Void> {
        if replica != nil {
            scheduleTurn()
            onAdmitted()
        }
        return transport.start(listeningOn: options.peerListeners).map { [self] _ in
            loop.preconditionInEventLoop()
            carryOutAdmission()
        }
    }

    /// Tells every peer something of this node, now and whenever a link to it is made.
    public func announce(_ bytes: [UInt8]) {
        let announcement = ByteSlice(bytes)
        ownAnnouncement = announcement
        guard group != nil else { return }
        for peer in transport.connectedPeers {
            group.announce(announcement, to: peer)
        }
    }

    /// Answers everyone who waits, writes what was begun and closes the data directory.
    public func shutDown() async {
        let closing = loop.flatSubmit { [self] in
            isStopped = true
            group?.stop()
            timer?.cancel()
            admissionTimer?.cancel()
            return transport.shutdown()
        }
        try? await closing.get()
        try? await worker.stop()
        try? await memoryThread.shutdownGracefully()
        log?.stop()
    }

    /// Runs on the loop, unless the node was stopped.
    func whenRunning(_ body: @escaping @Sendable (Instant) -> Void) {
        loop.execute { [self] in
            if !isStopped { body(KeyValueNode.now()) }
        }
    }

    func end(_ ending: NodeEnding) {
        guard !isStopped else { return }
        isStopped = true
        onEnd(ending)
    }

    // MARK: Turns and time

    func scheduleTurn() {
        guard !isTurnScheduled, !isStopped, replica != nil else { return }
        isTurnScheduled = true
        loop.execute { [self] in runTurn() }
    }

    private func runTurn() {
        isTurnScheduled = false
        guard !isStopped else { return }
        replica.runTurn(now: KeyValueNode.now())
        admission.turnEnded(now: KeyValueNode.now())
        if admission.hasEffects { carryOutAdmission() }
        transport.flush()
        setTimer()
    }

    /// One timer for the earliest deadline. A deadline that moved later is found when the timer fires.
    private func setTimer() {
        let deadline = replica.nextDeadline
        guard deadline < timerDeadline else { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) { [self] in
            timerDeadline = .distantFuture
            timer = nil
            guard !isStopped else { return }
            let now = KeyValueNode.now()
            if replica.nextDeadline <= now {
                replica.advance(now: now)
            } else {
                setTimer()
            }
        }
    }

    // MARK: The log

    private func handle(_ event: LogSyncThread.Event) {
        guard !isStopped else { return }
        let now = KeyValueNode.now()
        switch event {
        case .durable(let sequence):
            replica.persisted(through: sequence, now: now)
        case .failed(let error):
            end(.failed("\(error)"))
        case .space(let space):
            logger.warning("room for the log: \(space)")
            let room: DiskSpace =
                switch space {
                case .ample: .ample
                case .low: .low
                case .none: .none
                }
            group.setLogSpace(room, now: now)
        }
    }
}

/// A node that a thread may outlive.
private struct WeakNode: Sendable {
    weak let value: KeyValueNode?

    init(_ node: KeyValueNode) {
        value = node
    }
}
