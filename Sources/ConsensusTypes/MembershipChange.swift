/// Why a change cannot be made to a membership.
public enum MembershipChangeProblem: UInt8, Error, Hashable, Sendable, CaseIterable {
    /// The node of a step is no member.
    case unknownMember = 0
    /// The node to be added is a member.
    case alreadyMember = 1
    /// The node to be promoted is not a learner.
    case notLearner = 2
    /// The node to be demoted is not a voter.
    case notVoter = 3
    /// There would be no voter that may lead: none at all, or none with data and a priority above 0.
    case noVoterLeft = 4
    /// There would be more than ``MembershipChange/maximumMembers``, those that were evicted included.
    case tooManyMembers = 5
    /// There is no step in the change.
    case emptyChange = 6
    /// A joint change is under way: it must end first.
    case notSettled = 7
    /// More than ``MemberDescription/maximumInformationSizeBytes`` are said of a member.
    case informationTooLarge = 8
    /// The encoding of the change cannot be read.
    case malformed = 9
    /// There would be a quorum of witnesses alone: witnesses must be fewer than a majority of the voters.
    case tooManyWitnesses = 10
    /// A witness is to keep data, or the other way round. Remove the member, and add it again with an empty
    /// data directory, in two changes.
    case witnessFixed = 11
}

/// What a change does to a membership first.
public enum MembershipTransition: Hashable, Sendable {
    /// At most one voter comes or goes: every quorum of the one meets every quorum of the other, so the new
    /// membership may follow the old one directly (dissertation, section 4.1).
    case simple(Membership)
    /// Old and new voters decide together, each set by its own majority (section 4.3), until this membership
    /// is committed and followed by its ``Membership/left``.
    case joint(Membership)

    /// What is in force first.
    public var membership: Membership {
        switch self {
        case .simple(let membership), .joint(let membership): membership
        }
    }
}

/// Steps that are taken together: in between, nobody decides.
public struct MembershipChange: Hashable, Sendable {
    public enum Step: Hashable, Sendable {
        /// A new member that receives the log and does not vote.
        case addLearner(MemberDescription)
        /// A new member that votes at once. Where it has no log yet, quorums may have to wait for it: a
        /// learner that is promoted once it caught up is the better way.
        case addVoter(MemberDescription)
        /// A learner becomes a voter.
        case promote(NodeID)
        /// A voter becomes a learner.
        case demote(NodeID)
        /// A member leaves for good; one that was evicted is forgotten.
        case remove(NodeID)
        /// A silent member leaves, and may come back by itself. What is said of it stays.
        case evict(NodeID)
        /// New information on a member, or a new priority. Whether it is a witness must be said as it is.
        case describe(MemberDescription)
    }

    /// The most voters and learners that a change may lead to.
    public static let maximumMembers = 64
    /// The most steps in one change.
    public static let maximumSteps = 256

    public let steps: [Step]

    public init(_ steps: [Step]) {
        self.steps = steps
    }

    /// The nodes that the change promotes.
    public var promotedNodes: [NodeID] {
        steps.compactMap { step in
            if case .promote(let node) = step { node } else { nil }
        }
    }

    /// What follows `membership`. Steps are taken in their order, each on what the ones before it made.
    public func applied(
        to membership: Membership
    ) throws(MembershipChangeProblem) -> MembershipTransition {
        guard !steps.isEmpty else { throw .emptyChange }
        guard !membership.isJoint else { throw .notSettled }
        var draft = MembershipDraft(membership)
        for step in steps {
            try draft.take(step)
        }
        guard
            draft.voters.count + draft.learners.count + draft.evicted.count <= MembershipChange.maximumMembers
        else {
            throw .tooManyMembers
        }
        let next = Membership(
            voters: draft.voters, learners: draft.learners, evicted: draft.evicted,
            descriptions: draft.descriptions)
        guard next.voters.contains(where: { next.priority(of: $0) > 0 && !next.isWitness($0) }) else {
            throw .noVoterLeft
        }
        guard next.hasDataInEveryQuorum else { throw .tooManyWitnesses }
        let known = membership.members + membership.evicted
        let staying = (next.members + next.evicted).filter { known.contains($0) }
        guard staying.allSatisfy({ next.isWitness($0) == membership.isWitness($0) }) else {
            throw .witnessFixed
        }
        let old = membership.voters
        let changed = next.voters.count { !old.contains($0) } + old.count { !next.voters.contains($0) }
        guard changed > 1 else { return .simple(next) }
        // Outgoing voters stay members, and what is said of them stays with them.
        return .joint(
            Membership(
                voters: next.voters, outgoingVoters: old, learners: next.learners,
                learnersNext: next.learners.filter { old.contains($0) }, evicted: next.evicted,
                descriptions: next.descriptions + membership.descriptions))
    }
}

/// A membership in the middle of a change.
private struct MembershipDraft {
    var voters: [NodeID]
    var learners: [NodeID]
    var evicted: [NodeID]
    var descriptions: [MemberDescription]

    init(_ membership: Membership) {
        voters = membership.voters
        learners = membership.learners
        evicted = membership.evicted
        descriptions = membership.descriptions
    }

    mutating func take(_ step: MembershipChange.Step) throws(MembershipChangeProblem) {
        switch step {
        case .addLearner(let description):
            try requireStranger(description.node)
            learners.append(description.node)
            evicted.removeAll { $0 == description.node }
            try describe(description)
        case .addVoter(let description):
            try requireStranger(description.node)
            voters.append(description.node)
            evicted.removeAll { $0 == description.node }
            try describe(description)
        case .promote(let node):
            try requireMember(node)
            guard learners.contains(node) else { throw .notLearner }
            learners.removeAll { $0 == node }
            voters.append(node)
        case .demote(let node):
            try requireMember(node)
            guard voters.contains(node) else { throw .notVoter }
            voters.removeAll { $0 == node }
            learners.append(node)
        case .evict(let node):
            try requireMember(node)
            voters.removeAll { $0 == node }
            learners.removeAll { $0 == node }
            evicted.append(node)
        case .remove(let node):
            if !evicted.contains(node) { try requireMember(node) }
            evicted.removeAll { $0 == node }
            voters.removeAll { $0 == node }
            learners.removeAll { $0 == node }
            descriptions.removeAll { $0.node == node }
        case .describe(let description):
            try requireMember(description.node)
            try describe(description)
        }
    }

    private mutating func describe(_ description: MemberDescription) throws(MembershipChangeProblem) {
        guard description.information.count <= MemberDescription.maximumInformationSizeBytes else {
            throw .informationTooLarge
        }
        descriptions.removeAll { $0.node == description.node }
        descriptions.append(description)
    }

    private func requireMember(_ node: NodeID) throws(MembershipChangeProblem) {
        guard voters.contains(node) || learners.contains(node) else { throw .unknownMember }
    }

    private func requireStranger(_ node: NodeID) throws(MembershipChangeProblem) {
        guard !voters.contains(node), !learners.contains(node) else { throw .alreadyMember }
    }
}
