import ConsensusTypes
import Logging
import NIOCore
import PeerTransport
import WriteAheadLog

// Following the membership: links, what is remembered of it, and this node's own removal.
extension ReplicaNode {
    /// The membership in force, as far as this node knows; it need not be committed. Use it on the loop.
    public var membership: Membership { known.inForce }

    /// The cluster that the node belongs to; `nil` as long as a node that joins was not told. Use it on the loop.
    public var clusterID: ClusterID? { record.cluster == ClusterID(0) ? nil : record.cluster }

    func membershipChanged(_ membership: Membership) {
        known.changed(membership)
        areLinksOutdated = true
    }

    func membershipCommitted(_ membership: Membership, index: LogIndex) {
        guard known.committed(membership, index: index, now: Self.now()) else { return }
        logger.info(
            "the membership is now",
            metadata: [
                "voters": "\(membership.voters)", "learners": "\(membership.learners)",
                "evicted": "\(membership.evicted)", "index": "\(index)",
            ])
        areLinksOutdated = true
        writeMembership()
        if known.isRemoved { suspectRemoval() }
    }

    /// Makes links what the memberships want. Not within a turn of the group.
    func updateLinks() {
        guard !isStopped else { return }
        setLinks()
        carryOutAdmission()
    }

    /// The same without acting on what follows from it, which a node that has not started must not.
    func setLinks() {
        areLinksOutdated = false
        // Introductions of new peers come with their first message.
        admission.update(
            membership: known.inForce, nodes: known.nodes, records: opened.memory.records, now: Self.now())
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
            for node in forgotten { forget(node) }
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
        memoryThread.submit { [self] state in
            guard state == .active else { return }
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

    private func forget(_ node: NodeID) {
        let memory = opened.memory
        memoryThread.submit { [self] state in
            guard state == .active else { return }
            do throws(DataDirectoryError) {
                try memory.forget(node)
            } catch {
                // Nothing depends on it: should the node be added again, it will be adopted.
                logger.warning("a node that left could not be forgotten: \(error)")
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
        guard !known.inForce.isMember(options.nodeID) || !transport.isConnectedToAnyone else { return }
        logger.warning("a peer says that this node is no member any more", metadata: ["peer": "\(peer)"])
        isReportedRemoved = true
        suspectRemoval()
    }

    // MARK: This node's removal

    /// A node that is behind may be told, or read in its log, of a removal that was followed by its being added
    /// again. So it counts only when nobody has anything to do with this node for a while.
    private func suspectRemoval() {
        guard removalTimer == nil, !isRemovalTold else { return }
        let patienceMilliseconds = 2 * options.replicaSettings.raft.electionTimeoutMilliseconds
        removalTimer = loop.scheduleTask(in: .milliseconds(Int64(patienceMilliseconds))) { [self] in
            removalTimer = nil
            guard !isStopped else { return }
            let isQuiet = Self.now() - lastHeard >= .milliseconds(patienceMilliseconds)
            let isCutOff = !transport.isConnectedToAnyone
            if known.isRemoved && (isQuiet || isCutOff) || isReportedRemoved && isCutOff {
                isRemovalTold = true
                logger.warning("this node was removed from its cluster")
                onRemoved?()
            } else if known.isRemoved {
                suspectRemoval()
            } else {
                isReportedRemoved = false
            }
        }
    }
}

extension NodeTransport {
    var isConnectedToAnyone: Bool { !connectedPeers.isEmpty }
}
