import ConsensusTypes
import ReplicaRuntime

/// One member of a cluster, as the others know it.
public struct ClusterMember: Hashable, Sendable, CustomStringConvertible {
    /// What a member does in its cluster.
    public enum Role: String, Hashable, Sendable {
        /// Decides with the others, and may lead.
        case voter
        /// Receives everything and decides nothing.
        case learner
        /// Decides with the others, never leads and has no data; or is on its way to it.
        case witness
        /// Was removed because it did not answer, and is taken back when it is there again.
        case evicted
    }

    /// As its own ``NodeConfiguration/name`` says.
    public let name: String
    /// Where the others reach it.
    public let address: String
    /// What it does at present, as far as this node knows.
    public let role: Role

    public var description: String { "\(name) at \(address) (\(role.rawValue))" }
}

/// Why the members were not changed, or why that is not known.
public enum ClusterMembershipError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name or the address of the new member.
    case invalid(HoldfastConfigurationError)
    /// What was asked for does not fit the members as they are, such as to remove one that is none.
    case refused(String)
    /// It was not done in time, for want of a leader or because another change or a learner is not ready. Try
    /// again later.
    case unavailable(String)
    /// No answer came in time. Look at ``ClusterMembership/list()`` before trying again.
    case outcomeUnknown
    /// This node does not run.
    case stopped

    public var description: String {
        switch self {
        case .invalid(let error): "\(error)"
        case .refused(let reason): "the members cannot be changed so: \(reason)"
        case .unavailable(let reason): "the members were not changed: \(reason); try again later"
        case .outcomeUnknown: "no answer in time: list the members to see whether they were changed"
        case .stopped: "this node does not run"
        }
    }
}

/// The members of a cluster, and how they are changed while it runs.
///
/// Each change is decided by the members like everything else, is durable, and takes effect without an outage.
/// Any node that runs can be asked. Changes are made one at a time; each waits for the one before it.
public struct ClusterMembership: Sendable {
    let backend: any MembershipBackend

    /// The members that this node knows of, in the order of their names. A change that was made through another
    /// node may show a little later.
    public func list() async throws(ClusterMembershipError) -> [ClusterMember] {
        guard let membership = await backend.membership() else { throw .stopped }
        func members(_ nodes: [NodeID], _ role: ClusterMember.Role) -> [ClusterMember] {
            nodes.map { node in
                ClusterMember(
                    name: membership.name(of: node) ?? "\(node)",
                    address: membership.description(of: node)?.memberInformation?.peerAddresses.first.map {
                        "\($0)"
                    } ?? "", role: role)
            }
        }
        let receiving = membership.voters + membership.learners
        let all =
            members(membership.voters.filter { !membership.isWitness($0) }, .voter)
            + members(membership.learners.filter { !membership.isWitness($0) }, .learner)
            + members(receiving.filter { membership.isWitness($0) }, .witness)
            + members(membership.evicted, .evicted)
        return all.sorted { $0.name < $1.name }
    }

    /// Adds a member, whose node is then started with ``NodeConfiguration/joinsRunningCluster``.
    ///
    /// - Parameters:
    ///   - role: ``ClusterMember/Role/voter``: it becomes a learner first, and a voter by itself once it has
    ///     caught up, so that it delays nobody. ``ClusterMember/Role/learner``: it stays one until
    ///     ``promote(_:timeout:)``. ``ClusterMember/Role/witness``: as a voter, without data. A node that was
    ///     another kind of member before needs an empty directory.
    public func add(
        _ peer: Peer, as role: ClusterMember.Role = .voter, timeout: Duration = .seconds(30)
    ) async throws(ClusterMembershipError) {
        do throws(HoldfastConfigurationError) {
            try backend.plan.configuration.check(peer)
        } catch {
            throw .invalid(error)
        }
        guard role != .evicted else { throw .refused("a member is added as a voter, a learner or a witness") }
        let plain = NodePlan.description(peer, cluster: backend.plan.cluster)
        let description = MemberDescription(
            node: plain.node, isPromotedWhenReady: role != .learner,
            isWitness: role == .witness || peer.isWitness, information: plain.information)
        try await change([.addLearner(description)], timeout)
    }

    /// Removes a member for good; its node takes no part any more. A leader can remove itself: another takes
    /// over.
    public func remove(_ name: String, timeout: Duration = .seconds(30)) async throws(ClusterMembershipError)
    {
        try await change([.remove(node(name))], timeout)
    }

    /// Makes a learner a voter, once it has caught up.
    public func promote(_ name: String, timeout: Duration = .seconds(30)) async throws(ClusterMembershipError)
    {
        try await change([.promote(node(name))], timeout)
    }

    /// Makes a voter a learner.
    public func demote(_ name: String, timeout: Duration = .seconds(30)) async throws(ClusterMembershipError)
    {
        try await change([.demote(node(name))], timeout)
    }

    /// Puts a member in the place of another, in one step.
    public func replace(
        _ name: String, by peer: Peer, timeout: Duration = .seconds(30)
    ) async throws(ClusterMembershipError) {
        do throws(HoldfastConfigurationError) {
            try backend.plan.configuration.check(peer)
        } catch {
            throw .invalid(error)
        }
        let description = NodePlan.description(peer, cluster: backend.plan.cluster)
        try await change([.remove(node(name)), .addVoter(description)], timeout)
    }

    private func node(_ name: String) -> NodeID { StableHash.node(name, cluster: backend.plan.cluster) }

    private func change(
        _ steps: [MembershipChange.Step], _ timeout: Duration
    ) async throws(ClusterMembershipError) {
        let deadline = ContinuousClock.now + timeout
        while true {
            let error: MembershipChangeError
            do throws(MembershipChangeError) {
                return try await backend.change(
                    MembershipChange(steps), timeoutMilliseconds: deadline.remainingMilliseconds)
            } catch let problem {
                error = problem
            }
            switch error {
            case .invalid(let problem): throw .refused("\(problem)")
            case .service where error.isOutcomeUnknown: throw .outcomeUnknown
            case .service(.stopped) where backend.hasEnded: throw .stopped
            default: break
            }
            guard ContinuousClock.now < deadline else { throw .unavailable("\(error)") }
            do {
                try await Task.sleep(for: .milliseconds(50))
            } catch {
                throw .unavailable("cancelled")
            }
        }
    }
}

/// What ``ClusterMembership`` needs of a node, whatever it holds.
protocol MembershipBackend: Sendable {
    var plan: NodePlan { get }
    var hasEnded: Bool { get }
    func membership() async -> Membership?
    func change(
        _ change: MembershipChange, timeoutMilliseconds: Int
    ) async throws(MembershipChangeError)
}

extension NodeContext: MembershipBackend {
    func membership() async -> Membership? {
        guard let node else { return nil }
        return await onLoop { node.knowsMembers ? node.membership : nil }
    }

    /// Waits for the node's other groups too.
    func change(
        _ change: MembershipChange, timeoutMilliseconds: Int
    ) async throws(MembershipChangeError) {
        guard let node else { throw .service(.stopped) }
        let end = ReplicaNode.now() + .milliseconds(timeoutMilliseconds)
        _ = try await node.changeMembership(change, timeoutMilliseconds: timeoutMilliseconds)
        let now = ReplicaNode.now()
        await wait(atMost: end > now ? end - now : .zero) { node.areGroupsFollowing }
        let isFollowed = await onLoop { node.areGroupsFollowing }
        if !isFollowed { throw .service(.timeout) }
    }
}

extension Membership {
    func name(of node: NodeID) -> String? {
        description(of: node)?.memberInformation.flatMap { $0.name.isEmpty ? nil : $0.name }
    }
}

extension ContinuousClock.Instant {
    /// From now on, at least one and at most a day's.
    var remainingMilliseconds: Int { max(1, Int(remaining.nanoseconds / 1_000_000)) }
}

extension LeaderElection {
    /// Who takes part, and how that is changed.
    public var membership: ClusterMembership { ClusterMembership(backend: group.context) }
}

extension ReplicatedStateMachine {
    /// Who holds the state, and how that is changed.
    public var membership: ClusterMembership { ClusterMembership(backend: group.context) }
}
