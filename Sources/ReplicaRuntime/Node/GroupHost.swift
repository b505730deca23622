import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import RaftCore
import WriteAheadLog

/// One group of a ``ReplicaNode``: its admission and, once that lets the node take part, its ``Replica`` with the
/// state machine. It is made first and then given to the node, which opens and runs it.
///
/// Sendable without a lock: everything that changes is touched on the node's loop alone; what is set when the node
/// is made does not change afterwards.
public final class GroupHost<Group: HostedGroup>: NodeGroup, @unchecked Sendable {
    public let id: GroupID
    let groupSettings: Group.Settings
    let settings: ReplicaSettings
    private let label: String?
    /// Called on the loop, once, when the group runs.
    let onAdmitted: () -> Void

    /// `nil` until the node is admitted to the group.
    public private(set) var group: Group!
    public private(set) var replica: Replica<Group>!
    /// `nil` until the node was made.
    public private(set) var admission: NodeAdmission!
    package private(set) weak var node: ReplicaNode?
    private(set) var position = 0
    private(set) var memory: MemberMemory!
    private(set) var worker: SnapshotWorker!
    var logger = Logger(label: "holdfast")
    private let environment = GroupEnvironment<Group>()
    let snapshotCheck = SnapshotCheck(Group.makeRestorer)

    package private(set) var isTurnDue = false
    var isCarryingOut = false
    var admissionTimer: Scheduled<Void>?
    /// Messages of peers whose records are on their way to the disk.
    var kept: [(peer: NodeID, payload: ByteSlice)] = []
    var keptSizeBytes = 0
    static var maximumKeptSizeBytes: Int { 16 << 20 }
    /// Told when another node leads, or the leadership could not be handed over.
    var handOver: EventLoopPromise<Void>?
    /// The cluster's members, where another group decides them.
    var membershipToFollow: Membership?
    /// Called on the loop at the end of each turn of the group, before anything that the turn made leaves for the
    /// peers: what the owner does here about a change of leadership comes before any peer can learn of it.
    public var onTurnEnded: ((Instant) -> Void)?
    /// What each peer said of itself, by node.
    public private(set) var announcements: [NodeID: ByteSlice] = [:]
    var ownAnnouncement: ByteSlice?

    /// - Parameters:
    ///   - id: the same on every node. A node's first group is ``OpenedNode/firstGroup``, and decides who the
    ///     members of the cluster are; the others follow it.
    ///   - label: what the group is called in logs, where a node has several.
    ///   - onAdmitted: called on the loop, once, when the group runs.
    public init(
        id: GroupID, settings groupSettings: Group.Settings, replicaSettings: ReplicaSettings,
        label: String? = nil, onAdmitted: @escaping () -> Void = {}
    ) {
        self.id = id
        self.groupSettings = groupSettings
        settings = replicaSettings
        self.label = label
        self.onAdmitted = onAdmitted
        environment.host = self
    }

    package var plan: GroupPlan { GroupPlan(id: id, makeRestorer: Group.makeRestorer) }

    var isFirst: Bool { id == OpenedNode.firstGroup }

    package func open(
        _ opened: OpenedGroup, on node: ReplicaNode, at position: Int, first: Membership, latest: Membership
    ) {
        precondition(self.node == nil && admission == nil, "a group is hosted once")
        self.node = node
        self.position = position
        memory = opened.memory
        logger = node.logger
        if let label { logger[metadataKey: "group"] = "\(label)" }
        worker = SnapshotWorker(
            files: SnapshotFiles(store: node.opened.snapshots, group: id), pool: node.snapshotThread)
        admission = NodeAdmission(
            nodeID: node.options.nodeID, group: id, membership: opened.whole?.state.membership ?? latest,
            first: first, directory: node.opened.directory.directoryID,
            startCount: node.opened.directory.startCount, incarnation: node.incarnation,
            records: memory.records, isMemoryTrusted: memory.isTrusted, start: opened.start,
            settings: node.options.admissionSettings, now: ReplicaNode.now())
        logStart(opened.start)
    }

    private func logStart(_ start: AdmissionStart) {
        switch start {
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

    package func run(_ whole: WholeGroup) {
        guard let node else { return }
        let now = ReplicaNode.now()
        group = Group(
            GroupStart(
                nodeID: node.options.nodeID, session: node.incarnation, seed: node.generator.next(),
                restorer: whole.restorer, environment: environment, clock: ReplicaNode.now),
            settings: groupSettings)
        let core = RaftCore(
            nodeID: node.options.nodeID, settings: settings.raft, restored: whole.state,
            session: node.incarnation, now: now, seed: node.generator.next())
        replica = Replica(
            group: id, core: core, snapshot: whole.state.snapshot, machine: group,
            environment: environment, settings: settings, changeSession: node.generator.next())
        group.attach(replica)
        if !isFirst { replica.follow(membershipToFollow ?? core.membership, now: now) }
        group.onAnnouncement = { [weak self] peer, bytes in
            self?.announcements[peer] = ByteSlice(bytes.bytes)
        }
        logRecovered(whole)
        for peer in node.transport.connectedPeers { replica.peerConnected(peer, now: now) }
        admission.takesPart(from: replica, now: now)
        // Peers that were accepted before were told nothing then.
        tellAnnouncement()
    }

    private func logRecovered(_ whole: WholeGroup) {
        var metadata: Logger.Metadata = [
            "entries": "\(whole.state.entries.count)", "snapshot-index": "\(whole.state.snapshot.index)",
            "term": "\(whole.state.hardState.term)",
        ]
        for detail in group.stateDescription { metadata[detail.name] = "\(detail.value)" }
        logger.info("recovered", metadata: metadata)
    }

    package var isRunning: Bool { replica != nil }

    package func begin() {
        scheduleTurn()
        onAdmitted()
    }

    package func stop() {
        endHandOver()
        group?.stop()
        replica?.closeRequests()
        admissionTimer?.cancel()
    }

    /// Tells every peer something of this node, now and whenever a link to it is made.
    public func announce(_ bytes: [UInt8]) {
        ownAnnouncement = ByteSlice(bytes)
        tellAnnouncement()
    }

    private func tellAnnouncement() {
        guard let ownAnnouncement, group != nil, let node else { return }
        for peer in node.transport.connectedPeers {
            group.announce(ownAnnouncement, to: peer)
        }
    }

    // MARK: Turns

    func scheduleTurn() {
        guard !isTurnDue, replica != nil else { return }
        isTurnDue = true
        node?.scheduleTurn()
    }

    package func runTurn(now: Instant) {
        isTurnDue = false
        group.runTurn(now: now)
        if handOver != nil { endHandOverIfDone() }
        let end = ReplicaNode.now()
        admission.turnEnded(now: end)
        onTurnEnded?(end)
        if admission.hasEffects { carryOutAdmission() }
    }

    package var nextDeadline: Instant { replica?.nextDeadline ?? .distantFuture }

    package func advance(now: Instant) {
        group.advanceReplica(now: now)
    }

    package func notePersisted(through sequence: UInt64, now: Instant) {
        group.notePersisted(through: sequence, now: now)
    }

    package func setLogSpace(_ space: DiskSpace, now: Instant) {
        group?.setLogSpace(space, now: now)
    }

    // MARK: Members

    package var memberships: [Membership] {
        guard let replica else { return [] }
        let core = replica.core
        return [core.membership, core.membership(at: core.commitIndex)]
    }

    package var isEstablished: Bool {
        guard let core = replica?.core else { return false }
        return core.leader != nil && replica.appliedTerm == core.term
    }

    package var isLeading: Bool { replica?.core.role == .leader }

    package var committedIndex: LogIndex { replica?.core.commitIndex ?? .zero }

    package func update(latest: Membership, nodes: [NodeID], now: Instant) {
        let own = replica?.core.membership ?? latest
        admission.update(membership: own, nodes: nodes, records: memory.records, now: now)
    }

    package func follow(_ membership: Membership, now: Instant) {
        guard !isFirst, membershipToFollow != membership else { return }
        membershipToFollow = membership
        replica?.follow(membership, now: now)
    }

    package var followsCluster: Bool {
        guard let replica, let target = membershipToFollow else { return isFirst }
        return MembershipFollower.isFollowed(
            target, by: replica.core.membership(at: replica.core.commitIndex))
    }

    package func forget(_ node: NodeID) {
        let (memory, logger) = (memory!, logger)
        self.node?.remembering {
            do throws(DataDirectoryError) {
                try memory.forget(node)
            } catch {
                // Nothing depends on it: should the node be added again, it will be adopted.
                logger.warning("a node that left could not be forgotten: \(error)")
            }
        }
    }
}
