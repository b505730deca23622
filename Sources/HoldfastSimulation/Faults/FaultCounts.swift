/// How many faults a run injected.
public struct FaultCounts: Hashable, Sendable {
    public var lostMessages = 0
    public var duplicatedMessages = 0
    public var reorderedMessages = 0
    /// Crashes within an operation on the disk.
    public var tornWrites = 0
    /// Power cuts after syncs that had made nothing durable.
    public var powerCutsAfterLies = 0
    /// Processes that ran with a copy of a node's directory, and how many of them ended by themselves.
    public var secondProcesses = 0
    public var refusedSecondProcesses = 0
    /// In the order of ``FaultKind/allCases``.
    private var counts = Array(repeating: 0, count: FaultKind.allCases.count)

    public init() {}

    public subscript(kind: FaultKind) -> Int { counts[FaultCounts.position(kind)] }

    mutating func note(_ kind: FaultKind) {
        counts[FaultCounts.position(kind)] += 1
    }

    private static func position(_ kind: FaultKind) -> Int {
        FaultKind.allCases.firstIndex(of: kind)!
    }

    public mutating func add(_ other: FaultCounts) {
        lostMessages += other.lostMessages
        duplicatedMessages += other.duplicatedMessages
        reorderedMessages += other.reorderedMessages
        tornWrites += other.tornWrites
        powerCutsAfterLies += other.powerCutsAfterLies
        secondProcesses += other.secondProcesses
        refusedSecondProcesses += other.refusedSecondProcesses
        for position in counts.indices { counts[position] += other.counts[position] }
    }

    /// One line with what happened at all.
    public var text: String {
        var parts: [String] = []
        for kind in FaultKind.allCases where self[kind] > 0 { parts.append("\(self[kind]) \(kind.rawValue)") }
        if tornWrites > 0 { parts.append("\(tornWrites) torn writes") }
        if powerCutsAfterLies > 0 { parts.append("\(powerCutsAfterLies) power cuts after lying syncs") }
        if secondProcesses > 0 {
            parts.append(
                "\(secondProcesses) second processes (\(refusedSecondProcesses) stopped by themselves)")
        }
        parts.append(
            "messages: \(lostMessages) lost, \(duplicatedMessages) repeated, \(reorderedMessages) late")
        return parts.joined(separator: ", ")
    }
}
