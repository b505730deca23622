import ConsensusTypes
import RaftCore
import ReplicaRuntime

/// What must hold of memberships, leases and transfers, beside what ``SafetyChecker`` sees.
struct MembershipChecker {
    /// Of the node that was last seen to lead.
    private var leader: (node: Int, term: Term, since: Instant)?
    /// Since when a transfer may have left the group without a leader.
    private var transfer: (begun: Instant, leaderlessSince: Instant?)?
    /// Who leads, and must go on to lead, where nothing takes its quorum away.
    private var kept: (term: Term, since: Instant)?
    private var candidates = NodeSet()
    /// How many entries were committed when the demand began that is looked at.
    private var demand: (number: Int, committed: Int?) = (0, nil)
    var counts = MembershipCounts()

    // MARK: Leases and removed nodes

    /// The node has done something.
    mutating func check<Machine>(
        _ node: SimulatedNode<Machine>, _ nodes: [SimulatedNode<Machine>?], _ places: [NodePlace],
        _ world: World
    ) throws(SimulationFailure) {
        let core = node.replica.core
        if core.role == .leader {
            if leader?.term ?? .zero < core.term { leader = (node.number, core.term, world.now) }
            try checkLease(node, nodes, world)
        }
        let isCandidate = core.role == .candidate
        if isCandidate, !candidates.contains(node.number), places[node.number] == .removed {
            try checkRemoved(node, nodes, world)
        }
        if isCandidate { candidates.insert(node.number) } else { candidates.remove(node.number) }
    }

    /// While one node's lease is valid by its own clock, nobody leads a later term.
    private func checkLease<Machine>(
        _ node: SimulatedNode<Machine>, _ nodes: [SimulatedNode<Machine>?], _ world: World
    ) throws(SimulationFailure) {
        guard world.plan.world.promisesLeases else { return }
        for case let other? in nodes where other.number != node.number && other.replica != nil {
            guard other.replica.core.role == .leader, other.replica.core.term < node.replica.core.term,
                let deadline = other.replica.core.leaseDeadline
            else { continue }
            let shown = world.now(of: other.number)
            if shown < deadline {
                throw SimulationFailure(
                    "lease exclusivity",
                    "node \(node.number) leads term \(node.replica.core.term) while node \(other.number) has a "
                        + "lease in term \(other.replica.core.term) for another \(deadline - shown)")
            }
        }
    }

    /// A node that was removed campaigns: not while somebody leads who has a quorum.
    private func checkRemoved<Machine>(
        _ node: SimulatedNode<Machine>, _ nodes: [SimulatedNode<Machine>?], _ world: World
    ) throws(SimulationFailure) {
        guard let leader, leader.node != node.number, let other = nodes[leader.node], other.replica != nil,
            other.replica.core.role == .leader, other.replica.core.term == leader.term
        else { return }
        let timeout = Interval.milliseconds(world.plan.world.electionTimeoutMilliseconds)
        guard world.now >= leader.since + timeout * 3, let deadline = other.replica.core.leaseDeadline,
            world.now(of: leader.node) < deadline
        else { return }
        throw SimulationFailure(
            "removed nodes",
            "node \(node.number), which was removed, campaigns in term \(node.replica.core.term) while node "
                + "\(leader.node) leads term \(leader.term) with a quorum")
    }

    // MARK: Evictions

    mutating func checkEviction(
        from before: Membership, to next: Membership, minimumVoters: Int
    ) throws(SimulationFailure) {
        counts.changes += 1
        counts.evictions += next.evicted.count { before.isMember($0) }
        counts.returns += before.evicted.count { next.isMember($0) }
        for node in next.evicted where before.isVoter(node) {
            guard next.voters.count >= minimumVoters else {
                throw SimulationFailure(
                    "evictions", "\(node) was evicted, and \(next.voters.count) voters are left")
            }
        }
    }

    // MARK: Transfers

    /// Something goes wrong, or is done, that may delay an election.
    mutating func noteFault() { transfer = nil }

    /// A transfer begins while nothing is wrong.
    mutating func noteTransfer(now: Instant) { transfer = (now, nil) }

    /// Nobody leads for longer than two election timeouts after a transfer that nothing disturbed.
    mutating func checkTransfer(_ world: World) throws(SimulationFailure) {
        guard let watched = transfer else { return }
        let timeout = Interval.milliseconds(world.plan.world.electionTimeoutMilliseconds)
        if world.leader != nil {
            transfer?.leaderlessSince = nil
            if world.now >= watched.begun + timeout * 6 { transfer = nil }
            return
        }
        let since = watched.leaderlessSince ?? world.now
        transfer?.leaderlessSince = since
        guard world.now <= since + timeout * 2 else {
            throw SimulationFailure(
                "transfers", "nobody leads since \(since), after a transfer that began at \(watched.begun)")
        }
    }

    // MARK: Progress

    mutating func checkDemands(_ world: World) throws(SimulationFailure) {
        guard demand.number < world.plan.demands.count else { return }
        let current = world.plan.demands[demand.number]
        let elapsedMilliseconds = world.elapsedMicroseconds / 1_000
        guard elapsedMilliseconds >= current.fromMilliseconds else { return }
        let committed = world.checker.committed.count
        guard let before = demand.committed else {
            demand.committed = committed
            return
        }
        guard elapsedMilliseconds >= current.toMilliseconds else { return }
        guard committed - before >= current.entryCount else {
            throw SimulationFailure(
                "progress",
                "\(committed - before) entries were committed from \(current.fromMilliseconds) to "
                    + "\(current.toMilliseconds) ms, at least \(current.entryCount) had to be")
        }
        demand = (demand.number + 1, nil)
    }

    // MARK: A leader with a quorum

    /// A leader that has led for five election timeouts is kept, until the faults end.
    mutating func checkLeaderIsKept(_ world: World) throws(SimulationFailure) {
        guard !world.faults.isOver, let number = world.leader else { return }
        let term = world.checker.highestLedTerm
        guard let known = kept, known.term != term else {
            if kept == nil { kept = (term, world.now) }
            return
        }
        let timeout = Interval.milliseconds(world.plan.world.electionTimeoutMilliseconds)
        guard world.now < known.since + timeout * 5 else {
            throw SimulationFailure(
                "a leader that keeps its quorum",
                "term \(known.term) had a leader since \(known.since), and node \(number) leads term \(term)")
        }
        kept = (term, world.now)
    }
}

/// What became of the membership and the leadership in a run.
public struct MembershipCounts: Hashable, Sendable {
    /// Memberships that were committed.
    public var changes = 0
    public var evictions = 0
    /// Nodes that were evicted and came back.
    public var returns = 0
    /// Transfers that an operator asked for and that began.
    public var transfers = 0

    public init() {}

    public mutating func add(_ other: MembershipCounts) {
        changes += other.changes
        evictions += other.evictions
        returns += other.returns
        transfers += other.transfers
    }

    public var isEmpty: Bool { self == MembershipCounts() }

    /// One line.
    public var text: String {
        "\(changes) changes of members, \(evictions) evictions, \(returns) returns, \(transfers) transfers"
    }
}
