/// Why a node of this process does not run, or runs no longer.
public enum NodeRunError: Error, Hashable, Sendable, CustomStringConvertible {
    /// `run()` was called before. Make a new value for another run.
    case ranBefore
    /// It runs with the ``HoldfastNode`` that it was made by: run that one.
    case runsWithItsNode
    /// The node could not start: its data cannot be read, or its address is taken.
    case cannotStart(String)
    /// The members did not let the node join (``NodeConfiguration/seeds``), or could not be reached.
    case cannotJoin(String)
    /// The node could not go on, for example because its disk failed. What was acknowledged is safe.
    case failed(String)
    /// The node was removed from its cluster. To take part again it must be added, and start with an empty
    /// directory and ``NodeConfiguration/joinsRunningCluster``.
    case removed

    public var description: String {
        switch self {
        case .ranBefore: "run() was called before: make a new value for another run"
        case .runsWithItsNode: "it runs with the HoldfastNode that it was made by: run that one"
        case .cannotStart(let reason): "the node cannot start: \(reason)"
        case .cannotJoin(let reason): "the node cannot join: \(reason)"
        case .failed(let reason): "the node failed: \(reason)"
        case .removed:
            "the node was removed from its cluster: to take part again it must be added, and start with an empty "
                + "data directory and joinsRunningCluster"
        }
    }
}
