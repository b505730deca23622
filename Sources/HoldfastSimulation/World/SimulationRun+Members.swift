import ConsensusTypes
import ReplicaRuntime

/// What becomes of a node as the membership changes.
enum NodePlace: Hashable {
    /// There is no process, and nothing on the disk.
    case absent
    /// A member, or one that an operator wants to be one.
    case running
    /// A committed membership has removed it. Its process may not know that.
    case removed
}

// Links that follow the membership, and nodes that join and leave.
extension SimulationRun {
    // MARK: Links

    private func knows(_ one: Int, _ other: Int) -> Bool { nodes[one]?.knows(other) ?? false }

    /// Makes the links that both sides want, and ends those that one does not want any more.
    func updateLinks(of number: Int) {
        for other in nodes.indices where other != number {
            updateLink(number, other)
        }
    }

    /// As after faults of the links: what stands is made anew.
    func reconnectPeers(of number: Int) {
        let standing = nodes.indices.filter { $0 != number && world.isLinked(number, $0) }
        updateLinks(of: number)
        for other in standing where world.isLinked(number, other) {
            for (here, there) in [(number, other), (other, number)] {
                let delay = 100 + world.random.next(below: 1_000)
                world.add(.peerConnected(here, about: there), afterMicroseconds: delay)
            }
        }
    }

    private func updateLink(_ one: Int, _ other: Int) {
        let isKnown = (knows(one, other), knows(other, one))
        let knowsCluster = nodes[one]?.knowsCluster ?? false || nodes[other]?.knowsCluster ?? false
        let isWanted = isKnown.0 && isKnown.1 && knowsCluster
        if isWanted != world.isLinked(one, other) {
            world.setLinked(one, other, isWanted)
            for (here, there) in [(one, other), (other, one)] where nodes[here] != nil {
                let delay = world.random.next(below: 1_000)
                if isWanted {
                    world.add(.peerConnected(here, about: there), afterMicroseconds: 100 + delay)
                } else {
                    world.add(.peerDisconnected(here, about: there), afterMicroseconds: 1 + delay)
                }
            }
        }
        guard !isWanted else { return }
        if isKnown.0 { knockLater(one, at: other, milliseconds: 100) }
        if isKnown.1 { knockLater(other, at: one, milliseconds: 100) }
    }

    func endLinks(of number: Int) {
        for other in nodes.indices where other != number && world.isLinked(number, other) {
            world.setLinked(number, other, false)
        }
    }

    private func knockLater(_ number: Int, at other: Int, milliseconds: UInt64) {
        guard !knocks[number].contains(other), nodes[other] != nil else { return }
        knocks[number].insert(other)
        let delay = 1 + world.random.next(below: 1_000 * milliseconds)
        world.add(.knock(number, at: other), afterMicroseconds: delay)
    }

    /// What production's transport does with somebody whom it does not know.
    func knock(_ number: Int, at other: Int) {
        knocks[number].remove(other)
        guard let node = nodes[number], let host = nodes[other], node.knows(other),
            !world.isLinked(number, other)
        else { return }
        if host.knows(number) { return updateLink(number, other) }
        guard node.backlog == nil, host.backlog == nil, world.network.canReach(from: number, to: other),
            world.network.canReach(from: other, to: number)
        else { return knockLater(number, at: other, milliseconds: 1_000) }
        let since = node.known.memberSince
        if since > 0, let left = host.known.departed.first(where: { $0.node == node.nodeID }),
            since < left.position
        {
            node.removalReported()
            return knockLater(number, at: other, milliseconds: 5_000)
        }
        if since > 0, node.knowsCluster, host.knowsCluster, host.letIn(number) { return }
        knockLater(number, at: other, milliseconds: 1_000)
    }

    // MARK: Members

    /// A membership is committed.
    func noteMembership(_ entry: Entry) throws(SimulationFailure) {
        var reader = ByteReader(entry.payload)
        let next: Membership
        do throws(ByteDecodingError) {
            next = try Membership.decode(from: &reader)
        } catch {
            throw SimulationFailure("memberships", "entry \(entry.index) does not decode: \(error)")
        }
        let before = world.membership
        world.membership = next
        timeline.add(world.now, .note("committed at \(entry.index): \(next.text)"))
        try members.checkEviction(from: before, to: next, minimumVoters: world.plan.world.minimumVoters)
        for number in nodes.indices {
            let id = NodeNumber.id(number)
            if next.isMember(id) || next.evicted.contains(id) {
                // It may have been added by an operation whose outcome nobody learned.
                if places[number] == .absent { join(number) }
                places[number] = .running
            } else if before.isMember(id) || before.evicted.contains(id) {
                places[number] = .removed
            }
        }
    }

    /// An operator starts a node with an empty disk, which asks the members.
    func join(_ number: Int) {
        var members = world.membership.members
        if !members.contains(NodeNumber.id(number)) { members.append(NodeNumber.id(number)) }
        world.starts[number] = NodeStart(membership: Membership(voters: members), joins: true)
        places[number] = .running
        lacksPast[number] = true
        restartTimes[number] = downUntil(1_000 + world.random.next(below: 200_000))
        world.queue.add(.restart(number), at: restartTimes[number])
    }

    /// Whether a node that runs takes this one for a member.
    private func isNamed(_ number: Int) -> Bool {
        nodes.contains { node in
            guard let node, node.number != number, node.replica != nil else { return false }
            return node.replica.core.membership.isMember(NodeNumber.id(number))
        }
    }

    /// Ends the process of a node that was removed, and empties its disk. `false`: it may be a member again.
    @discardableResult
    func retire(_ number: Int) -> Bool {
        guard places[number] == .removed, !isNamed(number) else { return false }
        places[number] = .absent
        stop(number, losesPower: false)
        disks[number].wipe()
        mayBeDamaged[number] = false
        wasRemade[number] = true
        hadAnotherLife[number] = true
        return true
    }

    /// The node takes itself for removed, and ends.
    func removed(_ number: Int) {
        if retire(number) { return }
        // It was added again meanwhile, and has not heard of it: an operator starts it once more.
        restartTimes[number] = max(restartTimes[number], downUntil(500_000))
        stop(number, losesPower: false)
    }

    // MARK: What may be lost

    /// Whether what the node's disk holds may be lost: where a quorum of every membership that may be in force
    /// keeps its past.
    func canLose(_ number: Int) -> Bool {
        guard world.changesMembers else { return true }
        let inForce = nodes.compactMap { $0?.replica == nil ? nil : $0!.replica.core.membership }
        return ([world.membership] + inForce).allSatisfy { isRecoverable($0, without: number) }
    }

    /// Whether a quorum of the membership has its past, apart from these nodes.
    func isRecoverable(_ membership: Membership, without number: Int?) -> Bool {
        [membership.voters, membership.outgoingVoters].allSatisfy { voters in
            let doubtful = voters.count { id in
                let voter = NodeNumber.number(id)
                return voter == number || lacksPast[voter] || mayBeDamaged[voter]
            }
            return voters.isEmpty || voters.count - doubtful >= Membership.majority(of: voters.count)
        }
    }

    // MARK: The end

    /// Whether all members have what the leader has, and everybody who was evicted is a voter again.
    var haveMembersRecovered: Bool {
        guard let number = world.leader, let leader = nodes[number], leader.replica != nil,
            leader.replica.core.role == .leader
        else { return false }
        let core = leader.replica.core
        let membership = core.membership
        guard membership == world.membership, !membership.isJoint, membership.evicted.isEmpty,
            !membership.learners.contains(where: {
                membership.description(of: $0)?.isPromotedWhenReady == true
            })
        else { return false }
        return membership.members.allSatisfy { id in
            guard let node = nodes[NodeNumber.number(id)], node.replica != nil else { return false }
            return node.replica.appliedIndex == core.lastIndex
                && node.replica.core.lastIndex == core.lastIndex
        }
    }
}

extension Membership {
    /// Short enough for a line of a timeline.
    var text: String {
        func list(_ name: String, _ nodes: [NodeID]) -> String {
            nodes.isEmpty ? "" : " \(name) " + nodes.map { "\($0)" }.joined(separator: ",")
        }
        return "members:" + list("voters", voters) + list("outgoing", outgoingVoters)
            + list("learners", learners) + list("learners-next", learnersNext) + list("evicted", evicted)
    }
}
