import ConsensusTypes
import DequeModule
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import WriteAheadLog

/// A node: hosts one or more groups on one data directory, one log, one set of links and one event loop. Each
/// group has a ``GroupHost``, with a term, a leader and a state machine of its own.
///
/// Sendable without a lock: everything that changes is touched on `loop` alone. What is done elsewhere (the
/// log's thread, the snapshots' thread) comes back by scheduling a task on the loop.
public final class ReplicaNode: @unchecked Sendable {
    public let loop: any EventLoop
    public let options: ReplicaNodeOptions
    /// The first one is ``OpenedNode/firstGroup``, which decides who the members of the cluster are.
    let groups: [any NodeGroup]
    let logger: Logger
    let transport: any NodeTransport
    /// `nil` once the node was shut down, which lets the data directory go.
    var opened: OpenedNode!
    /// `nil` until a group runs.
    var log: LogSyncThread!
    /// Writes down what is remembered of peers, so that a slow disk does not stop the loop.
    let memoryThread = NIOThreadPool(numberOfThreads: 1)
    let snapshotThread = NIOThreadPool(numberOfThreads: 1)
    let incarnation: UInt64
    var generator = SystemRandomNumberGenerator()
    /// Called on the loop, once, when the node cannot go on.
    private let onEnd: (NodeEnding) -> Void
    /// Called on the loop, once, when it is certain that this node was removed from its cluster. It goes on to
    /// run, without a say in anything, until it is shut down.
    public var onRemoved: (() -> Void)?

    var isStopped = false
    private var hasStarted = false
    /// What the admissions of the groups came to, before any group ran.
    var outcomes: [AdmissionOutcome?]

    var isTurnScheduled = false
    /// How many groups have their turn after the one that has it now.
    var turnsLeft = 0
    var timer: Scheduled<Void>?
    var timerDeadline = Instant.distantFuture

    /// What this turn's groups want written.
    var gathered: [LogWrite] = []
    var lastLogSequence: UInt64 = 0
    /// Which group's persist each of the log's sequences is, oldest first.
    var persists = Deque<(log: UInt64, position: Int, sequence: UInt64)>()
    /// What is done once the log is durable up to a sequence.
    var afterDurable: [(log: UInt64, body: () -> Void)] = []
    /// By group: what has become durable, while that is handed out.
    var durable: [UInt64]

    /// Whom links are kept to.
    var known: KnownMembers
    var record: ClusterRecord
    /// Whether the members changed in this turn.
    var areLinksOutdated = false
    /// Whether the other groups are to be told of the first one's members.
    var areFollowersOutdated = false
    /// Since when this node has not known who the members are.
    var unsureSince: Instant?
    var membersTimer: Scheduled<Void>?
    var removalTimer: Scheduled<Void>?
    /// When peers said that this node was removed which have not connected with it since.
    var removalReporters: [NodeID: Instant] = [:]
    var leaderlessLooks = 0
    var isRemovalTold = false
    /// When a message of the protocol last came, to any group.
    var lastHeard = Instant.zero
    /// Messages that came for groups which this node does not host.
    public internal(set) var strayMessageCount = 0
    var nextStrayReport = Instant.zero

    /// The monotonic clock of this process, which its event loops use too.
    public static func now() -> Instant {
        Instant(nanoseconds: NIODeadline.now().uptimeNanoseconds)
    }

    /// Reads the node's state. Must be called on `loop`; blocks it for as long as reading the disk takes.
    ///
    /// Throws ``NodeError`` where peers cannot help. A node whose state is damaged, or that may have lost what
    /// it had, starts, and asks its peers for it.
    package init(
        options: ReplicaNodeOptions, groups: [any NodeGroup], loop: any EventLoop, logger: Logger,
        onEnd: @escaping (NodeEnding) -> Void
    ) throws(NodeError) {
        loop.preconditionInEventLoop()
        self.options = options
        self.groups = groups
        self.loop = loop
        self.logger = logger
        self.onEnd = onEnd
        outcomes = groups.map { _ in nil }
        durable = groups.map { _ in 0 }
        let cluster = try NodeCluster.find(options)
        record = cluster.record
        opened = try OpenedNode(
            directory: options.dataDirectory,
            identity: NodeIdentity(
                cluster: cluster.identityCluster, node: options.nodeID, name: options.name),
            newDirectoryID: options.newDirectoryID ?? .random(),
            membership: cluster.record.first, latest: cluster.record.latest,
            record: cluster.isNew ? cluster.record : nil, groups: groups.map(\.plan),
            acceptsDataLoss: options.acceptsDataLoss, logOptions: options.logOptions,
            fileSystem: options.fileSystem)
        let inForce = opened.groups[0].whole?.state.membership ?? cluster.record.latest
        try cluster.require(options, inForce: inForce)
        known = KnownMembers(
            nodeID: options.nodeID, record: cluster.record, given: options.membership.descriptions,
            routes: options.routes,
            patience: .milliseconds(2 * options.replicaSettings.raft.electionTimeoutMilliseconds))
        known.changed(inForce)
        incarnation = generator.next()
        transport = options.network.makeTransport(
            TransportStart(
                nodeID: options.nodeID, clusterID: cluster.record.cluster, incarnation: incarnation,
                peers: known.addresses), loop: loop, logger: logger)
        memoryThread.start()
        snapshotThread.start()
        transport.delegate = self
        if let damage = cluster.damage { logger.error("\(damage); it was written anew") }
        for damage in opened.damages { logger.error("\(damage)") }
        for (position, group) in groups.enumerated() {
            group.open(
                opened.groups[position], on: self, at: position, first: cluster.record.first, latest: inForce)
        }
        setLinks()
        guard opened.log != nil, groups.contains(where: \.admission.isActive) else { return }
        runLog()
        for position in groups.indices where groups[position].admission.isActive { run(position) }
    }

    // MARK: Groups

    func group(_ id: GroupID) -> (any NodeGroup)? {
        for group in groups where group.id == id { return group }
        return nil
    }

    /// Makes a group run whose state was read with the log.
    func run(_ position: Int) {
        guard let whole = opened.groups[position].takeWhole() else {
            preconditionFailure("the group's state was read with the log")
        }
        run(position, whole)
    }

    func run(_ position: Int, _ whole: WholeGroup) {
        groups[position].run(whole)
        if position == 0 { followFirstGroup() }
        areLinksOutdated = true
        if hasStarted { groups[position].begin() }
    }

    // MARK: Starting and stopping

    /// Listens for the peers and takes part in the cluster as soon as it may. Call it on the loop.
    public func start() -> EventLoopFuture<Void> {
        hasStarted = true
        for group in groups where group.isRunning { group.begin() }
        return transport.start().map { [self] _ in
            loop.preconditionInEventLoop()
            for group in groups { group.carryOutAdmission() }
        }
    }

    /// Runs on the loop, unless the node was stopped.
    func whenRunning(_ body: @escaping @Sendable (Instant) -> Void) {
        loop.execute { [self] in
            if !isStopped { body(Self.now()) }
        }
    }

    /// Runs on the thread that writes down what is remembered, in the order of the calls, while the node is there.
    func remembering(_ body: @escaping @Sendable () -> Void) {
        memoryThread.submit { state in
            if state == .active { body() }
        }
    }

    func end(_ ending: NodeEnding) {
        guard !isStopped else { return }
        isStopped = true
        onEnd(ending)
    }

    /// Hands over the leadership of every group that this node leads, which takes an election timeout at most,
    /// answers everyone who waits, writes what was begun and closes the data directory, which can be opened again
    /// afterwards.
    public func shutDown() async {
        _ = try? await loop.flatSubmit { [self] in
            let handOvers = groups.map { group in group.beginHandOver(to: nil).map { _ in } }
            return EventLoopFuture.andAllComplete(handOvers, on: loop)
        }.get()
        await close()
    }

    /// Ends the node as ``shutDown()`` does, without handing any leadership over.
    public func close() async {
        let closing = loop.flatSubmit { [self] in
            isStopped = true
            for group in groups { group.stop() }
            for task in [timer, membersTimer, removalTimer] { task?.cancel() }
            return transport.shutdown()
        }
        try? await closing.get()
        try? await snapshotThread.shutdownGracefully()
        try? await memoryThread.shutdownGracefully()
        try? await loop.submit { [self] in
            log?.stop()
            opened = nil
        }.get()
    }
}
