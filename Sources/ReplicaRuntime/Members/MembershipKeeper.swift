import ConsensusTypes

/// What a cluster does about its members by itself.
public struct MembershipKeeperSettings: Hashable, Sendable {
    /// A member that has not answered the leader for so long is evicted; `nil`: never.
    public var evictAfterMilliseconds: Int?
    /// Nobody is evicted below so many voters.
    public var minimumVoters = 3
    /// Whether a member that was evicted is taken back when its node is there again.
    public var readmitsEvicted = true
    /// After a change that was refused or did not end, how long until the next is tried.
    public var retryMilliseconds = 500

    public init() {}

    /// Why these settings cannot work, in one line, or `nil`.
    public func problem(electionTimeoutMilliseconds: Int) -> String? {
        if let evictAfterMilliseconds, evictAfterMilliseconds < 2 * electionTimeoutMilliseconds {
            return "members must not be evicted before twice the election timeout "
                + "(\(2 * electionTimeoutMilliseconds) ms), and \(evictAfterMilliseconds) ms was asked for"
        }
        if minimumVoters < 1 { return "at least 1 voter must remain, and \(minimumVoters) was asked for" }
        return nil
    }
}

/// Decides on the leader which member is evicted, taken back or promoted, so that the tolerance of a cluster
/// follows the nodes that live: five that lose two become three that tolerate one, and five again.
///
/// One change at a time, and never one that would leave voters which cannot decide: eviction needs a quorum of
/// those that remain to have answered lately. So a leader without a quorum evicts nobody, and two parts of a
/// cluster cannot evict each other (each change must be committed by the old majority or the new one, which
/// share a member: dissertation, section 4.1).
public struct MembershipKeeper: Sendable {
    /// What the leader sees of another node.
    public struct Observation: Hashable, Sendable {
        public let node: NodeID
        /// For how long it has not answered; since the leader's election where it never did.
        public let silence: Interval
        /// Whether it answered something that was sent within the last election timeout.
        public let isRecentlyActive: Bool
        /// Whether it lacks so little of the log that it may be promoted.
        public let isCaughtUp: Bool

        public init(node: NodeID, silence: Interval, isRecentlyActive: Bool, isCaughtUp: Bool) {
            self.node = node
            self.silence = silence
            self.isRecentlyActive = isRecentlyActive
            self.isCaughtUp = isCaughtUp
        }
    }

    /// A change that is to be proposed, and why.
    public struct Decision: Hashable, Sendable {
        public let change: MembershipChange
        public let reason: String
    }

    public let settings: MembershipKeeperSettings
    private var notBefore = Instant.zero

    public init(settings: MembershipKeeperSettings) {
        self.settings = settings
    }

    /// What is to be done now, if anything. Call it about once in a heartbeat on a leader that has committed an
    /// entry of its own term.
    ///
    /// - Parameters:
    ///   - observations: of all other members.
    ///   - connected: nodes that were evicted and are reachable and take part again.
    public mutating func decide(
        leader: NodeID, membership: Membership, isChangeUnderWay: Bool, observations: [Observation],
        connected: [NodeID], now: Instant
    ) -> Decision? {
        guard !isChangeUnderWay, !membership.isJoint, now >= notBefore else { return nil }
        let decision =
            promotion(membership, observations) ?? readmission(membership, connected)
            ?? eviction(leader, membership, observations)
        if decision != nil { notBefore = now + .milliseconds(settings.retryMilliseconds) }
        return decision
    }

    private func promotion(_ membership: Membership, _ observations: [Observation]) -> Decision? {
        let ready = membership.learners.first { node in
            membership.description(of: node)?.isPromotedWhenReady == true
                && observations.contains { $0.node == node && $0.isRecentlyActive && $0.isCaughtUp }
                && isAllowed(.promote(node), membership)
        }
        guard let ready else { return nil }
        return Decision(
            change: MembershipChange([.promote(ready)]), reason: "learner \(ready) has caught up: it votes")
    }

    private func readmission(_ membership: Membership, _ connected: [NodeID]) -> Decision? {
        guard settings.readmitsEvicted else { return nil }
        guard let node = membership.evicted.first(where: { connected.contains($0) }) else { return nil }
        let known = membership.description(of: node)
        let description = MemberDescription(
            node: node, priority: known?.priority ?? MemberDescription.defaultPriority,
            isPromotedWhenReady: true, isWitness: known?.isWitness ?? false,
            information: known?.information ?? ByteSlice())
        return Decision(
            change: MembershipChange([.addLearner(description)]),
            reason: "node \(node), which was evicted, is there again: it joins as a learner")
    }

    private func eviction(
        _ leader: NodeID, _ membership: Membership, _ observations: [Observation]
    ) -> Decision? {
        guard let evictAfterMilliseconds = settings.evictAfterMilliseconds else { return nil }
        let patience = Interval.milliseconds(evictAfterMilliseconds)
        var silent: Observation?
        for observation in observations
        where observation.silence >= patience && !observation.isRecentlyActive
            && isDispensable(observation.node, leader, membership, observations)
        {
            if let other = silent, other.silence >= observation.silence { continue }
            silent = observation
        }
        guard let silent else { return nil }
        return Decision(
            change: MembershipChange([.evict(silent.node)]),
            reason: "member \(silent.node) has not answered for \(silent.silence): it is evicted")
    }

    private func isAllowed(_ step: MembershipChange.Step, _ membership: Membership) -> Bool {
        (try? MembershipChange([step]).applied(to: membership)) != nil
    }

    /// Whether the voters can decide without it, and are enough.
    private func isDispensable(
        _ node: NodeID, _ leader: NodeID, _ membership: Membership, _ observations: [Observation]
    ) -> Bool {
        // Only learners that were to become voters: a learner that somebody added by hand stays.
        guard membership.voters.contains(node) else {
            return membership.learners.contains(node)
                && membership.description(of: node)?.isPromotedWhenReady == true
        }
        // Witnesses must stay fewer than a quorum.
        guard isAllowed(.evict(node), membership) else { return false }
        let remaining = membership.voters.filter { $0 != node }
        guard remaining.count >= settings.minimumVoters else { return false }
        let living = remaining.filter { voter in
            voter == leader || observations.contains { $0.node == voter && $0.isRecentlyActive }
        }
        return living.count >= Membership.majority(of: remaining.count)
    }
}
