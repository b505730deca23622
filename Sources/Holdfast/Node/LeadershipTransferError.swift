/// Why the leadership was not handed over. This node, where it led, goes on to lead.
public enum LeadershipTransferError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Only the leader can hand over.
    case notLeader
    /// The target is no voter, or leads already, or nobody is fit to take over.
    case refused(String)
    /// The target did not take over within an election timeout.
    case gaveUp
    /// This node does not run.
    case stopped

    public var description: String {
        switch self {
        case .notLeader: "this node does not lead: ask the one that does"
        case .refused(let reason): "the leadership cannot be handed over: \(reason)"
        case .gaveUp: "nobody took the leadership over within an election timeout"
        case .stopped: "this node does not run"
        }
    }
}
