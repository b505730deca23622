/// One change as a watch showed it. Of a deletion only key and mod revision count.
public struct WatchedEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case put
        case delete
    }

    public let kind: Kind
    public let key: [UInt8]
    public let value: [UInt8]
    public let createRevision: Int64
    public let modRevision: Int64
    public let version: Int64

    public init(
        kind: Kind, key: [UInt8], value: [UInt8] = [], createRevision: Int64 = 0, modRevision: Int64,
        version: Int64 = 0
    ) {
        self.kind = kind
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
    }
}

/// What a client saw of one watch, which it may have taken up again on another node.
public struct WatchHistory: Sendable {
    public enum Observation: Hashable, Sendable {
        /// The watch was begun, or begun again, from this revision on.
        case started(revision: Int64)
        case events([WatchedEvent])
        /// The server said that everything up to this revision had been sent.
        case progress(revision: Int64)
        /// The server ended the watch because history before this revision is gone.
        case compacted(revision: Int64)
    }

    public let name: String
    public let span: KeySpan
    public var observations: [Observation]

    public init(name: String, span: KeySpan, observations: [Observation] = []) {
        self.name = name
        self.span = span
        self.observations = observations
    }

    /// All events that were shown, for ``RevisionWitness/check(_:watched:settings:)``.
    public var events: [WatchedEvent] {
        var all: [WatchedEvent] = []
        for case .events(let events) in observations { all += events }
        return all
    }
}

/// Checks what watches showed against what is known to have been written.
///
/// Shown are: events in the order of their revisions; each change once; every known change between where the
/// watch started and the last that it showed or claimed; no change that nobody made; nothing at or below a
/// revision that was said to be complete; and the same from every watch.
///
/// Time the check does not know. Whoever wants to know that all events have come adds a progress at the end,
/// with the revision that the watch should have reached.
public enum WatchChecker {
    public static func check(_ watches: [WatchHistory], against writes: WriteLog) -> HistoryViolation? {
        var seen: [Int64: [[UInt8]: WatchedEvent]] = [:]
        for watch in watches {
            do throws(HistoryViolation) {
                try check(watch, writes)
                for event in watch.events {
                    let shown =
                        event.kind == .put
                        ? event
                        : WatchedEvent(
                            kind: .delete, key: event.key, modRevision: event.modRevision)
                    if let other = seen[event.modRevision]?[event.key], other != shown {
                        throw HistoryViolation(
                            "watches agree",
                            "\(watch.name) shows \(text(shown)), another watch \(text(other))")
                    }
                    seen[event.modRevision, default: [:]][event.key] = shown
                }
            } catch {
                return error
            }
        }
        return nil
    }

    private static func check(_ watch: WatchHistory, _ writes: WriteLog) throws(HistoryViolation) {
        var cursor: WatchCursor?
        for observation in watch.observations {
            switch observation {
            case .started(let revision):
                try cursor?.resume(at: revision)
                cursor = WatchCursor(watch: watch, writes: writes, start: revision)
            case .events(let events):
                for event in events {
                    guard cursor != nil else { throw notStarted(watch) }
                    try cursor!.take(event)
                }
            case .progress(let revision):
                guard cursor != nil else { throw notStarted(watch) }
                try cursor!.close(through: revision)
            case .compacted:
                cursor = nil
            }
        }
    }

    private static func notStarted(_ watch: WatchHistory) -> HistoryViolation {
        HistoryViolation("watches are started", "\(watch.name) shows something before it was started")
    }

    static func text(_ event: WatchedEvent) -> String {
        let change = event.kind == .put ? " = \(KeyValueText.text(event.value))" : " deleted"
        return KeyValueText.text(event.key) + change + " at revision \(event.modRevision)"
    }
}

/// Where a watch is in the known changes.
private struct WatchCursor {
    let watch: WatchHistory
    let writes: WriteLog
    let start: Int64
    /// Everything at or below it is complete.
    private var completeThrough: Int64
    private(set) var lastShown: Int64
    /// What was shown of the last revision.
    private var shownKeys = Set<[UInt8]>()

    init(watch: WatchHistory, writes: WriteLog, start: Int64) {
        self.watch = watch
        self.writes = writes
        self.start = start
        completeThrough = start - 1
        lastShown = start - 1
    }

    mutating func take(_ event: WatchedEvent) throws(HistoryViolation) {
        let revision = event.modRevision
        guard watch.span.contains(event.key) else {
            throw violation("watches show what was asked for", event, "its key is not in the watch's range")
        }
        guard revision >= start else {
            throw violation("watches show what was asked for", event, "the watch started at \(start)")
        }
        guard revision >= lastShown else {
            throw violation("watches are ordered", event, "revision \(lastShown) was shown before it")
        }
        guard revision > completeThrough else {
            throw violation(
                "progress is never ahead", event, "\(completeThrough) was said to be complete before it")
        }
        if revision > lastShown {
            if lastShown > completeThrough { try requireWhole(lastShown) }
            try requireNothing(from: lastShown + 1, through: revision - 1)
            lastShown = revision
            shownKeys = []
        }
        guard shownKeys.insert(event.key).inserted else {
            throw violation("watches show each change once", event, "it was shown before")
        }
        try checkMade(event)
    }

    /// The watch is taken up again. A client that saw only a part of a revision comes back to the whole of
    /// it.
    func resume(at revision: Int64) throws(HistoryViolation) {
        if revision > lastShown, lastShown > completeThrough { try requireWhole(lastShown) }
    }

    /// Nothing up to this revision may be missing, and nothing may come later.
    mutating func close(through revision: Int64) throws(HistoryViolation) {
        guard revision > completeThrough else { return }
        if lastShown > completeThrough { try requireWhole(lastShown) }
        try requireNothing(from: lastShown + 1, through: revision)
        completeThrough = revision
        if revision > lastShown {
            lastShown = revision
            shownKeys = []
        }
    }

    private func checkMade(_ event: WatchedEvent) throws(HistoryViolation) {
        guard let changes = writes.changes(at: event.modRevision) else {
            guard writes.hasUnknownWrites else {
                throw violation("watches show what happened", event, "nothing happened at that revision")
            }
            return
        }
        let made = changes.first { $0.key == event.key }
        let value = event.kind == .put ? event.value : nil
        if let made, made.value == value { return }
        if made == nil, writes.isIncomplete(event.modRevision) { return }
        let text =
            made.map { $0.value.map { KeyValueText.text($0) } ?? "a deletion" } ?? "no change of the key"
        throw violation("watches show what happened", event, "what happened is \(text)")
    }

    private func requireWhole(_ revision: Int64) throws(HistoryViolation) {
        for change in writes.changes(at: revision) ?? []
        where watch.span.contains(change.key) && !shownKeys.contains(change.key) {
            throw missing(change, revision)
        }
    }

    private func requireNothing(from first: Int64, through last: Int64) throws(HistoryViolation) {
        var position = RevisionTimeline.firstPosition(in: writes.revisions, atLeast: first)
        while position < writes.revisions.count, writes.revisions[position] <= last {
            let revision = writes.revisions[position]
            for change in writes.changes(at: revision)! where watch.span.contains(change.key) {
                throw missing(change, revision)
            }
            position += 1
        }
    }

    private func missing(_ change: KeyValueChange, _ revision: Int64) -> HistoryViolation {
        let what = change.value.map { "= \(KeyValueText.text($0))" } ?? "deleted"
        return HistoryViolation(
            "watches are complete",
            "\(watch.name), from \(start) on, does not show \(KeyValueText.text(change.key)) \(what) "
                + "at revision \(revision)")
    }

    private func violation(_ property: String, _ event: WatchedEvent, _ why: String) -> HistoryViolation {
        HistoryViolation(property, "\(watch.name) shows \(WatchChecker.text(event)), but \(why)")
    }
}
