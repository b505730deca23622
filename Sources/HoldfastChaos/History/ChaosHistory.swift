import ConsensusTypes

/// What a run's clients did and what the store's changes were.
public struct ChaosHistory: Hashable, Sendable {
    public var records: [HistoryRecord]
    /// All changes of the keys that the records name, in order, as watches told them.
    public var events: [HistoryEvent]
    /// The store's revision before the run; none of the run's keys existed then.
    public var initialRevision: Int64
    /// Up to here the watches were told everything.
    public var lastRevision: Int64

    public init(
        records: [HistoryRecord] = [], events: [HistoryEvent] = [], initialRevision: Int64 = 1,
        lastRevision: Int64 = 1
    ) {
        self.records = records
        self.events = events
        self.initialRevision = initialRevision
        self.lastRevision = lastRevision
    }
}

/// A pair of the store as a client was shown it.
public struct HistoryPair: Hashable, Sendable {
    public let value: String
    public let createRevision: Int64
    public let modRevision: Int64
    public let version: Int64

    public init(value: String, createRevision: Int64, modRevision: Int64, version: Int64) {
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
    }
}

/// One change of the store, as watches tell it.
public struct HistoryEvent: Hashable, Sendable {
    public let revision: Int64
    public let key: String
    /// `nil` for a deletion.
    public let pair: HistoryPair?

    public init(revision: Int64, key: String, pair: HistoryPair?) {
        self.revision = revision
        self.key = key
        self.pair = pair
    }

    public var value: String? { pair?.value }
}
