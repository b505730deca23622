/// The watches of one node, without a queue of events: the registry only knows which watches have something
/// to pull and from which revision, and the events come out of the store's history when their reader has
/// room for them. A slow reader costs nothing and loses nothing; it falls behind until it is told that its
/// next revision has been compacted.
public struct WatchRegistry: Sendable {
    private struct Watch {
        let selection: EventSelection
        /// Where the next pull starts. A watch that is not pending has seen all up to `notedRevision`, or
        /// waits for a start that is still to come.
        var next: Revision
        var isPending = false
        var isQueued = false
        var isPaused = false
    }

    public let maximumWatches: Int
    /// The revision up to which changes have been noted.
    public private(set) var notedRevision: Int64

    private var watches: [WatchID: Watch] = [:]
    /// The watches of single keys. The lists are in the order of creation.
    private var byKey: [[UInt8]: [WatchID]] = [:]
    private var byRange = IntervalTree()
    /// Watches with something to pull, those first that have waited longest. May hold ids of watches
    /// that are gone; they are skipped, and swept out when they become many.
    private var queue: [WatchID] = []
    private var queueStart = 0
    private var lastID: UInt64 = 0
    /// Ids in order, to walk all watches in a fixed order where history has a gap.
    private var ids = OrderedTree<WatchID, NoValue>()

    /// A registry for a store as it is now.
    public init(store: KeyValueStore, maximumWatches: Int = 1_000_000) {
        self.maximumWatches = maximumWatches
        notedRevision = store.revision
    }

    public var count: Int { watches.count }

    /// Whether ``takePending(limit:)`` has something.
    public var hasPending: Bool { queueStart < queue.count }

    /// Starts a watch. One that starts in the past is pending at once; one whose start has been compacted
    /// too, and learns it from ``nextEvents(for:store:limits:)``, as etcd confirms a watch before it cancels
    /// it.
    ///
    /// Throws ``WatchError/emptyRange`` or ``WatchError/tooManyWatches``.
    public mutating func create(_ request: WatchRequest) throws(WatchError) -> WatchID {
        let range = request.range
        guard range.isSingleKey || range.isUnbounded || compareBytes(range.key, range.rangeEnd) < 0 else {
            throw .emptyRange
        }
        guard watches.count < maximumWatches else { throw .tooManyWatches }
        lastID += 1
        let id = WatchID(lastID)
        let start = request.startRevision > 0 ? request.startRevision : notedRevision + 1
        watches[id] = Watch(
            selection: EventSelection(
                range: range, includesPuts: !request.filtersPuts, includesDeletes: !request.filtersDeletes,
                previousKeyValues: request.previousKeyValues),
            next: Revision(main: start, sub: 0))
        ids.set(id, NoValue())
        if range.isSingleKey {
            byKey[range.key, default: []].append(id)
        } else {
            byRange.insert(range, id: id.rawValue)
        }
        if start <= notedRevision { markPending(id) }
        return id
    }

    /// Ends a watch. False where there is none of that id.
    @discardableResult
    public mutating func cancel(_ id: WatchID) -> Bool {
        guard let watch = watches.removeValue(forKey: id) else { return false }
        ids.remove(id)
        let range = watch.selection.range
        if !range.isSingleKey {
            byRange.remove(range, id: id.rawValue)
        } else if let position = byKey[range.key]?.firstIndex(of: id) {
            byKey[range.key]?.remove(at: position)
            if byKey[range.key]?.isEmpty == true { byKey[range.key] = nil }
        }
        return true
    }

    /// Marks the watches that the changes since the last call are for. Call it after every command, with the
    /// store that it was applied to (it costs nothing where nothing changed), and after a snapshot has
    /// replaced the store.
    ///
    /// Where the store's history no longer reaches back to the last call, because a snapshot brought a
    /// compaction with it, what the watches would have missed is unknown: every watch whose next revision is
    /// gone becomes pending and learns that it has been compacted.
    public mutating func noteApplied(_ store: KeyValueStore) {
        let first = notedRevision + 1
        guard store.revision >= first else { return }
        notedRevision = store.revision
        guard !watches.isEmpty else { return }
        if store.compactRevision > first {
            var all: [WatchID] = []
            ids.visit { id, _ in
                all.append(id)
                return true
            }
            for id in all { noteGap(id, first) }
            return
        }
        store.log.visit(from: Revision(main: first, sub: 0)) { revision, record in
            note(revision, record)
            return true
        }
    }

    private mutating func note(_ revision: Revision, _ record: VersionRecord) {
        if !byKey.isEmpty, let list = byKey[record.keyValue.key] {
            for id in list { note(id, revision) }
        }
        guard byRange.count > 0 else { return }
        var found: [WatchID] = []
        byRange.visit(containing: record.keyValue.key) { found.append(WatchID($0)) }
        for id in found { note(id, revision) }
    }

    /// A change at `revision` may be for the watch.
    private mutating func note(_ id: WatchID, _ revision: Revision) {
        guard let watch = watches[id] else { preconditionFailure("an indexed watch is there") }
        if watch.isPending {
            // It will come to this change; but if its reader has lost sight of it, list it again.
            if !watch.isQueued, !watch.isPaused { markPending(id) }
            return
        }
        guard watch.next.main <= revision.main else { return }
        // All up to here held nothing for it.
        watches[id]?.next = max(watch.next, Revision(main: revision.main, sub: 0))
        markPending(id)
    }

    /// Anything may have happened from `first` on.
    private mutating func noteGap(_ id: WatchID, _ first: Int64) {
        guard let watch = watches[id], !watch.isPending else { return }
        let next = max(watch.next, Revision(main: first, sub: 0))
        guard next.main <= notedRevision else { return }
        watches[id]?.next = next
        markPending(id)
    }

    private mutating func markPending(_ id: WatchID) {
        watches[id]?.isPending = true
        guard let watch = watches[id], !watch.isQueued, !watch.isPaused else { return }
        watches[id]?.isQueued = true
        if queue.count - queueStart > 2 * watches.count + 64 {
            // Mostly of watches that were cancelled.
            queue = queue[queueStart...].filter { watches[$0]?.isQueued == true && $0 != id }
            queueStart = 0
        }
        queue.append(id)
    }

    /// Up to `limit` watches that have something to pull, those first that have waited longest. Each is to be
    /// pulled from with ``nextEvents(for:store:limits:)``; one that then has more is listed again.
    public mutating func takePending(limit: Int) -> [WatchID] {
        var taken: [WatchID] = []
        while taken.count < limit, queueStart < queue.count {
            let id = queue[queueStart]
            queueStart += 1
            guard let watch = watches[id], watch.isQueued else { continue }
            watches[id]?.isQueued = false
            if watch.isPaused || !watch.isPending { continue }
            taken.append(id)
        }
        if queueStart * 2 >= queue.count {
            queue.removeSubrange(0..<queueStart)
            queueStart = 0
        }
        return taken
    }

    /// While a watch's reader has no room it is paused and not listed.
    public mutating func setPaused(_ isPaused: Bool, for id: WatchID) {
        guard let watch = watches[id], watch.isPaused != isPaused else { return }
        watches[id]?.isPaused = isPaused
        if !isPaused, watch.isPending { markPending(id) }
    }

    /// The next events of a watch out of the store's history, and moves the watch on: what is returned here
    /// is not returned again.
    ///
    /// Throws ``WatchError/compacted(revision:)`` where history no longer holds what comes next; the watch is
    /// then to be cancelled. Throws ``WatchError/unknownWatch``.
    public mutating func nextEvents(
        for id: WatchID, store: KeyValueStore, limits: EventLimits = EventLimits()
    ) throws(WatchError) -> WatchBatch {
        guard let watch = watches[id] else { throw .unknownWatch }
        let last = min(store.revision, notedRevision)
        guard watch.isPending, watch.next.main <= last else {
            return WatchBatch(
                events: [], throughRevision: progress(of: watch), isFragment: false,
                hasMore: watch.isPending)
        }
        guard
            let page = try? store.events(
                from: watch.next, through: last, matching: watch.selection, limits: limits)
        else {
            throw .compacted(revision: store.compactRevision)
        }
        watches[id]?.next = page.next
        let hasMore = page.next.main <= notedRevision
        watches[id]?.isPending = hasMore
        if hasMore { markPending(id) }
        return WatchBatch(
            events: page.events, throughRevision: page.next.main - 1,
            isFragment: page.next.main <= last && page.events.last?.keyValue.modRevision == page.next.main,
            hasMore: hasMore)
    }

    /// The revision up to which the watch has been given everything: what a progress notice may say. Never
    /// ahead of events that have not been pulled. `nil` where there is no such watch.
    public func progress(of id: WatchID) -> Int64? {
        watches[id].map(progress(of:))
    }

    private func progress(of watch: Watch) -> Int64 {
        watch.isPending ? min(watch.next.main - 1, notedRevision) : notedRevision
    }

    /// The revision that the watch would resume from.
    public func nextRevision(of id: WatchID) -> Int64? {
        watches[id].map { $0.isPending ? $0.next.main : max($0.next.main, notedRevision + 1) }
    }
}
