/// Names a watch within one registry, for ever: ids are not used again.
public struct WatchID: Hashable, Comparable, Sendable {
    public let rawValue: UInt64

    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static func < (left: WatchID, right: WatchID) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// What a watch wants.
public struct WatchRequest: Hashable, Sendable {
    public var range: KeyRange
    /// The first revision wanted; zero or less: the next one to come. One that is still to come is waited
    /// for, and nothing before it is delivered.
    public var startRevision: Int64
    public var filtersPuts: Bool
    public var filtersDeletes: Bool
    public var previousKeyValues: Bool

    public init(
        range: KeyRange, startRevision: Int64 = 0, filtersPuts: Bool = false, filtersDeletes: Bool = false,
        previousKeyValues: Bool = false
    ) {
        self.range = range
        self.startRevision = startRevision
        self.filtersPuts = filtersPuts
        self.filtersDeletes = filtersDeletes
        self.previousKeyValues = previousKeyValues
    }
}

public enum WatchError: Error, Hashable, Sendable {
    /// The next revision of the watch has been compacted: cancel it with this compact revision.
    case compacted(revision: Int64)
    /// No such watch, or no longer.
    case unknownWatch
    /// The range has no key in it.
    case emptyRange
    /// The registry holds as many watches as it may.
    case tooManyWatches
}

/// The next events of a watch.
public struct WatchBatch: Hashable, Sendable {
    /// In order of revision; may be empty where a stretch of history held nothing for the watch.
    public let events: [WatchEvent]
    /// With these events the watch is complete up to and including this revision.
    public let throughRevision: Int64
    /// Whether the last event's revision may go on in the next batch.
    public let isFragment: Bool
    /// Whether there is more to pull.
    public let hasMore: Bool
}
