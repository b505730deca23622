import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import WriteAheadLog

/// A node with one group: gives a ``Replica`` and a ``HostedGroup`` files, links to peers, threads and a clock,
/// once its ``NodeAdmission`` lets it take part.
///
/// Sendable without a lock: everything that changes is touched on `loop` alone. What is done elsewhere (the
/// log's thread, the snapshots' thread) comes back by scheduling a task on the loop.
public final class ReplicaNode<Group: HostedGroup>: @unchecked Sendable {
    public static var groupID: GroupID { GroupID(1) }

    public let loop: any EventLoop
    /// `nil` until the node is admitted.
    public private(set) var group: Group!
    public let options: ReplicaNodeOptions
    public let admission: NodeAdmission
    let logger: Logger
    let worker: SnapshotWorker
    let transport: any NodeTransport
    /// `nil` once the node was shut down, which lets the data directory go.
    var opened: OpenedNode!
    var log: LogSyncThread!
    private(set) var replica: Replica<Group>!
    /// Writes down what is remembered of peers, so that a slow disk does not stop the loop.
    let memoryThread = NIOThreadPool(numberOfThreads: 1)
    private let environment = NodeEnvironment<Group>()
    private let incarnation: UInt64
    private var generator = SystemRandomNumberGenerator()
    /// Called on the loop, once, when the group runs.
    let onAdmitted: () -> Void
    /// Called on the loop, once, when the node cannot go on.
    private let onEnd: (NodeEnding) -> Void

    private var isTurnScheduled = false
    var timer: Scheduled<Void>?
    private var timerDeadline = Instant.distantFuture
    var admissionTimer: Scheduled<Void>?
    var isCarryingOut = false
    var isStopped = false
    /// Messages of peers whose records are on their way to the disk.
    var kept: [(peer: NodeID, payload: ByteSlice)] = []
    var keptSizeBytes = 0
    static var maximumKeptSizeBytes: Int { 16 << 20 }
    /// Called on the loop at the end of each turn, before anything that the turn made leaves for the peers:
    /// what the owner does here about a change of leadership comes before any peer can learn of it.
    public var onTurnEnded: ((Instant) -> Void)?
    /// Called on the loop, once, when it is certain that this node was removed from its cluster. It goes on to
    /// run, without a say in anything, until it is shut down.
    public var onRemoved: (() -> Void)?
    /// Whom links are kept to.
    var known: KnownMembers
    var record: ClusterRecord
    /// Whether the members changed in this turn.
    var areLinksOutdated = false
    var membersTimer: Scheduled<Void>?
    var removalTimer: Scheduled<Void>?
    var isReportedRemoved = false
    var isRemovalTold = false
    /// When a message of the protocol last came.
    var lastHeard = Instant.zero
    /// Told when another node leads, or the leadership could not be handed over.
    var handOver: EventLoopPromise<Void>?
    /// What each peer said of itself, by node.
    public private(set) var announcements: [NodeID: ByteSlice] = [:]
    var ownAnnouncement: ByteSlice?
    let snapshotCheck = SnapshotCheck(Group.makeRestorer)
    private let groupSettings: Group.Settings

    /// The monotonic clock of this process, which its event loops use too.
    public static func now() -> Instant {
        Instant(nanoseconds: NIODeadline.now().uptimeNanoseconds)
    }

    /// Reads the node's state. Must be called on `loop`; blocks it for as long as reading the disk takes.
    ///
    /// Throws ``NodeError`` where peers cannot help. A node whose state is damaged, or that may have lost what
    /// it had, starts, and asks its peers for it.
    public init(
        options: ReplicaNodeOptions, groupSettings: Group.Settings, loop: any EventLoop, logger: Logger,
        onAdmitted: @escaping () -> Void = {}, onEnd: @escaping (NodeEnding) -> Void
    ) throws(NodeError) {
        loop.preconditionInEventLoop()
        self.options = options
        self.groupSettings = groupSettings
        self.loop = loop
        self.logger = logger
        self.onAdmitted = onAdmitted
        self.onEnd = onEnd
        let cluster = try NodeCluster.find(options)
        record = cluster.record
        opened = try OpenedNode(
            directory: options.dataDirectory,
            identity: NodeIdentity(
                cluster: cluster.identityCluster, node: options.nodeID, name: options.name),
            membership: cluster.record.first, latest: cluster.record.latest,
            record: cluster.isNew ? cluster.record : nil, group: Self.groupID,
            acceptsDataLoss: options.acceptsDataLoss, logOptions: options.logOptions,
            fileSystem: options.fileSystem, makeRestorer: Group.makeRestorer)
        let inForce = opened.whole?.state.membership ?? cluster.record.latest
        try cluster.require(options, inForce: inForce)
        known = KnownMembers(
            nodeID: options.nodeID, record: cluster.record, given: options.membership.descriptions,
            routes: options.routes,
            patience: .milliseconds(2 * options.replicaSettings.raft.electionTimeoutMilliseconds))
        known.changed(inForce)
        worker = SnapshotWorker(files: SnapshotFiles(store: opened.snapshots, group: Self.groupID))
        incarnation = generator.next()
        transport = options.network.makeTransport(
            TransportStart(
                nodeID: options.nodeID, clusterID: cluster.record.cluster, incarnation: incarnation,
                peers: known.addresses), loop: loop, logger: logger)
        admission = NodeAdmission(
            nodeID: options.nodeID, group: Self.groupID, membership: inForce, first: cluster.record.first,
            directory: opened.directory.directoryID, startCount: opened.directory.startCount,
            incarnation: incarnation, records: opened.memory.records,
            isMemoryTrusted: opened.memory.isTrusted, start: opened.start,
            settings: options.admissionSettings, now: Self.now())
        memoryThread.start()
        environment.node = self
        transport.delegate = self
        if let damage = cluster.damage { logger.error("\(damage); it was written anew") }
        logDamages()
        setLinks()
        if admission.isActive, let whole = opened.takeWhole() { run(whole) }
    }

    /// Makes the group of a node that takes part.
    func run(_ whole: WholeNode) {
        let now = Self.now()
        group = Group(
            GroupStart(
                nodeID: options.nodeID, session: incarnation, seed: generator.next(),
                restorer: whole.restorer, environment: environment, clock: Self.now),
            settings: groupSettings)
        let core = RaftCore(
            nodeID: options.nodeID, settings: options.replicaSettings.raft, restored: whole.state,
            session: incarnation, now: now, seed: generator.next())
        replica = Replica(
            group: Self.groupID, core: core, snapshot: whole.state.snapshot, machine: group,
            environment: environment, settings: options.replicaSettings, changeSession: generator.next())
        group.attach(replica)
        known.start(
            inForce: core.membership, committed: core.membership(at: core.commitIndex),
            through: core.commitIndex, now: now)
        if known.committed != record.latest { writeMembership() }
        areLinksOutdated = true
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
        logRecovery(whole)
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

    private func logRecovery(_ whole: WholeNode) {
        var metadata: Logger.Metadata = [
            "directory": "\(options.dataDirectory)", "end": "\(whole.report.end)",
            "entries": "\(whole.report.entries)", "snapshot-index": "\(whole.state.snapshot.index)",
            "term": "\(whole.state.hardState.term)",
        ]
        for detail in group.stateDescription { metadata[detail.name] = "\(detail.value)" }
        logger.info("recovered", metadata: metadata)
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
        return transport.start().map { [self] _ in
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

    /// Runs on the loop, unless the node was stopped.
    func whenRunning(_ body: @escaping @Sendable (Instant) -> Void) {
        loop.execute { [self] in
            if !isStopped { body(Self.now()) }
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
        group.runTurn(now: Self.now())
        if areLinksOutdated { updateLinks() }
        if handOver != nil { endHandOverIfDone() }
        admission.turnEnded(now: Self.now())
        onTurnEnded?(Self.now())
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
            let now = Self.now()
            // A leader then knows that nobody has answered it meanwhile, and gives up before it does anything else.
            if now - deadline >= .milliseconds(options.replicaSettings.raft.electionTimeoutMilliseconds) {
                logger.warning("this node stood still for \((now - deadline).nanoseconds / 1_000_000) ms")
            }
            if replica.nextDeadline <= now {
                group.advanceReplica(now: now)
            } else {
                setTimer()
            }
        }
    }

    // MARK: The log

    private func handle(_ event: LogSyncThread.Event) {
        guard !isStopped else { return }
        let now = Self.now()
        switch event {
        case .durable(let sequence):
            group.notePersisted(through: sequence, now: now)
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

/// The node of the etcd-compatible server.
public typealias KeyValueNode = ReplicaNode<KeyValueGroup>

/// A node that a thread may outlive.
private struct WeakNode<Group: HostedGroup>: Sendable {
    weak let value: ReplicaNode<Group>?

    init(_ node: ReplicaNode<Group>) {
        value = node
    }
}
