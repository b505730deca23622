import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

// Following the membership, as production's node does: links, what is remembered of it, its own removal.
extension SimulatedNode {
    /// The id of the cluster that every node of a run belongs to.
    static var cluster: ClusterID { ClusterID(1) }

    /// What the directory says of the cluster. Where links do not follow the membership nothing is written of it.
    static func findCluster(
        _ number: Int, _ disk: SimulatedFileSystem, _ world: World
    ) throws(NodeError) -> (record: ClusterRecord, isNew: Bool, identity: ClusterID) {
        let start = world.starts[number]
        guard world.changesMembers else {
            let record = ClusterRecord(
                cluster: cluster, isJoined: false, first: start.membership, latest: start.membership)
            return (record, false, cluster)
        }
        let found = try NodeCluster.find(
            "/node", node: NodeNumber.id(number), clusterID: cluster, membership: start.membership,
            joinsCluster: start.joins, fileSystem: disk)
        return (found.record, found.isNew, found.identityCluster)
    }

    /// Whether it knows which cluster it belongs to.
    var knowsCluster: Bool { record.cluster != ClusterID(0) }

    func knows(_ peer: Int) -> Bool { known.nodes.contains(NodeNumber.id(peer)) }

    /// The group runs: what its log says of the members counts.
    func followMembership(now: Instant) {
        guard world.changesMembers else { return }
        let core = replica.core
        known.start(
            inForce: core.membership, committed: core.membership(at: core.commitIndex),
            through: core.commitIndex, now: now)
        if known.committed != record.latest { writeMembership() }
        areLinksOutdated = true
    }

    // MARK: ReplicaEnvironment

    func isPresent(_ peer: NodeID) -> Bool {
        connected.contains(NodeNumber.number(peer)) && admission.standing(of: peer) == .accepted
    }

    func report(_ text: String) { onReport(text) }

    func membershipChanged(_ membership: Membership) {
        guard world.changesMembers else { return }
        known.changed(membership)
        areLinksOutdated = true
        world.observe(.membershipChanged, number)
    }

    func membershipCommitted(_ membership: Membership, index: LogIndex) {
        guard world.changesMembers,
            known.committed(membership, index: index, now: world.now(of: number))
        else { return }
        areLinksOutdated = true
        writeMembership()
        if known.isRemoved { suspectRemoval() }
    }

    // MARK: Links

    /// Makes links what the memberships want. Not within a turn of the group.
    func updateLinks() {
        areLinksOutdated = false
        admission.update(
            membership: known.inForce, nodes: known.nodes, records: opened.memory.records,
            now: world.now(of: number))
        carryOutAdmission()
        onLinksChanged()
        setTimer()
    }

    var membersDeadline: Instant {
        world.changesMembers ? min(known.nextDeadline, removalDue) : .distantFuture
    }

    func advanceMembers(now: Instant) {
        if known.nextDeadline <= now {
            let forgotten = known.expire(connected: connected.numbers.map(NodeNumber.id), now: now)
            for node in forgotten { scheduleMemory(.forget(node)) }
            updateLinks()
        }
        if removalDue <= now { lookForRemoval(now: now) }
    }

    /// A node that no membership names wants to connect. Answers whether it is let in.
    func letIn(_ stranger: Int) -> Bool {
        guard known.letIn(NodeNumber.id(stranger), now: world.now(of: number)) else { return false }
        updateLinks()
        return true
    }

    // MARK: What is written down

    /// The first peer of a node that joins tells it to which cluster it belongs.
    func learnCluster() {
        guard !knowsCluster else { return }
        record.cluster = SimulatedNode.cluster
        scheduleMemory(.writeCluster(record))
    }

    private func writeMembership() {
        record.latest = known.committed
        record.latestIndex = known.committedIndex
        record.departed = known.departed
        scheduleMemory(.writeCluster(record))
    }

    private func scheduleMemory(_ task: SnapshotTask) {
        memoryThreadBusyUntil = world.scheduleSnapshotTask(
            task, number, session: session, busyUntil: memoryThreadBusyUntil)
    }

    func write(_ written: ClusterRecord) {
        do throws(DataDirectoryError) {
            try ClusterFile.write(written, "/node", fileSystem: disk)
        } catch {
            // What was written down later goes before.
            if error.isNoSpace {
                scheduleMemory(.writeCluster(record))
            } else {
                ending = .cannotRemember(error)
            }
        }
    }

    func forget(_ node: NodeID) {
        // Nothing depends on it: should the node be added again, it will be adopted.
        try? opened.memory.forget(node)
    }

    // MARK: This node's removal

    private var removalPatience: Interval {
        .milliseconds(2 * world.plan.world.electionTimeoutMilliseconds)
    }

    /// A peer says that this node is no member any more.
    func removalReported() {
        guard !known.inForce.isMember(nodeID) || connected.isEmpty else { return }
        isReportedRemoved = true
        suspectRemoval()
    }

    private func suspectRemoval() {
        guard removalDue == .distantFuture, ending == nil else { return }
        removalDue = world.now(of: number) + removalPatience
        setTimer()
    }

    private func lookForRemoval(now: Instant) {
        removalDue = .distantFuture
        let isQuiet = now - lastHeard >= removalPatience
        let isCutOff = connected.isEmpty
        if known.isRemoved && (isQuiet || isCutOff) || isReportedRemoved && isCutOff {
            ending = .removed
        } else if known.isRemoved {
            suspectRemoval()
        } else {
            isReportedRemoved = false
        }
    }
}
