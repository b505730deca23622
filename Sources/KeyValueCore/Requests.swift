public enum SortOrder: UInt8, Hashable, Sendable {
    case none = 0
    case ascending = 1
    case descending = 2
}

public enum SortTarget: UInt8, Hashable, Sendable {
    case key = 0
    case version = 1
    case createRevision = 2
    case modRevision = 3
    case value = 4
}

/// Reads keys, now or at an earlier revision. The fields mean what they mean in etcd's `RangeRequest`.
public struct RangeRequest: Hashable, Sendable {
    public var range: KeyRange
    /// The most pairs to return; zero or less: all.
    public var limit: Int64 = 0
    /// The revision to read at; zero or less: the current one.
    public var revision: Int64 = 0
    public var sortOrder: SortOrder = .none
    public var sortTarget: SortTarget = .key
    /// Whether any member may answer from its own state. Of no effect in the store itself.
    public var serializable = false
    public var keysOnly = false
    public var countOnly = false
    /// Bounds on the pairs returned, each inclusive; zero: no bound. The count does not follow them.
    public var minimumModRevision: Int64 = 0
    public var maximumModRevision: Int64 = 0
    public var minimumCreateRevision: Int64 = 0
    public var maximumCreateRevision: Int64 = 0

    public init(range: KeyRange, limit: Int64 = 0, revision: Int64 = 0) {
        self.range = range
        self.limit = limit
        self.revision = revision
    }
}

public struct RangeResponse: Hashable, Sendable {
    public var keyValues: [KeyValue]
    /// Whether `limit` cut pairs off.
    public var more: Bool
    /// The number of keys in the range, whatever the limit and the bounds on revisions.
    public var count: Int64
    /// The store's revision when the request was answered, for the response's header.
    public var revision: Int64

    public init(keyValues: [KeyValue], more: Bool, count: Int64, revision: Int64) {
        self.keyValues = keyValues
        self.more = more
        self.count = count
        self.revision = revision
    }
}

public struct PutRequest: Hashable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
    public var lease: LeaseID?
    /// Whether the response carries the version that was replaced.
    public var previousKeyValue: Bool
    /// Keeps the present value; the key must exist.
    public var ignoreValue: Bool
    /// Keeps the present lease; the key must exist.
    public var ignoreLease: Bool

    public init(
        key: [UInt8], value: [UInt8], lease: LeaseID? = nil, previousKeyValue: Bool = false,
        ignoreValue: Bool = false, ignoreLease: Bool = false
    ) {
        self.key = key
        self.value = value
        self.lease = lease
        self.previousKeyValue = previousKeyValue
        self.ignoreValue = ignoreValue
        self.ignoreLease = ignoreLease
    }
}

public struct PutResponse: Hashable, Sendable {
    public var previous: KeyValue?
    public var revision: Int64

    public init(previous: KeyValue?, revision: Int64) {
        self.previous = previous
        self.revision = revision
    }
}

public struct DeleteRangeRequest: Hashable, Sendable {
    public var range: KeyRange
    /// Whether the response carries what was deleted.
    public var previousKeyValues: Bool

    public init(range: KeyRange, previousKeyValues: Bool = false) {
        self.range = range
        self.previousKeyValues = previousKeyValues
    }
}

public struct DeleteRangeResponse: Hashable, Sendable {
    public var deleted: Int64
    public var previous: [KeyValue]
    public var revision: Int64

    public init(deleted: Int64, previous: [KeyValue], revision: Int64) {
        self.deleted = deleted
        self.previous = previous
        self.revision = revision
    }
}

/// Makes history before a revision unreadable and frees it.
public struct CompactRequest: Hashable, Sendable {
    public var revision: Int64
    /// Whether the caller wants to wait until the space is free. Of no effect in the store itself, where
    /// compacted history is out of reach at once and its space is freed in steps.
    public var physical: Bool

    public init(revision: Int64, physical: Bool = false) {
        self.revision = revision
        self.physical = physical
    }
}
