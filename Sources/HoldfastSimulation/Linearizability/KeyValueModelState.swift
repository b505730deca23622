/// The pairs of a model's store, in the order of their keys. What is not known of a pair is zero, or `nil`,
/// and is learned from the first answer that shows it.
public struct KeyValueModelState: Hashable, Sendable {
    struct Pair: Hashable, Sendable {
        let key: [UInt8]
        var value: [UInt8]?
        var createRevision: Int64
        var modRevision: Int64
        var version: Int64

        /// Whether the pair may be the one that was shown; learns from it what was not known.
        mutating func matches(_ observed: ObservedPair) -> Bool {
            guard key == observed.key, value == nil || value == observed.value,
                Pair.agree(createRevision, observed.createRevision),
                Pair.agree(modRevision, observed.modRevision), Pair.agree(version, observed.version)
            else { return false }
            value = observed.value
            createRevision = observed.createRevision
            modRevision = observed.modRevision
            version = observed.version
            return true
        }

        private static func agree(_ known: Int64, _ observed: Int64) -> Bool {
            known == 0 || known == observed
        }
    }

    var pairs: [Pair] = []

    public init() {}

    subscript(key: [UInt8]) -> Pair? {
        let position = position(of: key)
        guard position < pairs.count, pairs[position].key == key else { return nil }
        return pairs[position]
    }

    /// Where the key is, or would be.
    func position(of key: [UInt8]) -> Int {
        var low = 0
        var high = pairs.count
        while low < high {
            let middle = (low + high) / 2
            if pairs[middle].key.lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func positions(in span: KeySpan) -> Range<Int> {
        let first = position(of: span.key)
        if span.isSingleKey {
            return first..<(first < pairs.count && pairs[first].key == span.key ? first + 1 : first)
        }
        if span.end == [0] { return first..<pairs.count }
        return first..<max(first, position(of: span.end))
    }

    /// `revision` is zero where it is not known. Where it is not certain what was there before, neither
    /// version nor create revision are known afterwards.
    mutating func put(_ key: [UInt8], _ value: [UInt8]?, revision: Int64, isCertain: Bool) {
        let position = position(of: key)
        guard position < pairs.count, pairs[position].key == key else {
            pairs.insert(
                Pair(
                    key: key, value: value, createRevision: isCertain ? revision : 0,
                    modRevision: revision, version: isCertain ? 1 : 0),
                at: position)
            return
        }
        pairs[position].value = value
        pairs[position].modRevision = revision
        if !isCertain {
            pairs[position].createRevision = 0
            pairs[position].version = 0
        } else if pairs[position].version > 0 {
            pairs[position].version += 1
        }
    }
}

/// One key's change.
public struct KeyValueChange: Hashable, Sendable {
    public let key: [UInt8]
    /// `nil`: a deletion.
    public let value: [UInt8]?

    public init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// Why an answer cannot be.
enum KeyValueMismatch {
    case pairs(expected: [KeyValueModelState.Pair], observed: [ObservedPair])
    case deleted(expected: Int, observed: Int64)
    case branch
    case shape
}

/// What may have happened to a key without anyone having been told.
struct KeyDoubt: OptionSet {
    let rawValue: UInt8

    static let mayExist = KeyDoubt(rawValue: 1)
    static let mayBeGone = KeyDoubt(rawValue: 2)
}

/// Carries out steps on a model's store and compares the answers.
struct KeyValueEvaluator {
    var state: KeyValueModelState
    /// Of the changes; zero where it is not known.
    let revision: Int64
    /// Says what may have happened unseen to a key; `nil` where nothing can have.
    var doubt: (([UInt8]) -> KeyDoubt)?
    var recordsChanges = false
    private(set) var changes: [KeyValueChange] = []

    init(state: KeyValueModelState, revision: Int64) {
        self.state = state
        self.revision = revision
    }

    /// Whether all conditions hold; `nil` where that is not known.
    func holds(_ conditions: [KeyValueCondition]) -> Bool? {
        var isKnown = true
        for condition in conditions {
            switch holds(condition) {
            case false?: return false
            case nil: isKnown = false
            case true?: break
            }
        }
        return isKnown ? true : nil
    }

    private func holds(_ condition: KeyValueCondition) -> Bool? {
        if let doubt, !doubt(condition.key).isEmpty { return nil }
        let pair = state[condition.key]
        let difference: Int
        switch condition.operand {
        case .value(let operand):
            guard let pair else { return false }
            guard let value = pair.value else { return nil }
            difference =
                value == operand ? 0 : value.lexicographicallyPrecedes(operand) ? -1 : 1
        case .version(let operand):
            if let pair, pair.version == 0 { return nil }
            difference = KeyValueEvaluator.order(pair?.version ?? 0, operand)
        case .createRevision(let operand):
            if let pair, pair.createRevision == 0 { return nil }
            difference = KeyValueEvaluator.order(pair?.createRevision ?? 0, operand)
        case .modRevision(let operand):
            if let pair, pair.modRevision == 0 { return nil }
            difference = KeyValueEvaluator.order(pair?.modRevision ?? 0, operand)
        }
        switch condition.relation {
        case .equal: return difference == 0
        case .notEqual: return difference != 0
        case .less: return difference < 0
        case .greater: return difference > 0
        }
    }

    private static func order(_ left: Int64, _ right: Int64) -> Int {
        left == right ? 0 : left < right ? -1 : 1
    }

    /// Carries out the steps; `results` are the answers, where they are known.
    mutating func run(_ steps: [KeyValueStep], _ results: [KeyValueStepResult]?) -> KeyValueMismatch? {
        if let results, results.count != steps.count { return .shape }
        for (position, step) in steps.enumerated() {
            if let mismatch = run(step, results?[position]) { return mismatch }
        }
        return nil
    }

    private mutating func run(_ step: KeyValueStep, _ result: KeyValueStepResult?) -> KeyValueMismatch? {
        switch (step, result) {
        case (.get(let span), .pairs(let observed)?):
            return match(span, observed)
        case (.get, nil):
            return nil
        case (.put(let key, let value), .put?), (.put(let key, let value), nil):
            state.put(key, value, revision: revision, isCertain: doubt?(key).isEmpty ?? true)
            if recordsChanges { changes.append(KeyValueChange(key: key, value: value)) }
            return nil
        case (.delete(let span), .deleted(let observed)?):
            let positions = state.positions(in: span)
            guard mayDelete(observed, positions.count, span) else {
                return .deleted(expected: positions.count, observed: observed)
            }
            delete(positions)
            return nil
        case (.delete(let span), nil):
            delete(state.positions(in: span))
            return nil
        default:
            return .shape
        }
    }

    private func mayDelete(_ observed: Int64, _ expected: Int, _ span: KeySpan) -> Bool {
        if observed == expected { return true }
        guard let doubt else { return false }
        // A span of several keys may hold some that the state does not know of.
        guard span.isSingleKey else { return true }
        return doubt(span.key).contains(observed < expected ? .mayBeGone : .mayExist)
    }

    private mutating func delete(_ positions: Range<Int>) {
        if recordsChanges {
            changes += state.pairs[positions].map { KeyValueChange(key: $0.key, value: nil) }
        }
        state.pairs.removeSubrange(positions)
    }

    private mutating func match(_ span: KeySpan, _ observed: [ObservedPair]) -> KeyValueMismatch? {
        let positions = state.positions(in: span)
        let matches =
            positions.count == observed.count
            && zip(positions, observed).allSatisfy { state.pairs[$0].matches($1) }
        return matches ? nil : .pairs(expected: Array(state.pairs[positions]), observed: observed)
    }
}
