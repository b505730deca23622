import ConsensusTypes

/// The entries after a base position, in memory. What stands up to the base is in a snapshot.
struct RaftLog: Sendable {
    /// The last position that the entries do not include.
    private(set) var base: LogPosition
    private var entries: [Entry] = []
    /// The first of `entries` that counts; what stands before it was dropped and waits to be freed.
    private var head = 0

    init(base: LogPosition, entries: [Entry]) {
        self.base = base
        self.entries = entries
        var previous = base
        for entry in entries {
            precondition(
                entry.index == previous.index.next && entry.term >= previous.term,
                "restored entry \(entry.index)@\(entry.term) does not follow \(previous)")
            previous = LogPosition(term: entry.term, index: entry.index)
        }
    }

    var firstIndex: LogIndex { base.index.next }

    var count: Int { entries.count - head }

    var lastIndex: LogIndex { base.index + count }

    var lastPosition: LogPosition {
        guard let last = entries.last, count > 0 else { return base }
        return LogPosition(term: last.term, index: last.index)
    }

    /// The term at an index; `nil` where the log does not tell.
    func term(at index: LogIndex) -> Term? {
        if index == base.index { return base.term }
        guard index > base.index, index <= lastIndex else { return nil }
        return entries[head + (index - base.index) - 1].term
    }

    func entry(at index: LogIndex) -> Entry? {
        guard index > base.index, index <= lastIndex else { return nil }
        return entries[head + (index - base.index) - 1]
    }

    /// The entries from `first` through `last`, both of which must be within the log.
    func slice(from first: LogIndex, through last: LogIndex) -> ArraySlice<Entry> {
        precondition(first > base.index && last <= lastIndex, "\(first) to \(last) is not within the log")
        guard first <= last else { return [] }
        let start = head + (first - base.index) - 1
        return entries[start...start + (last - first)]
    }

    /// As many entries from `first` on as fit, but at least one.
    func slice(from first: LogIndex, maximumSizeBytes: Int) -> ArraySlice<Entry> {
        let start = head + (first - base.index) - 1
        var end = start
        var sizeBytes = 0
        while end < entries.count {
            sizeBytes += entries[end].approximateSizeBytes
            if sizeBytes > maximumSizeBytes, end > start { break }
            end += 1
        }
        return entries[start..<end]
    }

    /// The entries from `first` through `last` as a witness gets them: as many as fit, but at least one, where
    /// there is one.
    func withheldEntries(from first: LogIndex, through last: LogIndex, maximumSizeBytes: Int) -> [Entry] {
        guard first <= last else { return [] }
        var result: [Entry] = []
        var sizeBytes = 0
        for entry in slice(from: first, through: last) {
            let withheld = entry.asWithheld
            sizeBytes += withheld.approximateSizeBytes
            if sizeBytes > maximumSizeBytes, !result.isEmpty { break }
            result.append(withheld)
        }
        return result
    }

    mutating func append(_ entry: Entry) {
        precondition(entry.index == lastIndex.next, "entry \(entry.index) does not follow \(lastIndex)")
        entries.append(entry)
    }

    mutating func append(_ suffix: ArraySlice<Entry>) {
        guard let first = suffix.first else { return }
        precondition(first.index == lastIndex.next, "entry \(first.index) does not follow \(lastIndex)")
        entries.append(contentsOf: suffix)
    }

    /// Drops the entry at `index` and everything after it.
    mutating func truncate(from index: LogIndex) {
        precondition(index > base.index, "truncation at \(index) reaches into the snapshot at \(base)")
        guard index <= lastIndex else { return }
        entries.removeSubrange((head + (index - base.index) - 1)...)
    }

    /// Drops the entries up to and including `index`.
    mutating func compact(through index: LogIndex) {
        guard index > base.index, let term = term(at: index) else { return }
        head += index - base.index
        base = LogPosition(term: term, index: index)
        // Freed when half of the array is dead, so that no more is moved than was dropped.
        if head > entries.count / 2 {
            entries.removeFirst(head)
            head = 0
        }
    }

    /// The log starts after a snapshot from now on; what follows it is kept where the log has its position.
    mutating func restore(_ position: LogPosition) -> Bool {
        if term(at: position.index) == position.term {
            compact(through: position.index)
            return true
        }
        base = position
        entries = []
        head = 0
        return false
    }

    /// The last index up to `index` whose term is at most `term`; the base where there is none after it.
    ///
    /// Terms never decrease along a log, so a binary search finds it.
    func lastIndex(upTo index: LogIndex, withTermAtMost term: Term) -> LogIndex {
        var low = 0
        var high = min(index, lastIndex) - base.index
        guard high > 0 else { return base.index }
        // Invariant: the first `low` entries have a term of at most `term`, those from `high` on do not
        // count or have a larger one.
        while low < high {
            let middle = (low + high) / 2
            if entries[head + middle].term <= term {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return base.index + low
    }
}
