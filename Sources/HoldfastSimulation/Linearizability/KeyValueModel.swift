/// The specification of an etcd-compatible store for the linearizability checker: put, get, delete and
/// transactions, over single keys and ranges, with unknown outcomes.
///
/// What a check against it proves: for each key, or group of keys that transactions and range deletions tie
/// together, there is an order of all operations, true to real time, in which every value, version, count and
/// branch that a client was told is what the operations before it make. Create and mod revisions are compared
/// as attributes of a pair; that they grow in the right order is not used. So it needs no trust in what the
/// server says of revisions.
///
/// What it does not prove: that a range read of several otherwise independent keys was of one moment (it is
/// checked as one read of each), and anything about serializable reads. ``RevisionWitness`` does.
public struct KeyValueModel: LinearizabilityModel {
    public typealias State = KeyValueModelState
    public typealias Input = KeyValueInput
    public typealias Output = KeyValueOutput

    /// Range reads over more parts than this are left to ``RevisionWitness``.
    public static let maximumPartsOfRangeRead = 16

    public init() {}

    /// An empty store.
    public var initialState: KeyValueModelState { KeyValueModelState() }

    public func isReadOnly(_ input: KeyValueInput) -> Bool { input.isReadOnly }

    /// The server's revisions are a hint and no more: what contradicts them is still found, or accepted.
    public func orderHint(_ input: KeyValueInput, _ output: KeyValueOutput) -> Int64? {
        output.revision
    }

    public func successors(
        of state: KeyValueModelState, _ input: KeyValueInput, _ output: KeyValueOutput?
    ) -> Successors<KeyValueModelState> {
        switch input {
        case .serializableGet:
            return .one(state)
        case .step(let step):
            var evaluator = KeyValueEvaluator(state: state, revision: output?.revision ?? 0)
            return evaluator.run([step], output?.results) == nil ? .one(evaluator.state) : .none
        case .transaction(let conditions, let success, let failure):
            let evaluator = KeyValueEvaluator(state: state, revision: output?.revision ?? 0)
            let holds = evaluator.holds(conditions)
            if let output {
                guard holds == nil || holds == output.succeeded else { return .none }
                var chosen = evaluator
                return chosen.run(output.succeeded ? success : failure, output.results) == nil
                    ? .one(chosen.state) : .none
            }
            var succeeded = evaluator
            var failed = evaluator
            _ = succeeded.run(success, nil)
            _ = failed.run(failure, nil)
            switch holds {
            case true?: return .one(succeeded.state)
            case false?: return .one(failed.state)
            case nil: return .several([succeeded.state, failed.state])
            }
        }
    }

    public func describe(state: KeyValueModelState) -> String { KeyValueText.text(state) }
    public func describe(input: KeyValueInput) -> String { KeyValueText.text(input) }
    public func describe(output: KeyValueOutput) -> String { KeyValueText.text(output) }

    public func partitions(
        of history: [KeyValueHistoryEntry]
    ) -> [HistoryPartition<KeyValueInput, KeyValueOutput>] {
        KeyValuePartitions(history).parts
    }
}

/// Takes a key-value history apart by keys.
private struct KeyValuePartitions {
    typealias Part = (name: String, entries: [KeyValueHistoryEntry])

    /// All keys that the history speaks of, in order.
    private var keys: [[UInt8]] = []
    private var partitioning = KeyPartitioning<[UInt8]>()
    private var positions: [[UInt8]: Int] = [:]
    private var found: [Part] = []
    private var unobserved: UnobservedValues

    var parts: [HistoryPartition<KeyValueInput, KeyValueOutput>] {
        found.map { HistoryPartition(name: $0.name, entries: $0.entries) }
    }

    init(_ history: [KeyValueHistoryEntry]) {
        unobserved = UnobservedValues(history)
        collectKeys(history)
        for key in keys {
            _ = partitioning.number(of: key)
        }
        for entry in history where !isRangeRead(entry.input) {
            partitioning.join(touched(by: entry.input))
        }
        for entry in history {
            add(entry)
        }
    }

    private mutating func collectKeys(_ history: [KeyValueHistoryEntry]) {
        var seen = Set<[UInt8]>()
        func add(_ key: [UInt8], to keys: inout [[UInt8]]) {
            if seen.insert(key).inserted { keys.append(key) }
        }
        for entry in history {
            for step in entry.input.steps where step.span.isSingleKey {
                add(step.span.key, to: &keys)
            }
            for condition in entry.input.conditions {
                add(condition.key, to: &keys)
            }
            for pair in entry.output?.pairs ?? [] {
                add(pair.key, to: &keys)
            }
        }
        keys.sort { $0.lexicographicallyPrecedes($1) }
    }

    private func isRangeRead(_ input: KeyValueInput) -> Bool {
        switch input {
        case .step(.get(let span)): !span.isSingleKey
        case .serializableGet: true
        default: false
        }
    }

    private func touched(by input: KeyValueInput) -> [[UInt8]] {
        input.conditions.map(\.key) + input.steps.flatMap { known(in: $0.span) }
    }

    private func known(in span: KeySpan) -> [[UInt8]] {
        if span.isSingleKey { return [span.key] }
        return keys.filter(span.contains)
    }

    private mutating func add(_ entry: KeyValueHistoryEntry) {
        if case .serializableGet = entry.input { return }
        if entry.isUnknown, entry.input.isReadOnly { return }
        if case .step(.get(let span)) = entry.input, !span.isSingleKey {
            addRangeRead(entry, span)
        } else if let key = touched(by: entry.input).first {
            add(
                entry.isUnknown ? unobserved.simplified(entry) : entry,
                to: partitioning.representative(of: key))
        }
    }

    /// A read of many keys says of each what it was at a moment of the read.
    private mutating func addRangeRead(_ entry: KeyValueHistoryEntry, _ span: KeySpan) {
        guard let output = entry.output, let returnedAt = entry.returnedAt else { return }
        var parts: [[UInt8]: [ObservedPair]] = [:]
        var order: [[UInt8]] = []
        for key in known(in: span) {
            let part = partitioning.representative(of: key)
            if parts[part] == nil {
                guard order.count < KeyValueModel.maximumPartsOfRangeRead else { return }
                parts[part] = []
                order.append(part)
            }
        }
        for pair in output.pairs {
            parts[partitioning.representative(of: pair.key)]!.append(pair)
        }
        for part in order {
            add(
                KeyValueHistoryEntry(
                    client: entry.client, invokedAt: entry.invokedAt, returnedAt: returnedAt,
                    input: entry.input,
                    output: KeyValueOutput(revision: output.revision, results: [.pairs(parts[part]!)])),
                to: part)
        }
    }

    private mutating func add(_ entry: KeyValueHistoryEntry, to part: [UInt8]) {
        if let position = positions[part] {
            found[position].entries.append(entry)
        } else {
            positions[part] = found.count
            found.append((KeyValueText.text(part), [entry]))
        }
    }
}

/// Values of unknown writes that nobody ever saw: which of them it was makes no difference, and saying so
/// makes the writes interchangeable, which shortens the search.
private struct UnobservedValues {
    private var observed = Set<[UInt8]>()
    private var comparesOrder = false
    private var token: [UInt8] = Array("(a value that nobody saw)".utf8)

    init(_ history: [KeyValueHistoryEntry]) {
        for entry in history {
            for pair in entry.output?.pairs ?? [] {
                observed.insert(pair.value)
            }
            for condition in entry.input.conditions {
                guard case .value(let value) = condition.operand else { continue }
                observed.insert(value)
                if condition.relation == .less || condition.relation == .greater { comparesOrder = true }
            }
        }
        while observed.contains(token) { token.append(0x21) }
    }

    func simplified(_ entry: KeyValueHistoryEntry) -> KeyValueHistoryEntry {
        guard !comparesOrder else { return entry }
        let input: KeyValueInput
        switch entry.input {
        case .step(let step): input = .step(simplified(step))
        case .transaction(let conditions, let success, let failure):
            input = .transaction(
                conditions: conditions, success: success.map(simplified), failure: failure.map(simplified))
        case .serializableGet: input = entry.input
        }
        return KeyValueHistoryEntry(client: entry.client, invokedAt: entry.invokedAt, input: input)
    }

    private func simplified(_ step: KeyValueStep) -> KeyValueStep {
        guard case .put(let key, let value) = step, !observed.contains(value) else { return step }
        return .put(key: key, value: token)
    }
}
