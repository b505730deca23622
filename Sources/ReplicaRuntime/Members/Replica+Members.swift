import ConsensusTypes
import RaftCore

// What a leader does about the members by itself: see ``MembershipKeeper``.
extension Replica {
    /// Called when the leadership or the membership changed: nothing is looked at where there is nothing to do.
    func armKeeper(now: Instant) {
        guard core.role == .leader, isKeeperNeeded else {
            keeperDue = .distantFuture
            return
        }
        if keeperDue == .distantFuture { keeperDue = now + keeperInterval }
    }

    private var keeperInterval: Interval { .milliseconds(settings.raft.heartbeatIntervalMilliseconds) }

    /// The members of the group follow those of another from now on, instead of being decided on here.
    func follow(_ membership: Membership, now: Instant) {
        membershipToFollow = membership
        armKeeper(now: now)
        environment.scheduleTurn()
    }

    private var isKeeperNeeded: Bool {
        let membership = core.membership
        if let membershipToFollow {
            return !MembershipFollower.isFollowed(membershipToFollow, by: membership)
        }
        if settings.members.evictAfterMilliseconds != nil, membership.members.count > 1 { return true }
        if settings.members.readmitsEvicted, !membership.evicted.isEmpty { return true }
        return membership.learners.contains { membership.description(of: $0)?.isPromotedWhenReady == true }
    }

    func keepMembers(now: Instant) {
        guard now >= keeperDue else { return }
        keeperDue = .distantFuture
        armKeeper(now: now)
        guard keeperDue < .distantFuture else { return }
        let electionTimeout = core.electionTimeout
        let observations = core.status.members.filter { !$0.isLeaving }.map { member in
            MembershipKeeper.Observation(
                node: member.node, silence: member.silence(now: now),
                isRecentlyActive: member.isRecentlyActive(within: electionTimeout, now: now),
                isCaughtUp: member.isCaughtUp)
        }
        guard let decision = decide(observations, now: now) else { return }
        environment.report(decision.reason)
        let proposal = Proposal(
            id: .none, kind: .membershipChange, payload: decision.change.encoded, needsSpace: false)
        // A refusal is no matter: the keeper looks again.
        _ = core.propose([proposal], now: now)
    }

    private func decide(
        _ observations: [MembershipKeeper.Observation], now: Instant
    ) -> MembershipKeeper.Decision? {
        guard let membershipToFollow else {
            return keeper.decide(
                leader: core.nodeID, membership: core.membership,
                isChangeUnderWay: !core.isMembershipSettled, observations: observations,
                connected: core.membership.evicted.filter { environment.isPresent($0) }, now: now)
        }
        guard core.isMembershipSettled else { return nil }
        return MembershipFollower.decide(
            from: core.membership, to: membershipToFollow, leader: core.nodeID, observations: observations)
    }
}
