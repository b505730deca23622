/// Where a vote stands.
public enum VoteOutcome: Hashable, Sendable {
    case pending
    case won
    /// Even if everyone who has not answered agreed, there would be no quorum.
    case lost
}

extension Membership {
    /// The number of members of `group` that make a majority of it.
    public static func majority(of count: Int) -> Int { count / 2 + 1 }

    /// The largest value that a quorum has reached or passed, in every majority that decides.
    ///
    /// With match indexes it is the commit index (Raft paper, section 5.3), with instants the time at which
    /// a quorum was last heard. `nil` where a group of voters is empty: an empty group decides nothing.
    public func quorumValue<Value: Comparable>(_ value: (NodeID) -> Value) -> Value? {
        guard let incoming = Membership.majorityValue(voters, value) else { return nil }
        guard isJoint else { return incoming }
        guard let outgoing = Membership.majorityValue(outgoingVoters, value) else { return nil }
        return min(incoming, outgoing)
    }

    /// Whether the nodes for which `agrees` holds are a quorum.
    public func isQuorum(_ agrees: (NodeID) -> Bool) -> Bool {
        voteOutcome { agrees($0) } == .won
    }

    /// The outcome of a vote in which `answer` is yes, no or not known yet.
    public func voteOutcome(_ answer: (NodeID) -> Bool?) -> VoteOutcome {
        let incoming = Membership.majorityOutcome(voters, answer)
        guard isJoint else { return incoming }
        let outgoing = Membership.majorityOutcome(outgoingVoters, answer)
        if incoming == .lost || outgoing == .lost { return .lost }
        return incoming == .won && outgoing == .won ? .won : .pending
    }

    private static func majorityValue<Value: Comparable>(
        _ group: [NodeID], _ value: (NodeID) -> Value
    ) -> Value? {
        switch group.count {
        case 0:
            return nil
        case 1:
            return value(group[0])
        case 3:
            // The usual size, without an allocation: the middle one of three.
            let first = value(group[0])
            let second = value(group[1])
            let third = value(group[2])
            return max(min(first, second), min(max(first, second), third))
        default:
            var values = group.map(value)
            values.sort(by: >)
            return values[majority(of: group.count) - 1]
        }
    }

    private static func majorityOutcome(_ group: [NodeID], _ answer: (NodeID) -> Bool?) -> VoteOutcome {
        let needed = majority(of: group.count)
        var granted = 0
        var refused = 0
        for node in group {
            switch answer(node) {
            case true?: granted += 1
            case false?: refused += 1
            case nil: break
            }
        }
        if granted >= needed { return .won }
        return group.count - refused < needed ? .lost : .pending
    }
}
