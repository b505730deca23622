/// How much work a check may do before it gives up.
public struct LinearizabilityLimits: Hashable, Sendable {
    /// Steps of the model, over all parts of the history together.
    public var maximumSteps: Int
    /// Remembered configurations in one part, each with a state: they bound the memory.
    public var maximumConfigurations: Int

    /// What a history of some thousand operations may cost in a simulation: searches that need more mostly
    /// never end.
    static var simulated: LinearizabilityLimits {
        LinearizabilityLimits(maximumSteps: 500_000, maximumConfigurations: 100_000)
    }

    public init(maximumSteps: Int = 2_000_000, maximumConfigurations: Int = 200_000) {
        precondition(
            maximumSteps > 0 && maximumConfigurations > 0, "a check must be allowed at least one step")
        self.maximumSteps = maximumSteps
        self.maximumConfigurations = maximumConfigurations
    }
}

/// The answer of a check.
public enum LinearizabilityVerdict: Hashable, Sendable {
    /// Every operation can be given a moment between its invocation and its return, such that the operations
    /// in that order do what the model says.
    case linearizable
    case notLinearizable(LinearizabilityViolation)
    /// The check ran into a limit; neither is shown.
    case undecided(reason: String)

    public var isLinearizable: Bool { self == .linearizable }
}

/// Operations that no order explains.
public struct LinearizabilityViolation: Error, Hashable, Sendable, CustomStringConvertible {
    /// The part of the history, such as the key; empty where there is only one.
    public let partition: String
    /// The number of operations in the smallest beginning of the part that cannot be explained.
    public let prefixOperationCount: Int
    /// The longest order that was found: its last operations, each as a line.
    public let ordered: [String]
    /// The model's state after them.
    public let state: String
    /// Operations of which one would have to come next, and none can.
    public let blocked: [String]
    /// The operation that returned when all hope was lost: it must come before everything that follows.
    public let culprit: String
    /// Operations of unknown outcome that might have been taken in between, and would not have helped.
    public let unknown: [String]

    public var description: String {
        var lines = [
            "no order explains the first \(prefixOperationCount) operations"
                + (partition.isEmpty ? "" : " on \(partition)")
        ]
        if !ordered.isEmpty {
            lines.append("these can be ordered (the last of them):")
            lines += ordered.map { "    \($0)" }
        }
        lines.append("which leaves the state \(state)")
        lines.append("then one of these must come next, and none can:")
        lines += blocked.map { "    \($0)" }
        lines.append("for all others began after this one had returned:")
        lines.append("    \(culprit)")
        if !unknown.isEmpty {
            lines.append("operations of unknown outcome that do not help:")
            lines += unknown.map { "    \($0)" }
        }
        return lines.joined(separator: "\n")
    }
}

/// A guarantee that a history breaks.
public struct HistoryViolation: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name of the guarantee, such as "revisions are unique".
    public let property: String
    public let detail: String

    public init(_ property: String, _ detail: String) {
        self.property = property
        self.detail = detail
    }

    public var description: String { "\(property): \(detail)" }
}
