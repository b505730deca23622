import ConsensusTypes

/// Why a transfer of the leadership was not begun.
public enum TransferRefusal: UInt8, Error, Hashable, Sendable {
    case notLeader = 0
    /// The target is no member.
    case unknownTarget = 1
    /// The target does not vote, or stops voting with a change that is under way.
    case notVoter = 2
    case alreadyLeader = 3
    /// Another transfer is.
    case underWay = 4
    /// Nobody is fit to take over: no other voter has answered lately and is close behind.
    case noTarget = 5
    /// The target has the priority 0.
    case neverLeads = 6
    /// The target is a witness: it has no data to lead with.
    case witness = 7
}

/// How a transfer of the leadership ended for the leader that began it.
public enum TransferOutcome: UInt8, Hashable, Sendable {
    /// This node leads no longer, as was wanted; usually the target does.
    case steppedDown = 0
    /// There was no new term within an election timeout: this node goes on to lead and takes proposals again.
    case gaveUp = 1
}

/// A transfer that is under way.
struct LeadershipTransfer: Sendable {
    struct Held: Sendable {
        let from: NodeID
        let proposal: Proposal
    }

    let target: NodeID
    let deadline: Instant
    let isForPriority: Bool
    var isTimeoutNowSent = false
    /// What was forwarded meanwhile.
    var held: [Held] = []
    var heldSizeBytes = 0
}
