import HoldfastSimulation

/// Judges a history with the checker that judges the simulator's, and by what it cannot know.
public enum HistoryVerdict {
    /// What is wrong with the history, or could not be shown to be right; nothing where it is right.
    public static func violations(in history: ChaosHistory) -> [String] {
        ValueCheck.violations(in: history) + checkerViolations(in: history)
    }

    private static func checkerViolations(in history: ChaosHistory) -> [String] {
        let watch = WatchHistory(
            name: "the watches", span: .all,
            observations: [
                .started(revision: history.initialRevision + 1),
                .events(history.events.map { WatchedEvent($0) }),
                .progress(revision: history.lastRevision),
            ])
        let report = KeyValueHistory(entries: history.records.compactMap(entry), watches: [watch]).check(
            revisions: RevisionWitness.Settings(
                initialRevision: history.initialRevision, allowsForeignWrites: true))
        var found = report.violations.map(\.description)
        if case .notLinearizable(let violation) = report.linearizability {
            found.append("not linearizable: \(violation)")
        }
        return found + report.undecided.map { "undecided: \($0)" }
    }

    /// `nil` for what was refused for certain: it does not belong into a history.
    private static func entry(_ record: HistoryRecord) -> KeyValueHistoryEntry? {
        let input = input(of: record)
        let invokedAt = Int64(record.invokedAt.nanoseconds)
        switch record.outcome {
        case .refused:
            return nil
        case .unknown:
            return KeyValueHistoryEntry(client: record.client, invokedAt: invokedAt, input: input)
        case .acknowledged(let answer):
            return KeyValueHistoryEntry(
                client: record.client, invokedAt: invokedAt, returnedAt: Int64(record.endedAt.nanoseconds),
                input: input, output: output(of: record, answer))
        }
    }

    private static func input(of record: HistoryRecord) -> KeyValueInput {
        let key = Array(record.key.utf8)
        switch record.action {
        case .get: return .get(key)
        case .put(let value): return .put(key, Array(value.utf8))
        case .delete: return .delete(key)
        case .compareAndSwap(let expected, let value):
            let operand = expected.map { KeyValueCondition.Operand.value(Array($0.utf8)) } ?? .version(0)
            return .transaction(
                conditions: [KeyValueCondition(key: key, .equal, operand)],
                success: [.put(key: key, value: Array(value.utf8))], failure: [.get(KeySpan(key: key))])
        }
    }

    private static func output(of record: HistoryRecord, _ answer: HistoryRecord.Answer) -> KeyValueOutput {
        let pairs = answer.pair.map { [ObservedPair(key: Array(record.key.utf8), $0)] } ?? []
        let result: KeyValueStepResult
        var hasSucceeded = true
        switch record.action {
        case .get: result = .pairs(pairs)
        case .put: result = .put
        case .delete: result = .deleted(count: answer.hasChanged ? 1 : 0)
        case .compareAndSwap:
            result = answer.hasChanged ? .put : .pairs(pairs)
            hasSucceeded = answer.hasChanged
        }
        return KeyValueOutput(revision: answer.revision, succeeded: hasSucceeded, results: [result])
    }
}

extension ObservedPair {
    fileprivate init(key: [UInt8], _ pair: HistoryPair) {
        self.init(
            key: key, value: Array(pair.value.utf8), createRevision: pair.createRevision,
            modRevision: pair.modRevision, version: pair.version)
    }
}

extension WatchedEvent {
    fileprivate init(_ event: HistoryEvent) {
        self.init(
            kind: event.pair == nil ? .delete : .put, key: Array(event.key.utf8),
            value: Array((event.value ?? "").utf8), createRevision: event.pair?.createRevision ?? 0,
            modRevision: event.revision, version: event.pair?.version ?? 0)
    }
}
