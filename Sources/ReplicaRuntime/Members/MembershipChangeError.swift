import ConsensusTypes
import RaftCore

/// Why a change of the membership was not made, or why its outcome is not known.
public enum MembershipChangeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The membership does not allow it.
    case invalid(MembershipChangeProblem)
    /// Another change has not ended: try again later.
    case changeUnderWay
    /// A learner that is to be promoted lacks too much, or is not there: try again later.
    case learnerNotReady
    /// As for any other request.
    case service(ServiceError)

    /// Whether the change may still have been made, or be made.
    public var isOutcomeUnknown: Bool {
        if case .service(let error) = self { error.isOutcomeUnknown } else { false }
    }

    public var description: String {
        switch self {
        case .invalid(let problem): "the membership does not allow this change: \(problem)"
        case .changeUnderWay: "another change of the membership has not ended; try again later"
        case .learnerNotReady:
            "the learner is not there or lacks too much of the log; try again when it has caught up"
        case .service(let error): "the membership was not changed, or that is not known: \(error)"
        }
    }

    /// `nil` for reasons that any proposal may be refused for, and for a leader that is not ready: that passes.
    init?(_ reason: ProposalRejection) {
        switch reason {
        case .changeUnderWay: self = .changeUnderWay
        case .learnerNotReady: self = .learnerNotReady
        case .invalidChange(let problem): self = .invalid(problem)
        case .leaderNotReady, .notLeader, .overloaded, .noSpace, .tooLarge: return nil
        }
    }
}
