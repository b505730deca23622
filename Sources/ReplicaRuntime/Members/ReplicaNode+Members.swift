import ConsensusTypes
import Logging
import NIOCore
import PeerTransport
import WriteAheadLog

// Following the membership: links, what is remembered of it, and this node's own removal.
extension ReplicaNode {
    /// The membership in force, as far as this node knows; it need not be committed. Use it on the loop.
    public var membership: Membership { known.inForce }

    /// Whether the first group runs, which knows who the members are. Use it on the loop.
    public var knowsMembers: Bool { groups[0].isRunning }

    /// The cluster that the node belongs to; `nil` as long as a node that joins was not told. Use it on the loop.
    public var clusterID: ClusterID? { record.cluster == ClusterID(0) ? nil : record.cluster }

    /// The first group runs: what its log says of the members counts.
    func followFirstGroup() {
        guard let inForce = groups[0].memberships.first, let committed = groups[0].memberships.last else {
            return
        }
        let index = groups[0].committedIndex
        known.start(inForce: inForce, committed: committed, through: index, now: Self.now())
        if known.committed != record.latest { writeMembership() }
        areFollowersOutdated = groups.count > 1
    }

    /// The other groups follow what the first one has decided. After a start its log may be behind that: they are
    /// not led back to members of before.
    func tellFollowers() {
        guard groups[0].isEstablished, !known.committed.isJoint else { return }
        areFollowersOutdated = false
        for group in groups.dropFirst() { group.follow(known.committed, now: Self.now()) }
    }

    /// A node that the first group has removed may never learn that this was committed, and does not know who the
    /// members are. What it leads of the other groups it hands to a node that knows: there the group goes on to
    /// follow.
    func leaveGroupsIfUnsure(now: Instant) {
        guard !groups[0].isEstablished || !known.inForce.isMember(options.nodeID) else {
            unsureSince = nil
            return
        }
        guard let since = unsureSince else {
            unsureSince = now
            return
        }
        let patience = 2 * options.replicaSettings.raft.electionTimeoutMilliseconds
        guard now - since >= .milliseconds(patience) else { return }
        unsureSince = now
        for group in groups.dropFirst() where group.isLeading { _ = group.beginHandOver(to: nil) }
    }

    func membershipChanged(_ membership: Membership, of group: any NodeGroup) {
        if group === groups[0] { known.changed(membership) }
        areLinksOutdated = true
    }

    func membershipCommitted(_ membership: Membership, index: LogIndex, of group: any NodeGroup) {
        guard group === groups[0] else {
            areLinksOutdated = true
            if isRemoved { suspectRemoval() }
            return
        }
        guard known.committed(membership, index: index, now: Self.now()) else { return }
        logger.info(
            "the membership is now",
            metadata: [
                "voters": "\(membership.voters)", "learners": "\(membership.learners)",
                "evicted": "\(membership.evicted)", "index": "\(index)",
            ])
        areLinksOutdated = true
        writeMembership()
        areFollowersOutdated = groups.count > 1
        if isRemoved { suspectRemoval() }
    }

    /// Whether no group has this node any more. The others need it until they have followed the first.
    private var isRemoved: Bool {
        known.isRemoved
            && groups.dropFirst().allSatisfy { group in
                group.memberships.allSatisfy { !$0.isMember(options.nodeID) }
            }
    }

    /// Changes the membership, on whichever node leads, and returns what is in force once the change has ended. The
    /// groups other than the first follow afterwards: see ``areGroupsFollowing``.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int = 10_000
    ) async throws(MembershipChangeError) -> Membership {
        let promise = loop.makePromise(of: Result<Membership, MembershipChangeError>.self)
        loop.execute { [self] in
            changeMembership(change, timeoutMilliseconds: timeoutMilliseconds) { promise.succeed($0) }
        }
        guard let result = try? await promise.futureResult.get() else { throw .service(.stopped) }
        return try result.get()
    }

    /// On the loop; `completion` is called once, there.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int = 10_000,
        completion: @escaping (Result<Membership, MembershipChangeError>) -> Void
    ) {
        loop.preconditionInEventLoop()
        groups[0].changeMembership(change, timeoutMilliseconds: timeoutMilliseconds, completion: completion)
    }

    /// Whether the last committed membership of every group that runs here is that of the first. Use it on the loop.
    public var areGroupsFollowing: Bool {
        !areFollowersOutdated && groups.dropFirst().allSatisfy { !$0.isRunning || $0.followsCluster }
    }

    /// Makes links what the memberships want. Not within a turn of the group.
    func updateLinks() {
        guard !isStopped else { return }
        setLinks()
        for group in groups { group.carryOutAdmission() }
    }

    /// The same without acting on what follows from it, which a node that has not started must not.
    func setLinks() {
        areLinksOutdated = false
        // Introductions of new peers come with their first message.
        known.others = groups.dropFirst().flatMap(\.memberships)
        for group in groups { group.update(latest: known.inForce, nodes: known.nodes, now: Self.now()) }
        transport.update(
            peers: known.addresses, departed: known.departedPeers, memberSince: known.memberSince)
        setMembersTimer()
    }

    private func setMembersTimer() {
        membersTimer?.cancel()
        membersTimer = nil
        let deadline = known.nextDeadline
        guard deadline < .distantFuture else { return }
        membersTimer = loop.scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) { [self] in
            guard !isStopped else { return }
            let forgotten = known.expire(connected: transport.connectedPeers, now: Self.now())
            for node in forgotten {
                for group in groups { group.forget(node) }
            }
            updateLinks()
        }
    }

    // MARK: What is written down

    func writeMembership() {
        record.latest = known.committed
        record.latestIndex = known.committedIndex
        record.departed = known.departed
        writeRecord()
    }

    private func writeRecord() {
        let (record, options) = (record, options)
        remembering { [self] in
            var failure: DataDirectoryError?
            do throws(DataDirectoryError) {
                try ClusterFile.write(record, options.dataDirectory, fileSystem: options.fileSystem)
            } catch {
                failure = error
            }
            guard let failure else { return }
            whenRunning { [self] _ in
                guard failure.isNoSpace else { return end(.failed("\(failure)")) }
                logger.error("the membership cannot be written down: \(failure)")
                loop.scheduleTask(in: .seconds(1)) { [self] in
                    if !isStopped { writeRecord() }
                }
            }
        }
    }

    // MARK: What peers say

    public func transport(learnedCluster cluster: ClusterID, from peer: NodeID) {
        logger.info("joins cluster", metadata: ["cluster": "\(cluster)", "told-by": "\(peer)"])
        record.cluster = cluster
        writeRecord()
    }

    public func transport(strangerKnocked address: PeerAddress) {
        guard !isStopped, known.letIn(address, now: Self.now()) else { return }
        logger.info(
            "lets a node in that is no member as far as this node knows", metadata: ["peer": "\(address)"])
        // Not within the transport's own call, which is about to refuse it; it will come again.
        loop.execute { [self] in updateLinks() }
    }

    public func transport(removalReportedBy peer: NodeID) {
        logger.warning("a peer says that this node is no member any more", metadata: ["peer": "\(peer)"])
        removalReporters[peer] = Self.now()
        suspectRemoval()
    }

    // MARK: This node's removal

    /// After so many looks in succession without a leader, what peers say counts although others are connected.
    private static var looksWithoutLeader: Int { 5 }

    /// A node that is behind may be told, or read in its log, of a removal that was followed by its being added
    /// again. So it counts only when nobody has anything to do with this node for a while.
    private func suspectRemoval() {
        guard removalTimer == nil, !isRemovalTold else { return }
        let patienceMilliseconds = 2 * options.replicaSettings.raft.electionTimeoutMilliseconds
        removalTimer = loop.scheduleTask(in: .milliseconds(Int64(patienceMilliseconds))) { [self] in
            removalTimer = nil
            guard !isStopped else { return }
            forgetOldReports(patienceMilliseconds)
            let isQuiet = Self.now() - lastHeard >= .milliseconds(patienceMilliseconds)
            let isCutOff = !transport.isConnectedToAnyone
            leaderlessLooks = groups[0].leader == nil ? leaderlessLooks + 1 : 0
            if isRemoved && (isQuiet || isCutOff) || isRemovalReported(isCutOff: isCutOff) {
                isRemovalTold = true
                logger.warning("this node was removed from its cluster")
                onRemoved?()
            } else if isRemoved || !removalReporters.isEmpty {
                suspectRemoval()
            }
        }
    }

    /// Who still says so is asked, and says so again.
    private func forgetOldReports(_ patienceMilliseconds: Int) {
        let validity = Interval.milliseconds(max(15_000, 2 * Self.looksWithoutLeader * patienceMilliseconds))
        removalReporters = removalReporters.filter { Self.now() - $0.value < validity }
    }

    /// Whether peers say that this node was removed, and nobody shows otherwise. Others that were removed with it may
    /// be connected and know as little: then nobody leads, and everybody whom this node knows as a voter either says
    /// so or is one of them, or most say so.
    private func isRemovalReported(isCutOff: Bool) -> Bool {
        guard !removalReporters.isEmpty else { return false }
        if isCutOff { return true }
        guard leaderlessLooks >= Self.looksWithoutLeader else { return false }
        let voters = known.committed.voters
        let reporters = voters.filter { removalReporters[$0] != nil }
        return reporters.count >= Membership.majority(of: voters.count)
            || !reporters.isEmpty
                && voters.allSatisfy {
                    $0 == options.nodeID || reporters.contains($0) || transport.isConnected(to: $0)
                }
    }
}

extension NodeTransport {
    var isConnectedToAnyone: Bool { !connectedPeers.isEmpty }
}
