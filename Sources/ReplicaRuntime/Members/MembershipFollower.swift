import ConsensusTypes

/// Brings the members of a group to those of another, which decides who the members of the cluster are.
///
/// A node's groups have the same members, and one of them decides: the others follow it, each through its own log,
/// step by step and by its own majority, so that being late or told of an older membership harms nothing.
/// docs/decisions/0006-several-groups-on-one-node.md says why.
enum MembershipFollower {
    /// Whether nothing is to be done.
    static func isFollowed(_ target: Membership, by present: Membership) -> Bool {
        !present.isJoint && nextStep(from: present, to: target, leader: nil, observations: nil) == nil
    }

    /// The next change, if it can be made now.
    ///
    /// - Parameters:
    ///   - target: not joint.
    ///   - observations: of all other members, by the leader.
    static func decide(
        from present: Membership, to target: Membership, leader: NodeID,
        observations: [MembershipKeeper.Observation]
    ) -> MembershipKeeper.Decision? {
        guard !present.isJoint, !target.isJoint,
            let step = nextStep(from: present, to: target, leader: leader, observations: observations)
        else { return nil }
        return MembershipKeeper.Decision(
            change: MembershipChange([step]), reason: "follows the members of the cluster: \(text(step))")
    }

    /// Without observations: the next step, whether it can be made now or not.
    private static func nextStep(
        from present: Membership, to target: Membership, leader: NodeID?,
        observations: [MembershipKeeper.Observation]?
    ) -> MembershipChange.Step? {
        for node in target.members where !present.isMember(node) {
            // Who keeps data and who does not is settled as long as a member is remembered.
            guard !present.evicted.contains(node) || isAlike(node, present, target) else {
                return .remove(node)
            }
            return .addLearner(description(of: node, in: target))
        }
        // Voters with data first, so that witnesses never are too many on the way.
        let voters = target.voters.filter { !target.isWitness($0) } + target.voters.filter(target.isWitness)
        for node in voters where !present.isVoter(node) && isAlike(node, present, target) {
            if observations.isNilOr({
                $0.contains { $0.node == node && $0.isRecentlyActive && $0.isCaughtUp }
            }) {
                return .promote(node)
            }
        }
        let lacksVoters = target.voters.contains { !present.isVoter($0) }
        for node in present.members {
            let step: MembershipChange.Step
            if !target.isMember(node) {
                step = target.evicted.contains(node) ? .evict(node) : .remove(node)
            } else if !isAlike(node, present, target) {
                step = .remove(node)
            } else if present.isVoter(node), !target.isVoter(node) {
                step = .demote(node)
            } else {
                continue
            }
            guard let observations else { return step }
            // One that leaves too few voters with data waits for those that come.
            guard (try? MembershipChange([step]).applied(to: present)) != nil else { continue }
            guard present.isVoter(node) else { return step }
            let isSilent = observations.contains { $0.node == node && !$0.isRecentlyActive }
            // Who still helps to decide stays until those are there that take its place.
            if lacksVoters && !isSilent { continue }
            if canDecide(without: node, present, leader, observations) { return step }
        }
        for node in present.evicted where !target.evicted.contains(node) && !target.isMember(node) {
            return .remove(node)
        }
        for node in target.members where present.isMember(node) {
            let wanted = description(of: node, in: target)
            let found = description(of: node, in: present)
            if wanted.priority != found.priority || wanted.information != found.information {
                return .describe(wanted)
            }
        }
        return nil
    }

    /// What is said of a member, with nothing left to be promoted by itself: the other group decides that too.
    private static func description(of node: NodeID, in membership: Membership) -> MemberDescription {
        let known = membership.description(of: node)
        return MemberDescription(
            node: node, priority: known?.priority ?? MemberDescription.defaultPriority,
            isWitness: known?.isWitness ?? false, information: known?.information ?? ByteSlice())
    }

    /// Whether both say the same of whether the node keeps data.
    private static func isAlike(_ node: NodeID, _ present: Membership, _ target: Membership) -> Bool {
        present.isWitness(node) == target.isWitness(node)
    }

    private static func canDecide(
        without node: NodeID, _ present: Membership, _ leader: NodeID?,
        _ observations: [MembershipKeeper.Observation]
    ) -> Bool {
        let remaining = present.voters.filter { $0 != node }
        let living = remaining.filter { voter in
            voter == leader || observations.contains { $0.node == voter && $0.isRecentlyActive }
        }
        return !remaining.isEmpty && living.count >= Membership.majority(of: remaining.count)
    }

    private static func text(_ step: MembershipChange.Step) -> String {
        switch step {
        case .addLearner(let description): "adds node \(description.node)"
        case .addVoter(let description): "adds node \(description.node) as a voter"
        case .promote(let node): "node \(node) votes"
        case .demote(let node): "node \(node) votes no more"
        case .remove(let node): "removes node \(node)"
        case .evict(let node): "evicts node \(node)"
        case .describe(let description): "what is said of node \(description.node)"
        }
    }
}

extension Optional {
    /// Whether there is nothing, or it has the property.
    fileprivate func isNilOr(_ hasProperty: (Wrapped) -> Bool) -> Bool {
        map(hasProperty) ?? true
    }
}
