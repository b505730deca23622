/// Who belongs to a group and with which rights, and the quorum arithmetic over them.
///
/// During a change by joint consensus both `voters` and `outgoingVoters` decide, each by a majority of its
/// own (Raft paper, section 6). Every quorum in the system is computed here.
public struct Membership: Hashable, Sendable {
    /// Sorted, without repeats.
    public let voters: [NodeID]
    /// The voters before a change that has not finished; empty otherwise. Sorted, without repeats.
    public let outgoingVoters: [NodeID]
    /// Members that receive the log but do not vote. Sorted, disjoint from both kinds of voters.
    public let learners: [NodeID]
    /// Outgoing voters that become learners when the change ends. Sorted, disjoint from `voters`.
    public let learnersNext: [NodeID]
    /// Former members that a leader removed because they were silent, and that may come back by themselves. They
    /// count in nothing and receive no log, but their descriptions stay, so that everybody keeps links to them.
    /// Sorted, disjoint from voters and learners; outgoing voters among them leave when the change ends.
    public let evicted: [NodeID]
    /// Sorted by node, at most one for each, and only of members and of those that were evicted.
    public let descriptions: [MemberDescription]
    /// Of members and of those that were evicted, who keeps no data, by the descriptions. Sorted.
    public let witnesses: [NodeID]

    /// Puts everything into its normal form: of what is said twice the first counts, and what does not belong
    /// (learners that vote, descriptions of strangers) is left out.
    public init(
        voters: [NodeID], outgoingVoters: [NodeID] = [], learners: [NodeID] = [],
        learnersNext: [NodeID] = [], evicted: [NodeID] = [], descriptions: [MemberDescription] = []
    ) {
        let incoming = Membership.normalized(voters)
        let outgoing = Membership.normalized(outgoingVoters)
        self.voters = incoming
        self.outgoingVoters = outgoing
        let receiving = Membership.normalized(
            learners.filter { !incoming.contains($0) && !outgoing.contains($0) })
        self.learners = receiving
        self.learnersNext = Membership.normalized(
            learnersNext.filter { outgoing.contains($0) && !incoming.contains($0) })
        let members = Membership.normalized(incoming + outgoing + receiving)
        let absent = Membership.normalized(
            evicted.filter { !incoming.contains($0) && !receiving.contains($0) })
        self.evicted = absent
        var known: [MemberDescription] = []
        for node in Membership.normalized(members + absent) where !descriptions.isEmpty {
            if let description = descriptions.first(where: { $0.node == node }) {
                known.append(description)
            }
        }
        self.descriptions = known
        self.witnesses = known.filter(\.isWitness).map(\.node)
    }

    public var isJoint: Bool { !outgoingVoters.isEmpty }

    /// Everyone who receives the log, sorted.
    public var members: [NodeID] {
        Membership.normalized(voters + outgoingVoters + learners)
    }

    public func isVoter(_ node: NodeID) -> Bool {
        voters.contains(node) || outgoingVoters.contains(node)
    }

    public func isMember(_ node: NodeID) -> Bool {
        isVoter(node) || learners.contains(node)
    }

    /// What is said of a member or of one that was evicted; `nil` where nothing is.
    public func description(of node: NodeID) -> MemberDescription? {
        descriptions.first { $0.node == node }
    }

    public func priority(of node: NodeID) -> UInt8 {
        description(of: node)?.priority ?? MemberDescription.defaultPriority
    }

    /// Whether the node keeps no data: see ``MemberDescription/isWitness``.
    public func isWitness(_ node: NodeID) -> Bool {
        witnesses.contains(node)
    }

    /// Whether every quorum has a voter with data in it, in each majority that decides: what is committed is then
    /// never held by witnesses alone.
    public var hasDataInEveryQuorum: Bool {
        witnesses.isEmpty
            || [voters, outgoingVoters].allSatisfy { half in
                half.isEmpty || half.count(where: isWitness) < Membership.majority(of: half.count)
            }
    }

    /// The membership that follows a joint one: the new voters decide alone. Any other follows itself.
    public var left: Membership {
        Membership(
            voters: voters, learners: learners + learnersNext, evicted: evicted, descriptions: descriptions)
    }

    private static func normalized(_ nodes: [NodeID]) -> [NodeID] {
        var result: [NodeID] = []
        for node in nodes.sorted() where result.last != node {
            result.append(node)
        }
        return result
    }
}
