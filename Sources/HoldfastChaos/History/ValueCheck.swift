/// Holds operations against the store's changes by their values, each of which is written once in a run.
///
/// The checker of histories knows that the store may have other writers, and takes refused operations for none at
/// all. Here nobody else writes the run's keys: what was acknowledged is among the changes, at its revision; what
/// was refused is not; nothing comes twice or from nowhere.
struct ValueCheck {
    static let maximumViolations = 50

    private let history: ChaosHistory
    private var violations: [String] = []

    static func violations(in history: ChaosHistory) -> [String] {
        var check = ValueCheck(history: history)
        check.checkWrites()
        check.checkDeletions()
        return check.violations
    }

    private init(history: ChaosHistory) {
        self.history = history
    }

    private mutating func violate(_ what: String) {
        if violations.count < ValueCheck.maximumViolations { violations.append(what) }
    }

    private static func name(_ record: HistoryRecord) -> String {
        "\(record.action) of \(record.key) by client \(record.client) through node \(record.node + 1)"
    }

    private mutating func checkWrites() {
        var made: [String: HistoryEvent] = [:]
        for event in history.events {
            guard let value = event.value else { continue }
            if let first = made[value] {
                violate(
                    "executed twice: '\(value)' was put into \(event.key) at revisions \(first.revision) and "
                        + "\(event.revision)")
            }
            made[value] = event
        }
        for record in history.records {
            guard let value = record.newValue else { continue }
            check(record, made.removeValue(forKey: value))
        }
        for event in made.values.sorted(by: { $0.revision < $1.revision }) {
            violate(
                "from nowhere: \(event.key) became '\(event.value ?? "")' at revision \(event.revision), which "
                    + "nobody asked for")
        }
    }

    private mutating func check(_ record: HistoryRecord, _ event: HistoryEvent?) {
        if let event, event.key != record.key {
            violate("wrong key: \(Self.name(record)) changed \(event.key) at revision \(event.revision)")
        }
        switch record.outcome {
        case .acknowledged(let answer) where answer.hasChanged:
            guard event?.revision != answer.revision else { return }
            violate(
                "lost write: \(Self.name(record)) was acknowledged at revision \(answer.revision), and "
                    + (event.map { "was made at \($0.revision)" } ?? "was never made"))
        case .acknowledged, .refused:
            guard let event else { return }
            violate("refused and executed: \(Self.name(record)) was made at revision \(event.revision)")
        case .unknown:
            break
        }
    }

    /// Deletions leave no value: they are told apart by key and revision.
    private mutating func checkDeletions() {
        var unclaimed: [String: Set<Int64>] = [:]
        for event in history.events where event.pair == nil {
            unclaimed[event.key, default: []].insert(event.revision)
        }
        var unknown: [String: Int] = [:]
        for record in history.records where record.action == .delete {
            if let answer = record.acknowledgedChange {
                if unclaimed[record.key]?.remove(answer.revision) == nil {
                    violate(
                        "lost write: \(Self.name(record)) was acknowledged at revision \(answer.revision), and "
                            + "was never made, or made for another one")
                }
            } else if record.outcome == .unknown {
                unknown[record.key, default: 0] += 1
            }
        }
        for (key, revisions) in unclaimed.sorted(by: { $0.key < $1.key })
        where revisions.count > unknown[key, default: 0] {
            violate("from nowhere: \(key) was deleted at \(revisions.sorted()), which nobody asked for")
        }
    }
}
