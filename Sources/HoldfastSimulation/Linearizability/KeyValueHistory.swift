/// Everything that a test saw of an etcd-compatible store.
public struct KeyValueHistory: Sendable {
    public var entries: [KeyValueHistoryEntry]
    public var watches: [WatchHistory]

    public init(entries: [KeyValueHistoryEntry] = [], watches: [WatchHistory] = []) {
        self.entries = entries
        self.watches = watches
    }

    /// Both checks of the operations, and that of the watches.
    public func check(
        revisions: RevisionWitness.Settings = RevisionWitness.Settings(),
        limits: LinearizabilityLimits = LinearizabilityLimits()
    ) -> KeyValueHistoryReport {
        var report = KeyValueHistoryReport()
        report.linearizability = LinearizabilityChecker.check(entries, KeyValueModel(), limits: limits)
        switch RevisionWitness.check(entries, watched: watches.flatMap(\.events), settings: revisions) {
        case .consistent(let log):
            report.violations += WatchChecker.check(watches, against: log).map { [$0] } ?? []
        case .inconsistent(let violation):
            report.violations.append(violation)
        case .undecided(let reason):
            report.undecided.append(reason)
        }
        if case .undecided(let reason) = report.linearizability { report.undecided.append(reason) }
        return report
    }
}

/// What ``KeyValueHistory/check(revisions:limits:)`` found.
public struct KeyValueHistoryReport: Sendable, CustomStringConvertible {
    public internal(set) var linearizability = LinearizabilityVerdict.linearizable
    /// Of revisions and watches.
    public internal(set) var violations: [HistoryViolation] = []
    /// What could not be decided, and why.
    public internal(set) var undecided: [String] = []

    public var isClean: Bool { linearizability.isLinearizable && violations.isEmpty && undecided.isEmpty }

    /// Whether something was shown to be wrong.
    public var isViolated: Bool {
        if case .notLinearizable = linearizability { return true }
        return !violations.isEmpty
    }

    public var description: String {
        var lines: [String] = []
        if case .notLinearizable(let violation) = linearizability { lines.append("\(violation)") }
        lines += violations.map(\.description)
        lines += undecided.map { "undecided: \($0)" }
        return lines.isEmpty ? "linearizable, and true to its revisions" : lines.joined(separator: "\n")
    }
}
