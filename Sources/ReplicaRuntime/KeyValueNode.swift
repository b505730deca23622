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

/// A node with one key-value group: gives a ``Replica`` and a ``KeyValueGroup`` files, sockets, threads and a
/// clock.
///
/// Sendable without a lock: everything that changes is touched on `loop` alone. What is done elsewhere (the
/// log's thread, the snapshots' thread) comes back by scheduling a task on the loop.
public final class KeyValueNode: @unchecked Sendable {
    public static let groupID = GroupID(1)

    public let loop: any EventLoop
    public let group: KeyValueGroup
    public let options: KeyValueNodeOptions
    let logger: Logger
    let worker: SnapshotWorker
    let transport: PeerTransport
    private let directory: DataDirectory
    private(set) var log: LogSyncThread!
    private(set) var replica: Replica<KeyValueGroup>!
    /// Called on the loop when the node cannot go on; the process must end. The log is not to be trusted.
    private let onFailure: (String) -> Void

    private var isTurnScheduled = false
    private var timer: Scheduled<Void>?
    private var timerDeadline = Instant.distantFuture
    var isStopped = false
    /// What each peer said of itself, by node.
    public private(set) var announcements: [NodeID: ByteSlice] = [:]
    private var ownAnnouncement: ByteSlice?

    /// The monotonic clock of this process, which its event loops use too.
    public static func now() -> Instant {
        Instant(nanoseconds: NIODeadline.now().uptimeNanoseconds)
    }

    /// Recovers the node's state. Must be called on `loop`; blocks it for as long as reading the disk takes.
    ///
    /// Throws ``NodeError``, which names file and offset where something on the disk is damaged.
    public init(
        options: KeyValueNodeOptions, loop: any EventLoop, logger: Logger,
        onFailure: @escaping (String) -> Void
    ) throws(NodeError) {
        loop.preconditionInEventLoop()
        self.options = options
        self.loop = loop
        self.logger = logger
        self.onFailure = onFailure
        let recovered = try RecoveredNode(
            directory: options.dataDirectory,
            identity: NodeIdentity(cluster: options.clusterID, node: options.nodeID, name: options.name),
            membership: Membership(voters: options.peers.map(\.node)), logOptions: options.logOptions,
            fileSystem: options.fileSystem)
        directory = recovered.directory
        worker = SnapshotWorker(
            files: SnapshotFiles(store: recovered.snapshots, group: KeyValueNode.groupID))
        var generator = SystemRandomNumberGenerator()
        let incarnation = generator.next()
        let environment = NodeEnvironment()
        group = KeyValueGroup(
            nodeID: options.nodeID, session: incarnation, seed: generator.next(), store: recovered.store,
            settings: options.groupSettings, environment: environment, clock: KeyValueNode.now)
        transport = PeerTransport(
            loop: loop, nodeID: options.nodeID, clusterID: options.clusterID, incarnation: incarnation,
            peers: options.peers, logger: logger)
        let core = RaftCore(
            nodeID: options.nodeID, settings: options.replicaSettings.raft, restored: recovered.state,
            session: incarnation, now: KeyValueNode.now(), seed: generator.next())
        self.environment = environment
        environment.node = self
        replica = Replica(
            group: KeyValueNode.groupID, core: core, snapshot: recovered.state.snapshot, machine: group,
            environment: environment, settings: options.replicaSettings)
        group.attach(replica)
        group.onAnnouncement = { [weak self] peer, bytes in self?.announcements[peer] = ByteSlice(bytes.bytes)
        }
        transport.delegate = self
        let loopOfLog = loop
        let node = WeakNode(self)
        // Nothing else keeps the log that was just recovered, which the compiler cannot see through the value
        // that it came in.
        nonisolated(unsafe) let recoveredLog = recovered.log
        log = LogSyncThread(log: recoveredLog) { event in
            loopOfLog.execute { node.value?.handle(event) }
        }
        logRecovery(recovered)
    }

    private let environment: NodeEnvironment

    private func logRecovery(_ recovered: RecoveredNode) {
        logger.info(
            "recovered",
            metadata: [
                "directory": "\(options.dataDirectory)", "end": "\(recovered.report.end)",
                "entries": "\(recovered.report.entries)",
                "snapshot-index": "\(recovered.state.snapshot.index)",
                "term": "\(recovered.state.hardState.term)",
                "revision": "\(recovered.store.revision)",
            ])
        if let tail = recovered.report.truncatedTail {
            logger.warning(
                "removed a write that had not finished",
                metadata: [
                    "file": "\(tail.file)", "offset": "\(tail.offset)", "bytes": "\(tail.bytes)",
                ])
        }
    }

    // MARK: Starting and stopping

    /// Listens for the peers and takes part in the cluster. Call it on the loop.
    public func start() -> EventLoopFuture<Void> {
        scheduleTurn()
        return transport.start(listeningOn: options.peerListeners).map { _ in }
    }

    /// Tells every peer something of this node, now and whenever a link to it is made.
    public func announce(_ bytes: [UInt8]) {
        let announcement = ByteSlice(bytes)
        ownAnnouncement = announcement
        for peer in transport.connectedPeers {
            group.announce(announcement, to: peer)
        }
    }

    /// Answers everyone who waits, writes what was begun and closes the data directory.
    public func shutDown() async {
        let closing = loop.flatSubmit { [self] in
            isStopped = true
            group.stop()
            timer?.cancel()
            return transport.shutdown()
        }
        try? await closing.get()
        try? await worker.stop()
        log.stop()
    }

    /// Runs on the loop, unless the node was stopped.
    func whenRunning(_ body: @escaping @Sendable (Instant) -> Void) {
        loop.execute { [self] in
            if !isStopped { body(KeyValueNode.now()) }
        }
    }

    func fail(_ reason: String) {
        guard !isStopped else { return }
        isStopped = true
        onFailure(reason)
    }

    // MARK: Turns and time

    func scheduleTurn() {
        guard !isTurnScheduled, !isStopped else { return }
        isTurnScheduled = true
        loop.execute { [self] in runTurn() }
    }

    private func runTurn() {
        isTurnScheduled = false
        guard !isStopped else { return }
        replica.runTurn(now: KeyValueNode.now())
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
            fail("\(error)")
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

extension KeyValueNode: PeerTransportDelegate {
    /// What a frame between nodes carries.
    enum FrameKind: UInt8 {
        case raft = 1
        case aside = 2
    }

    public func transport(didReceive payload: ByteSlice, kind: UInt8, from peer: NodeID) {
        let now = KeyValueNode.now()
        switch FrameKind(rawValue: kind) {
        case .raft:
            do throws(ByteDecodingError) {
                let (group, message) = try RaftMessageCoding.decode(payload)
                guard group == KeyValueNode.groupID, message.from == peer else {
                    logger.warning("a message names another group or sender", metadata: ["peer": "\(peer)"])
                    return
                }
                replica.receive(message, now: now)
            } catch {
                logger.warning("a message cannot be decoded: \(error)", metadata: ["peer": "\(peer)"])
            }
        case .aside:
            replica.receiveAside(payload, from: peer, now: now)
        case nil:
            logger.warning("a frame of unknown kind \(kind)", metadata: ["peer": "\(peer)"])
        }
    }

    public func transportDidFinishReading() {
        scheduleTurn()
    }

    public func transport(peerConnected peer: NodeID) {
        logger.info("peer connected", metadata: ["peer": "\(peer)"])
        replica.peerConnected(peer, now: KeyValueNode.now())
        if let ownAnnouncement { group.announce(ownAnnouncement, to: peer) }
    }

    public func transport(peerDisconnected peer: NodeID) {
        logger.info("peer disconnected", metadata: ["peer": "\(peer)"])
        replica.peerDisconnected(peer, now: KeyValueNode.now())
    }

    public func transport(peerStopped peer: NodeID) {
        logger.info("peer stopped", metadata: ["peer": "\(peer)"])
        replica.peerStopped(peer, now: KeyValueNode.now())
    }
}
