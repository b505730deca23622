/// Keys that an operation means: one, or those from `key` up to, but not including, `end` (all from `key` on
/// where `end` is one zero byte), as in etcd.
public struct KeySpan: Hashable, Sendable {
    public let key: [UInt8]
    public let end: [UInt8]

    public init(key: [UInt8], end: [UInt8] = []) {
        self.key = key
        self.end = end
    }

    /// Every key.
    public static var all: KeySpan { KeySpan(key: [0], end: [0]) }

    public var isSingleKey: Bool { end.isEmpty }

    public func contains(_ candidate: [UInt8]) -> Bool {
        if isSingleKey { return candidate == key }
        if candidate.lexicographicallyPrecedes(key) { return false }
        return end == [0] || candidate.lexicographicallyPrecedes(end)
    }
}

/// A read or a change, alone or as a part of a transaction.
public enum KeyValueStep: Hashable, Sendable {
    /// All pairs of the span, without a limit, at the current revision.
    case get(KeySpan)
    case put(key: [UInt8], value: [UInt8])
    case delete(KeySpan)

    var span: KeySpan {
        switch self {
        case .get(let span), .delete(let span): span
        case .put(let key, _): KeySpan(key: key)
        }
    }

    var isReadOnly: Bool {
        if case .get = self { return true }
        return false
    }

    var isDeletion: Bool {
        if case .delete = self { return true }
        return false
    }
}

/// A condition of a transaction, with etcd's meaning: a key that is not there has zeros for version and
/// revisions and satisfies no condition on its value.
public struct KeyValueCondition: Hashable, Sendable {
    public enum Relation: Hashable, Sendable {
        case equal
        case notEqual
        case less
        case greater
    }

    public enum Operand: Hashable, Sendable {
        case value([UInt8])
        case version(Int64)
        case createRevision(Int64)
        case modRevision(Int64)
    }

    public let key: [UInt8]
    public let relation: Relation
    public let operand: Operand

    public init(key: [UInt8], _ relation: Relation, _ operand: Operand) {
        self.key = key
        self.relation = relation
        self.operand = operand
    }
}

/// What a client asked of an etcd-compatible store.
public enum KeyValueInput: Hashable, Sendable {
    case step(KeyValueStep)
    /// The steps of `success` where all conditions hold, otherwise those of `failure`; all at one moment.
    case transaction(
        conditions: [KeyValueCondition], success: [KeyValueStep], failure: [KeyValueStep])
    /// A read that any member may answer from its own, possibly old, state.
    case serializableGet(KeySpan)

    public static func get(_ key: [UInt8]) -> KeyValueInput { .step(.get(KeySpan(key: key))) }

    public static func put(_ key: [UInt8], _ value: [UInt8]) -> KeyValueInput {
        .step(.put(key: key, value: value))
    }

    public static func delete(_ key: [UInt8]) -> KeyValueInput { .step(.delete(KeySpan(key: key))) }

    public var isReadOnly: Bool {
        switch self {
        case .step(let step): step.isReadOnly
        case .transaction(_, let success, let failure):
            success.allSatisfy(\.isReadOnly) && failure.allSatisfy(\.isReadOnly)
        case .serializableGet: true
        }
    }

    /// The steps that may be carried out.
    var steps: [KeyValueStep] {
        switch self {
        case .step(let step): [step]
        case .transaction(_, let success, let failure): success + failure
        case .serializableGet(let span): [.get(span)]
        }
    }

    var conditions: [KeyValueCondition] {
        if case .transaction(let conditions, _, _) = self { return conditions }
        return []
    }

    func steps(succeeded: Bool) -> [KeyValueStep] {
        if case .transaction(_, let success, let failure) = self { return succeeded ? success : failure }
        return steps
    }
}

/// A pair as a client was shown it.
public struct ObservedPair: Hashable, Sendable {
    public let key: [UInt8]
    public let value: [UInt8]
    public let createRevision: Int64
    public let modRevision: Int64
    public let version: Int64

    public init(
        key: [UInt8], value: [UInt8], createRevision: Int64, modRevision: Int64, version: Int64
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
    }
}

/// The answer to one step.
public enum KeyValueStepResult: Hashable, Sendable {
    /// In the order of the keys.
    case pairs([ObservedPair])
    case put
    case deleted(count: Int64)
}

/// What a client was answered.
public struct KeyValueOutput: Hashable, Sendable {
    /// From the response's header: of a change its own revision, otherwise that of the state which was read.
    public let revision: Int64
    /// Of a transaction: which branch was carried out. Otherwise true.
    public let succeeded: Bool
    /// One for each step that was carried out.
    public let results: [KeyValueStepResult]

    public init(revision: Int64, succeeded: Bool = true, results: [KeyValueStepResult]) {
        self.revision = revision
        self.succeeded = succeeded
        self.results = results
    }

    var pairs: [ObservedPair] {
        var all: [ObservedPair] = []
        for case .pairs(let pairs) in results { all += pairs }
        return all
    }
}

/// An operation of a client of a key-value store.
public typealias KeyValueHistoryEntry = HistoryEntry<KeyValueInput, KeyValueOutput>
