/// One condition of a transaction. Over a range, every key in it must satisfy the condition. A key that is
/// not there has zeros for its revisions, version and lease, and satisfies no condition on its value.
public struct Compare: Hashable, Sendable {
    public enum Result: UInt8, Hashable, Sendable {
        case equal = 0
        case greater = 1
        case less = 2
        case notEqual = 3
    }

    /// What is compared, and what with.
    public enum Target: Hashable, Sendable {
        case version(Int64)
        case createRevision(Int64)
        case modRevision(Int64)
        case value([UInt8])
        /// Zero stands for "no lease".
        case lease(Int64)
    }

    public var range: KeyRange
    public var result: Result
    public var target: Target

    public init(range: KeyRange, result: Result, target: Target) {
        self.range = range
        self.result = result
        self.target = target
    }
}

/// One step of a transaction.
public indirect enum Operation: Hashable, Sendable {
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case transaction(TransactionRequest)
}

/// If all conditions hold, the operations in `success`, otherwise those in `failure`; all or none of them,
/// in order, at one revision. As in etcd, the conditions of nested transactions too are evaluated before
/// anything is changed.
public struct TransactionRequest: Hashable, Sendable {
    public var compare: [Compare]
    public var success: [Operation]
    public var failure: [Operation]

    public init(compare: [Compare] = [], success: [Operation] = [], failure: [Operation] = []) {
        self.compare = compare
        self.success = success
        self.failure = failure
    }

    /// Whether no branch, here or nested, can change anything: such a transaction needs no log entry.
    public var isReadOnly: Bool {
        !success.contains(where: \.mayWrite) && !failure.contains(where: \.mayWrite)
    }

    /// Whether it is read-only and all its ranges are serializable, so that any member may answer it.
    public var isSerializable: Bool {
        success.allSatisfy(\.isSerializable) && failure.allSatisfy(\.isSerializable)
    }

    /// Whether a branch, here or nested, contains a put.
    public var needsSpace: Bool {
        success.contains(where: \.needsSpace) || failure.contains(where: \.needsSpace)
    }
}

extension Operation {
    var mayWrite: Bool {
        switch self {
        case .range: false
        case .put, .deleteRange: true
        case .transaction(let nested): !nested.isReadOnly
        }
    }

    var isSerializable: Bool {
        switch self {
        case .range(let request): request.serializable
        case .put, .deleteRange: false
        case .transaction(let nested): nested.isSerializable
        }
    }

    var needsSpace: Bool {
        switch self {
        case .range, .deleteRange: false
        case .put: true
        case .transaction(let nested): nested.needsSpace
        }
    }
}

/// The outcome of one ``Operation``, of the same kind.
public indirect enum OperationResponse: Hashable, Sendable {
    case range(RangeResponse)
    case put(PutResponse)
    case deleteRange(DeleteRangeResponse)
    case transaction(TransactionResponse)
}

public struct TransactionResponse: Hashable, Sendable {
    public var succeeded: Bool
    public var responses: [OperationResponse]
    /// Zero in a nested response, whose header etcd leaves empty.
    public var revision: Int64

    public init(succeeded: Bool, responses: [OperationResponse], revision: Int64) {
        self.succeeded = succeeded
        self.responses = responses
        self.revision = revision
    }
}
