import WriteAheadLog

/// Why a node could not join a running cluster. Each says what to do.
public enum JoinError: Error, Sendable, CustomStringConvertible {
    /// The members take nobody who asks.
    case notAccepted(seed: QuestionTarget, reason: String)
    /// The seed belongs to another cluster or election.
    case otherCluster(seed: QuestionTarget, reason: String)
    /// A member has the name, and runs or is another node.
    case nameTaken(reason: String)
    /// A member has the address.
    case addressInUse(reason: String)
    case tooManyMembers(reason: String)
    /// The members cannot make anything of the question, or this node of their answer.
    case notUnderstood(seed: QuestionTarget, reason: String)
    /// Nobody led for as long as was asked.
    case noLeader(seed: QuestionTarget, reason: String)
    /// No seed answered for as long as was asked; what happened at the last try.
    case unreachable(seed: QuestionTarget, reason: String)
    /// It could not be done for as long as was asked.
    case unavailable(seed: QuestionTarget, reason: String)
    /// What the node is to say of itself cannot be said.
    case invalid(String)
    case cancelled
    case dataDirectory(DataDirectoryError)

    public var description: String {
        switch self {
        case .notAccepted(let seed, let reason): "\(seed) does not let this node join: \(reason)"
        case .otherCluster(let seed, let reason): "\(seed) does not let this node join: \(reason)"
        case .nameTaken(let reason), .addressInUse(let reason), .tooManyMembers(let reason):
            "this node cannot join: \(reason)"
        case .notUnderstood(let seed, let reason):
            "\(seed) and this node do not understand each other: \(reason); use the same version on both"
        case .noLeader(let seed, let reason):
            "\(seed) cannot let this node join: \(reason); start more of the members, or wait for them"
        case .unreachable(let seed, let reason):
            "\(seed) cannot be asked to let this node join: \(reason); give the peer address of a member that runs"
        case .unavailable(let seed, let reason):
            "\(seed) could not let this node join: \(reason); try again later"
        case .invalid(let problem): "this node cannot ask to join: \(problem)"
        case .cancelled: "this node was told to stop before it had joined"
        case .dataDirectory(let error): "\(error)"
        }
    }

    init(_ code: UInt8, _ reason: String, from seed: QuestionTarget) {
        switch JoinRefusal(rawValue: code) {
        case .notAccepted: self = .notAccepted(seed: seed, reason: reason)
        case .otherCluster: self = .otherCluster(seed: seed, reason: reason)
        case .nameTaken: self = .nameTaken(reason: reason)
        case .addressInUse: self = .addressInUse(reason: reason)
        case .tooManyMembers: self = .tooManyMembers(reason: reason)
        case .noLeader: self = .noLeader(seed: seed, reason: reason)
        case .busy: self = .unavailable(seed: seed, reason: reason)
        case .malformed, nil: self = .notUnderstood(seed: seed, reason: reason)
        }
    }

    /// Whether asking again may help.
    var isPassing: Bool {
        switch self {
        case .noLeader, .unreachable, .unavailable: true
        default: false
        }
    }
}
