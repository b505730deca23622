import KeyValueCore
import ReplicaRuntime

/// The statuses that clients know: codes and texts are etcd's own, because clients compare them.
public enum EtcdStatus {
    // What is wrong with a request.
    public static let emptyKey = GRPCStatus(.invalidArgument, "etcdserver: key is not provided")
    public static let keyNotFound = GRPCStatus(.invalidArgument, "etcdserver: key not found")
    public static let valueProvided = GRPCStatus(.invalidArgument, "etcdserver: value is provided")
    public static let leaseProvided = GRPCStatus(.invalidArgument, "etcdserver: lease is provided")
    public static let tooManyOperations = GRPCStatus(
        .invalidArgument, "etcdserver: too many operations in txn request")
    public static let duplicateKey = GRPCStatus(
        .invalidArgument, "etcdserver: duplicate key given in txn request")
    public static let invalidSortOption = GRPCStatus(.invalidArgument, "etcdserver: invalid sort option")
    public static let requestTooLarge = GRPCStatus(.invalidArgument, "etcdserver: request is too large")
    public static let compacted = GRPCStatus(
        .outOfRange, "etcdserver: mvcc: required revision has been compacted")
    public static let futureRevision = GRPCStatus(
        .outOfRange, "etcdserver: mvcc: required revision is a future revision")
    public static let leaseNotFound = GRPCStatus(.notFound, "etcdserver: requested lease not found")
    public static let leaseExists = GRPCStatus(.failedPrecondition, "etcdserver: lease already exists")
    public static let leaseTimeToLiveTooLarge = GRPCStatus(.outOfRange, "etcdserver: too large lease TTL")

    // What is wrong with the cluster.
    public static let noSpace = GRPCStatus(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
    public static let tooManyRequests = GRPCStatus(.resourceExhausted, "etcdserver: too many requests")
    public static let noLeader = GRPCStatus(.unavailable, "etcdserver: no leader")
    public static let leaderChanged = GRPCStatus(.unavailable, "etcdserver: leader changed")
    public static let stopped = GRPCStatus(.unavailable, "etcdserver: server stopped")
    public static let timeout = GRPCStatus(.unavailable, "etcdserver: request timed out")
    public static let timeoutLeaderFailure = GRPCStatus(
        .unavailable, "etcdserver: request timed out, possibly due to previous leader failure")

    /// This node has no data.
    public static func witness(_ others: [String]) -> GRPCStatus {
        let remedy = others.isEmpty ? "ask another member" : "ask \(others.joined(separator: " or "))"
        return GRPCStatus(.unavailable, "holdfast: this node is a witness: \(remedy)")
    }

    // What is wrong with a change of the members.
    public static let memberExists = GRPCStatus(
        .failedPrecondition, "etcdserver: member ID already exist")
    public static let peerURLExists = GRPCStatus(
        .failedPrecondition, "etcdserver: Peer URLs already exists")
    public static let memberNotFound = GRPCStatus(.notFound, "etcdserver: member not found")
    public static let notLearner = GRPCStatus(
        .failedPrecondition, "etcdserver: can only promote a learner member")
    public static let learnerNotReady = GRPCStatus(
        .failedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader")
    public static let invalidMemberURLs = GRPCStatus(
        .invalidArgument, "etcdserver: given member URLs are invalid")
    public static let tooManyMembers = GRPCStatus(
        .failedPrecondition, "holdfast: the cluster has as many members as it may have")
    public static let notEnoughMembers = GRPCStatus(
        .failedPrecondition,
        "etcdserver: re-configuration failed due to not enough started members")
    public static let notLeader = GRPCStatus(.failedPrecondition, "etcdserver: not leader")
    public static let cannotLead = GRPCStatus(.failedPrecondition, "etcdserver: bad leader transferee")

    public static func of(_ error: KeyValueError) -> GRPCStatus {
        switch error {
        case .emptyKey: emptyKey
        case .compacted: compacted
        case .futureRevision: futureRevision
        case .keyNotFound: keyNotFound
        case .valueProvided: valueProvided
        case .leaseProvided: leaseProvided
        case .leaseNotFound: leaseNotFound
        case .leaseExists: leaseExists
        case .leaseTimeToLiveTooLarge: leaseTimeToLiveTooLarge
        case .duplicateKey: duplicateKey
        case .tooManyOperations: tooManyOperations
        case .invalidSortOption: invalidSortOption
        case .noSpace: noSpace
        case .requestTooLarge: requestTooLarge
        }
    }

    public static func of(_ error: ClusterError) -> GRPCStatus {
        switch error {
        case .memberExists: memberExists
        case .peerURLExists: peerURLExists
        case .memberNotFound: memberNotFound
        case .notLearner: notLearner
        case .learnerNotReady: learnerNotReady
        case .invalidURLs: invalidMemberURLs
        case .tooManyMembers: tooManyMembers
        case .noVoterLeft: notEnoughMembers
        case .notLeader: notLeader
        case .cannotLead: cannotLead
        case .service(let error): of(error)
        }
    }

    public static func of(_ error: ServiceError) -> GRPCStatus {
        switch error {
        case .keyValue(let error): of(error)
        case .noLeader: noLeader
        case .timeout: timeout
        case .timeoutLeaderFailure: timeoutLeaderFailure
        case .noSpace: noSpace
        case .tooManyRequests: tooManyRequests
        case .stopped: stopped
        case .leaderChanged: leaderChanged
        case .witness: witness([])
        }
    }
}

extension MessageReader {
    /// How a call ends whose messages cannot be read; the texts are those of Go's gRPC server.
    static func status(_ failure: Failure) -> GRPCStatus {
        switch failure {
        case .compressed:
            GRPCStatus(
                .unimplemented,
                "grpc: a message is compressed although no grpc-encoding was named; only identity is understood"
            )
        case .invalidFlag(let flag):
            GRPCStatus(.internal, "grpc: received unexpected payload format \(flag)")
        case .tooLarge(let size, let maximum):
            GRPCStatus(
                .resourceExhausted, "grpc: received message larger than max (\(size) vs. \(maximum))")
        }
    }
}
