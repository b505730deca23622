/// What a run does to its cluster.
public enum FaultKind: String, CaseIterable, Hashable, Sendable, CustomStringConvertible {
    /// SIGKILL, and a start some seconds later.
    case kill
    /// SIGKILL of all nodes at the same moment.
    case killAll = "kill-all"
    /// SIGSTOP, and SIGCONT some seconds later.
    case pause
    /// SIGTERM, and a start as soon as the node has ended.
    case restart
    /// A link, or all links of a node, cut in both directions.
    case cut
    /// The same in one direction.
    case oneWay = "one-way"
    /// Connections reset, again and again.
    case reset
    /// New connections refused; the old ones are reset first.
    case refuse
    /// A link, or all links of a node, with a delay that varies.
    case delay
    /// A link, or all links of a node, with little bandwidth.
    case slowLink = "slow-link"
    /// Cut and healed in turn.
    case flap
    /// Each sync to disk takes long.
    case slowDisk = "slow-disk"
    /// No byte of a node's disk is free.
    case diskFull = "disk-full"

    public var description: String { rawValue }

    /// Whether it takes the node away from clients that are connected to it.
    var stopsNode: Bool {
        switch self {
        case .kill, .killAll, .pause, .restart: true
        default: false
        }
    }

    /// Why the fault cannot be injected here, or `nil`.
    public var obstacle: String? {
        switch self {
        case .slowDisk: SlowDisk.obstacle
        case .diskFull: SmallDisks.obstacle
        default: nil
        }
    }

    /// The kinds that a comma-separated list names.
    public static func list(_ text: String) throws(ChaosFailure) -> [FaultKind] {
        var kinds: [FaultKind] = []
        for name in text.split(separator: ",") {
            guard let kind = FaultKind(rawValue: String(name)) else {
                throw ChaosFailure(
                    "'\(name)' is no fault; there are \(allCases.map(\.rawValue).joined(separator: ", "))")
            }
            if !kinds.contains(kind) { kinds.append(kind) }
        }
        guard !kinds.isEmpty else { throw ChaosFailure("the list of faults is empty") }
        return kinds
    }
}
