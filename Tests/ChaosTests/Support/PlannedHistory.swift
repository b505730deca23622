import ConsensusTypes

@testable import HoldfastChaos

/// A history as a store that works would make it: two clients in turn, each operation a millisecond long and
/// overlapping with the next one's begin.
struct PlannedHistory {
    private(set) var history = ChaosHistory(initialRevision: 10, lastRevision: 10)
    private var store: [String: HistoryPair] = [:]
    private var time: UInt64 = 1_000_000

    mutating func put(_ key: String, _ value: String) {
        change(key, to: value)
        add(key, .put(value), hasChanged: true)
    }

    mutating func get(_ key: String) {
        add(key, .get, hasChanged: false, pair: store[key])
    }

    mutating func delete(_ key: String) {
        let isThere = store[key] != nil
        if isThere { change(key, to: nil) }
        add(key, .delete, hasChanged: isThere)
    }

    mutating func swap(_ key: String, _ expected: String?, _ value: String) {
        let found = store[key]
        if found?.value == expected { change(key, to: value) }
        add(
            key, .compareAndSwap(expected: expected, value: value), hasChanged: found?.value == expected,
            pair: found?.value == expected ? nil : found)
    }

    private mutating func change(_ key: String, to value: String?) {
        history.lastRevision += 1
        let revision = history.lastRevision
        let old = store[key]
        store[key] = value.map {
            HistoryPair(
                value: $0, createRevision: old?.createRevision ?? revision, modRevision: revision,
                version: (old?.version ?? 0) + 1)
        }
        history.events.append(HistoryEvent(revision: revision, key: key, pair: store[key]))
    }

    private mutating func add(
        _ key: String, _ action: HistoryRecord.Action, hasChanged: Bool, pair: HistoryPair? = nil
    ) {
        time += 1_000_000
        history.records.append(
            HistoryRecord(
                client: history.records.count % 2, node: history.records.count % 3, key: key, action: action,
                invokedAt: Instant(nanoseconds: time), endedAt: Instant(nanoseconds: time + 1_100_000),
                outcome: .acknowledged(
                    HistoryRecord.Answer(
                        revision: history.lastRevision, hasChanged: hasChanged, pair: pair))))
    }

    /// Some of everything.
    static var sample: ChaosHistory {
        var planned = PlannedHistory()
        for round in 0..<6 {
            for key in ["a", "b"] {
                planned.put(key, "\(key)-put-\(round)")
                planned.get(key)
                planned.swap(key, "\(key)-put-\(round)", "\(key)-swap-\(round)")
                planned.swap(key, "something else", "\(key)-never-\(round)")
                planned.get(key)
                if round % 2 == 0 { planned.delete(key) }
                planned.get(key)
                planned.delete("c")
                planned.swap(key, nil, "\(key)-new-\(round)")
            }
        }
        return planned.history
    }
}

extension HistoryRecord {
    func with(outcome: Outcome) -> HistoryRecord {
        HistoryRecord(
            client: client, node: node, key: key, action: action, invokedAt: invokedAt, endedAt: endedAt,
            outcome: outcome)
    }
}
