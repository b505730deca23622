import ConsensusTypes

/// Why a proposal will never be in the log.
public enum ProposalRejection: Hashable, Sendable {
    /// The receiver is not, or no longer, the leader of the term that the proposal was sent to. It may have
    /// appended an earlier copy of it, so this alone does not tell that the proposal is in no log: an
    /// applied entry of a later term does.
    case notLeader
    /// Too much is proposed and not yet committed.
    case overloaded
    /// The leader has no room on its disk.
    case noSpace
    /// An earlier change of the membership is not committed, or a joint one has not ended. Try again later.
    case changeUnderWay
    /// The leader has not yet committed an entry of its own term, before which no change is safe (Ongaro's
    /// correction of 2015 to the dissertation, section 4.1). Try again soon.
    case leaderNotReady
    /// A learner that is to be promoted has not answered lately or lacks more than
    /// ``RaftCore/readyLearnerLag`` entries. Try again later.
    case learnerNotReady
    /// The payload is larger than ``RaftSettings/maximumEntrySizeBytes``.
    case tooLarge
    /// The membership in force does not allow the change.
    case invalidChange(MembershipChangeProblem)
}

extension ProposalRejection: RawRepresentable {
    /// Problems of changes stand after this number.
    private static let firstChangeProblem: UInt8 = 16

    /// The number between nodes; `nil` where no reason has it.
    public init?(rawValue: UInt8) {
        switch rawValue {
        case 0: self = .notLeader
        case 1: self = .overloaded
        case 2: self = .noSpace
        case 3: self = .changeUnderWay
        case 4: self = .leaderNotReady
        case 5: self = .learnerNotReady
        case 6: self = .tooLarge
        default:
            guard rawValue >= ProposalRejection.firstChangeProblem,
                let problem = MembershipChangeProblem(
                    rawValue: rawValue - ProposalRejection.firstChangeProblem)
            else { return nil }
            self = .invalidChange(problem)
        }
    }

    public var rawValue: UInt8 {
        switch self {
        case .notLeader: 0
        case .overloaded: 1
        case .noSpace: 2
        case .changeUnderWay: 3
        case .leaderNotReady: 4
        case .learnerNotReady: 5
        case .tooLarge: 6
        case .invalidChange(let problem): ProposalRejection.firstChangeProblem + problem.rawValue
        }
    }
}
