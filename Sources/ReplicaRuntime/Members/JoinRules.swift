import ConsensusTypes
import WriteAheadLog

/// What a leader does about a node that asks to join.
enum JoinDecision: Hashable {
    /// Make the change; the node is a member once it is committed.
    case change(MembershipChange)
    case refuse(JoinRefusal, reason: String)
}

/// Decides on the leader whether a node may join, by the membership in force.
///
/// A question may come again, since its answer was lost or the node crashed before it had written it down: then the
/// node is a member already, and what is said of it is confirmed through the log, so that no leader that was
/// replaced answers. A node that lost its disk asks again too; it is adopted like any other that did (decision 4).
struct JoinRules {
    let membership: Membership
    /// Whether nodes are found by their addresses.
    let isAddressed: Bool
    /// The directory with which a node takes part and is connected at this moment.
    let livingDirectory: (NodeID) -> DirectoryID?

    func decide(_ question: JoinQuestion) -> JoinDecision {
        let asked = question.information
        if let problem = asked.problem { return .refuse(.malformed, reason: problem) }
        guard !asked.name.isEmpty, !asked.peerAddresses.isEmpty, question.node != NodeID(0) else {
            return .refuse(.malformed, reason: "a node needs a name, an address and an id to join")
        }
        for other in membership.members + membership.evicted where other != question.node {
            if let refusal = conflict(asked, with: other) { return refusal }
        }
        guard membership.isMember(question.node) else {
            return .change(MembershipChange([.addLearner(description(question))]))
        }
        return confirmation(question)
    }

    private func description(_ question: JoinQuestion) -> MemberDescription {
        MemberDescription(
            node: question.node, isPromotedWhenReady: true,
            // One that was evicted as a witness comes back as one.
            isWitness: membership.isWitness(question.node), information: question.information.encode())
    }

    private func conflict(_ asked: MemberInformation, with other: NodeID) -> JoinDecision? {
        guard let known = membership.description(of: other)?.memberInformation else { return nil }
        if known.name == asked.name {
            return .refuse(
                .nameTaken,
                reason:
                    "member \(other) has the name \(asked.name): give this node another one, or remove that "
                    + "member first")
        }
        guard isAddressed, let shared = known.peerAddresses.first(where: asked.peerAddresses.contains) else {
            return nil
        }
        return .refuse(
            .addressInUse,
            reason:
                "member \(known.name.isEmpty ? "\(other)" : known.name) has the address \(shared): give this "
                + "node another one, or remove that member first")
    }

    /// The node is a member: it asked before, or was added by an operator, or another one says to be it.
    private func confirmation(_ question: JoinQuestion) -> JoinDecision {
        let asked = question.information
        let living = livingDirectory(question.node)
        let isSameNode = living == question.directory
        if living != nil, !isSameNode {
            return .refuse(
                .nameTaken,
                reason:
                    "a member with the name \(asked.name) and the id \(question.node) runs: give this node "
                    + "another name and other addresses, or remove that member first")
        }
        let before = membership.description(of: question.node)
        if let known = before?.memberInformation, !isSameNode {
            guard known.name.isEmpty || known.name == asked.name else {
                return .refuse(
                    .addressInUse,
                    reason: "member \(known.name) has these addresses: give this node others, or remove that "
                        + "member first")
            }
            let isThere = known.peerAddresses.allSatisfy(asked.peerAddresses.contains)
            guard !isAddressed || known.peerAddresses.isEmpty || isThere else {
                let addresses = known.peerAddresses.map(\.description).joined(separator: ", ")
                return .refuse(
                    .nameTaken,
                    reason:
                        "member \(asked.name) is reached at \(addresses): start it there, or remove it first")
            }
        }
        return .change(
            MembershipChange([
                .describe(
                    MemberDescription(
                        node: question.node, priority: before?.priority ?? MemberDescription.defaultPriority,
                        isPromotedWhenReady: before?.isPromotedWhenReady ?? true,
                        isWitness: before?.isWitness ?? false, information: asked.encode()))
            ]))
    }
}
