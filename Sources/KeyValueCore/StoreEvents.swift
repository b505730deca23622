/// One change of one key, as a watch sees it.
public struct WatchEvent: Hashable, Sendable {
    public enum Kind: UInt8, Hashable, Sendable {
        case put = 0
        case delete = 1
    }

    public let kind: Kind
    /// Of a deletion only the key and the mod revision are set.
    public let keyValue: KeyValue
    /// The pair at the revision before, where it was asked for, existed and has not been compacted.
    public let previous: KeyValue?

    public init(kind: Kind, keyValue: KeyValue, previous: KeyValue?) {
        self.kind = kind
        self.keyValue = keyValue
        self.previous = previous
    }

    /// What the event counts towards the limit on a batch: its bytes, and 64 for the rest.
    public var approximateSizeBytes: Int {
        var size = keyValue.key.count + keyValue.value.count + 64
        if let previous { size += previous.key.count + previous.value.count + 64 }
        return size
    }
}

/// Which events are wanted.
public struct EventSelection: Hashable, Sendable {
    public var range: KeyRange
    public var includesPuts: Bool
    public var includesDeletes: Bool
    /// Whether events carry the pair at the revision before.
    public var previousKeyValues: Bool

    public init(
        range: KeyRange, includesPuts: Bool = true, includesDeletes: Bool = true,
        previousKeyValues: Bool = false
    ) {
        self.range = range
        self.includesPuts = includesPuts
        self.includesDeletes = includesDeletes
        self.previousKeyValues = previousKeyValues
    }
}

/// How much one look into history may return, and cost.
public struct EventLimits: Hashable, Sendable {
    public var maximumEvents: Int
    public var maximumSizeBytes: Int
    /// How many versions are looked at, wanted or not.
    public var maximumExamined: Int
    /// Whether the events of one revision may be cut apart. Where not, a revision whose events exceed the
    /// limits still comes whole.
    public var mayFragment: Bool

    public init(
        maximumEvents: Int = 1_000, maximumSizeBytes: Int = 1 << 20, maximumExamined: Int = 10_000,
        mayFragment: Bool = false
    ) {
        precondition(
            maximumEvents > 0 && maximumSizeBytes > 0 && maximumExamined > 0, "limits on events are positive")
        self.maximumEvents = maximumEvents
        self.maximumSizeBytes = maximumSizeBytes
        self.maximumExamined = maximumExamined
        self.mayFragment = mayFragment
    }
}

/// A stretch of history.
public struct EventPage: Hashable, Sendable {
    public let events: [WatchEvent]
    /// Where the next page starts. Everything wanted before it is in `events` or in pages before.
    public let next: Revision
}

extension KeyValueStore {
    /// The wanted events from `start` to the revision `last` (at most the current one), in order, as far as
    /// the limits allow. Throws ``KeyValueError/compacted`` where `start` lies before the compact revision.
    public func events(
        from start: Revision, through last: Int64, matching selection: EventSelection,
        limits: EventLimits = EventLimits()
    ) throws(KeyValueError) -> EventPage {
        guard start.main >= compactRevision else { throw .compacted }
        var collector = EventCollector(
            selection: selection, limits: limits, last: min(last, revision), compactRevision: compactRevision)
        if selection.range.isSingleKey {
            collectEvents(ofKeyFrom: start, into: &collector)
        } else {
            log.visit(from: start) { _, record in
                collector.take(record, history: { index[KeyBytes(record.keyValue.key)] })
            }
        }
        let end = max(min(last, revision) + 1, start.main)
        return EventPage(
            events: collector.events, next: collector.next ?? max(Revision(main: end, sub: 0), start))
    }

    /// The wanted events from one revision to another, inclusive.
    public func events(
        from first: Int64, through last: Int64, matching selection: EventSelection,
        limits: EventLimits = EventLimits()
    ) throws(KeyValueError) -> EventPage {
        try events(from: Revision(main: first, sub: 0), through: last, matching: selection, limits: limits)
    }

    /// One key's history is at hand; there is no need to walk everyone's.
    private func collectEvents(ofKeyFrom start: Revision, into collector: inout EventCollector) {
        guard let history = index[KeyBytes(collector.selection.range.key)] else { return }
        for position in history.countBefore(start)..<history.count
        where !collector.take(history[position], history: { history }) {
            return
        }
    }
}

/// Gathers events until the limits are reached.
private struct EventCollector {
    let selection: EventSelection
    let limits: EventLimits
    let last: Int64
    let compactRevision: Int64
    var events: [WatchEvent] = []
    /// Set when the limits ended the walk.
    var next: Revision?
    private var sizeBytes = 0
    private var examined = 0

    init(selection: EventSelection, limits: EventLimits, last: Int64, compactRevision: Int64) {
        self.selection = selection
        self.limits = limits
        self.last = last
        self.compactRevision = compactRevision
    }

    /// False ends the walk.
    mutating func take(_ record: VersionRecord, history: () -> KeyHistory?) -> Bool {
        guard record.main <= last else { return false }
        let isFull =
            events.count >= limits.maximumEvents || sizeBytes >= limits.maximumSizeBytes
            || examined >= limits.maximumExamined
        if isFull, limits.mayFragment || events.last?.keyValue.modRevision != record.main {
            next = record.revision
            return false
        }
        examined += 1
        guard record.isDeletion ? selection.includesDeletes : selection.includesPuts,
            selection.range.contains(record.keyValue.key)
        else { return true }
        let event = WatchEvent(
            kind: record.isDeletion ? .delete : .put, keyValue: record.keyValue,
            previous: previous(of: record, history))
        sizeBytes += event.approximateSizeBytes
        events.append(event)
        return true
    }

    /// As etcd: what a reader one revision earlier would have seen, unless that revision is compacted or the
    /// event itself says that there was nothing.
    private func previous(of record: VersionRecord, _ history: () -> KeyHistory?) -> KeyValue? {
        let pair = record.keyValue
        guard selection.previousKeyValues, pair.createRevision != pair.modRevision,
            record.main - 1 >= compactRevision
        else { return nil }
        return history()?.version(at: record.main - 1)?.keyValue
    }
}
