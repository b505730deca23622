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

    public init(voters: [NodeID], outgoingVoters: [NodeID] = [], learners: [NodeID] = []) {
        self.voters = Membership.normalized(voters)
        self.outgoingVoters = Membership.normalized(outgoingVoters)
        let voting = self.voters + self.outgoingVoters
        self.learners = Membership.normalized(learners.filter { !voting.contains($0) })
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

    private static func normalized(_ nodes: [NodeID]) -> [NodeID] {
        var result: [NodeID] = []
        for node in nodes.sorted() where result.last != node {
            result.append(node)
        }
        return result
    }
}
