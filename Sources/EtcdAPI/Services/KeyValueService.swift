import KeyValueCore
import ReplicaRuntime

/// The replicated store as the client port sees it. Everything happens on the one event loop that both live
/// on: calls return at once, and completions are called on that loop, exactly once, at any time from within
/// the call on.
public protocol KeyValueService: AnyObject {
    /// What this member has applied.
    var store: KeyValueStore { get }

    /// Stands in every response, so it must cost nothing.
    var header: ServiceHeader { get }

    var status: ServiceStatus { get }

    /// On a witness, which has no data, the names of the members that have: clients are sent to them. `nil` on
    /// every other node.
    var membersWithData: [String]? { get }

    /// Replicates a command and answers with its result once it is applied here.
    func propose(
        _ command: Command, completion: @escaping (Result<CommandResult, ServiceError>) -> Void)

    /// Answers once ``store`` holds every write that was acknowledged before the call.
    func linearizableRead(_ completion: @escaping (ServiceError?) -> Void)

    /// Gives a lease its full time again and answers with that time in seconds. Asks the leader.
    func renewLease(_ id: LeaseID, completion: @escaping (Result<Int64, ServiceError>) -> Void)

    /// What is left of a lease's time, and how much it was granted. Asks the leader.
    func leaseTimeToLive(
        _ id: LeaseID,
        completion: @escaping (Result<(remainingSeconds: Int64, grantedSeconds: Int64), ServiceError>) -> Void
    )

    /// Changes the members and answers once the change is applied here.
    func changeMembers(
        _ change: MemberChange, completion: @escaping (Result<MemberChangeOutcome, ClusterError>) -> Void)

    /// Lets another member lead; answers once it does.
    func moveLeadership(to member: UInt64, completion: @escaping (ClusterError?) -> Void)

    /// Starts a watch. `onPending` is called when there may be something to pull, and may be called again
    /// before that was done.
    func watch(_ request: WatchRequest, onPending: @escaping () -> Void) throws(WatchError) -> WatchID

    /// The next events of a watch.
    func pull(_ id: WatchID, limits: EventLimits) throws(WatchError) -> WatchBatch

    func cancelWatch(_ id: WatchID)

    /// The revision up to which the watch has been given everything; `nil` where there is no such watch.
    func watchProgress(_ id: WatchID) -> Int64?
}

extension KeyValueService {
    public var membersWithData: [String]? { nil }
}

/// Who answers.
public struct ServiceHeader: Hashable, Sendable {
    public var clusterID: UInt64
    public var memberID: UInt64
    public var term: UInt64

    public init(clusterID: UInt64, memberID: UInt64, term: UInt64) {
        self.clusterID = clusterID
        self.memberID = memberID
        self.term = term
    }
}

/// One member as clients are told of it.
public struct MemberInfo: Hashable, Sendable {
    public var id: UInt64
    public var name: String
    public var peerURLs: [String]
    public var clientURLs: [String]
    public var isLearner: Bool

    public init(id: UInt64, name: String, peerURLs: [String], clientURLs: [String], isLearner: Bool = false) {
        self.id = id
        self.name = name
        self.peerURLs = peerURLs
        self.clientURLs = clientURLs
        self.isLearner = isLearner
    }
}

/// How this member and its cluster are.
public struct ServiceStatus: Hashable, Sendable {
    public var clusterID: UInt64
    public var memberID: UInt64
    /// `nil` where no leader is known.
    public var leader: UInt64?
    public var term: UInt64
    public var commitIndex: UInt64
    public var appliedIndex: UInt64
    public var databaseSizeBytes: Int
    public var members: [MemberInfo]
    /// Writes are refused for want of room.
    public var isSpaceExhausted: Bool
    public var isLearner: Bool
    public var leaderChangeCount: Int
    /// Proposals whose outcome is not known yet.
    public var pendingProposalCount: Int
    /// The one in force: the configured one, or longer where round trips are long.
    public var electionTimeoutMilliseconds: Int

    public init(
        clusterID: UInt64, memberID: UInt64, leader: UInt64?, term: UInt64, commitIndex: UInt64,
        appliedIndex: UInt64, databaseSizeBytes: Int, members: [MemberInfo], isSpaceExhausted: Bool,
        isLearner: Bool = false, leaderChangeCount: Int = 0, pendingProposalCount: Int = 0,
        electionTimeoutMilliseconds: Int = 0
    ) {
        self.clusterID = clusterID
        self.memberID = memberID
        self.leader = leader
        self.term = term
        self.commitIndex = commitIndex
        self.appliedIndex = appliedIndex
        self.databaseSizeBytes = databaseSizeBytes
        self.members = members
        self.isSpaceExhausted = isSpaceExhausted
        self.isLearner = isLearner
        self.leaderChangeCount = leaderChangeCount
        self.pendingProposalCount = pendingProposalCount
        self.electionTimeoutMilliseconds = electionTimeoutMilliseconds
    }
}
