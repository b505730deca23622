import ReplicaRuntime

/// What a client wants changed about the members.
public enum MemberChange: Hashable, Sendable {
    /// A new member, whose id follows from where it listens for the others.
    case add(peerURLs: [String], isLearner: Bool)
    case remove(UInt64)
    case update(UInt64, peerURLs: [String])
    /// A learner is to vote.
    case promote(UInt64)
}

/// What became of it.
public struct MemberChangeOutcome: Hashable, Sendable {
    /// The new member, where one was added.
    public var added: MemberInfo?
    /// All members after the change.
    public var members: [MemberInfo]

    public init(added: MemberInfo? = nil, members: [MemberInfo]) {
        self.added = added
        self.members = members
    }
}

/// Why the members were not changed, or the leadership not moved.
public enum ClusterError: Error, Hashable, Sendable {
    case memberExists
    case peerURLExists
    case memberNotFound
    case notLearner
    /// The learner lacks too much of the log to vote.
    case learnerNotReady
    case invalidURLs
    case tooManyMembers
    /// Nobody could decide any more.
    case noVoterLeft
    /// Only the leader moves the leadership.
    case notLeader
    /// The member cannot lead.
    case cannotLead
    case service(ServiceError)
}
