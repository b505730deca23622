import ConsensusTypes
import DequeModule

/// Puts a log together again from what is left of it and from parts of other nodes' logs.
///
/// Works downwards from the end. `upper` is what is done: it ends where the log must end, and whatever
/// stands right below its first entry is fixed by Log Matching (Raft paper, section 5.3): a node whose log
/// holds, or held, an entry of that index and term had the same before it. So any part of a log that
/// contains the entry may be put there. Own entries further down are kept from where such a part agrees with
/// them in index and term; above that they were replaced by what is lost.
///
/// A snapshot is committed state, which every log that can still matter agrees with: it may stand for all
/// that it covers, and own entries that disagree with it were never committed and never will be.
struct LogRepair: Sendable {
    /// What the log starts after; `nil` as long as that is not known.
    private(set) var base: SnapshotMetadata?
    /// Intact parts that are not joined to `upper` yet, ascending.
    private(set) var lower: [[Entry]]
    /// The part that is done.
    private(set) var upper: Deque<Entry> = []
    /// Where the log must end, while `upper` is empty and that is not the end of a run.
    private(set) var target: LogPosition?
    /// What stands right below `upper`, where a peer told.
    private var knownPrevious: LogPosition?
    private(set) var isComplete = false
    private let firstBase: SnapshotMetadata

    /// - Parameters:
    ///   - target: where the log must end instead of where it ended: the position that a leader named.
    ///   - membership: the one that a log without a snapshot starts with.
    init(_ salvaged: SalvagedState, target adopted: LogPosition? = nil, membership: Membership) {
        base = salvaged.base
        lower = salvaged.runs
        firstBase = SnapshotMetadata(index: .zero, term: .zero, membership: membership)
        target = adopted ?? salvaged.lostEnd
        if target == nil, lower.isEmpty { target = salvaged.lostSnapshot }
        if let target {
            // An own entry at the end or beyond it is what replaced, or was replaced.
            dropLower(from: target.index)
        } else if let last = lower.popLast() {
            upper = Deque(last)
        }
        if let base { dropRuns(coveredBy: base) }
        join()
    }

    // MARK: What is lacking

    /// The entry whose predecessors are wanted, or that is wanted itself.
    var boundary: LogPosition? { upper.first?.position ?? target }

    /// The highest index that is lacking.
    var through: LogIndex? {
        if let first = upper.first { return first.index > .zero ? first.index.previous : nil }
        return target?.index
    }

    /// The lowest index that is of use: the neighbour below, which the part must agree with.
    var from: LogIndex {
        max(LogIndex(1), lower.last?.last?.index ?? base?.index ?? LogIndex(1))
    }

    /// The first index that no intact part below the lowest hole reaches.
    var lowestMissing: LogIndex {
        guard let base else { return LogIndex(1) }
        var end = base.index
        for run in lower {
            guard let first = run.first, let last = run.last, first.index == end.next else { break }
            end = last.index
        }
        return end.next
    }

    /// Whether a snapshot of this position would bring the repair forward.
    func isHelped(by snapshot: LogPosition) -> Bool {
        guard !isComplete, snapshot.index > .zero else { return false }
        guard let base else { return true }
        return snapshot.index > base.index && snapshot.index >= lowestMissing
    }

    // MARK: What peers give

    /// Takes a part of a peer's log that ends at ``through``. `false`: it does not fit, nothing was done.
    mutating func add(_ excerpt: LogExcerpt) -> Bool {
        guard excerpt.holdsBoundary, let boundary, let through, !isComplete else { return false }
        if let last = excerpt.entries.last {
            guard last.index == through, last.term <= boundary.term,
                through < boundary.index || last.term == boundary.term,
                LogRepair.isContiguous(excerpt.entries), excerpt.entries[0].index > .zero
            else { return false }
        } else {
            guard let previous = excerpt.previous, previous.index == through, through < boundary.index else {
                return false
            }
        }
        if let previous = excerpt.previous {
            let expected = excerpt.entries.first.map { $0.index.previous } ?? through
            guard previous.index == expected else { return false }
        }
        let agrees = prepend(excerpt.entries)
        knownPrevious = excerpt.previous ?? (agrees ? lower.last?.last?.position : nil)
        join()
        return true
    }

    /// Puts the entries below the upper part, and drops own entries in their place. Whether the own entries
    /// that stay right below them are known to belong there.
    private mutating func prepend(_ entries: [Entry]) -> Bool {
        guard let first = entries.first else { return false }
        upper.prepend(contentsOf: entries)
        target = nil
        var agrees = false
        if let run = lower.last(where: { $0[0].index < first.index }), let last = run.last,
            last.index >= first.index
        {
            let overlap = run[(first.index - run[0].index)...]
            agrees = zip(overlap, entries).contains { $0.term == $1.term }
        }
        dropLower(from: first.index)
        return agrees
    }

    /// Takes a snapshot that this node holds by now, durably.
    mutating func install(_ snapshot: SnapshotMetadata) {
        guard !isComplete, snapshot.index > base?.index ?? .zero || base == nil else { return }
        base = snapshot
        dropRuns(coveredBy: snapshot)
        join()
    }

    /// Whether less is lacking than in an earlier state of the same repair.
    func isAhead(of earlier: LogRepair) -> Bool {
        isComplete || upper.count > earlier.upper.count
            || lower.reduce(0) { $0 + $1.count } < earlier.lower.reduce(0) { $0 + $1.count }
    }

    // MARK: Putting together

    private mutating func dropLower(from index: LogIndex) {
        while let last = lower.last {
            guard last[0].index < index else {
                lower.removeLast()
                continue
            }
            let kept = min(last.count, index - last[0].index)
            if kept < last.count { lower[lower.count - 1] = Array(last[..<kept]) }
            return
        }
    }

    /// Drops what a snapshot stands for, and what disagrees with it.
    private mutating func dropRuns(coveredBy snapshot: SnapshotMetadata) {
        if let first = upper.first, first.index <= snapshot.index {
            lower = []
            let offset = snapshot.index - first.index
            if offset < upper.count, upper[offset].term == snapshot.term {
                upper.removeFirst(offset + 1)
            } else {
                upper = []
            }
            finish()
            return
        }
        if upper.isEmpty, let target, target.index <= snapshot.index {
            lower = []
            finish()
            return
        }
        guard let position = lower.lastIndex(where: { $0[0].index <= snapshot.index }) else { return }
        let run = lower[position]
        let offset = snapshot.index - run[0].index
        let agrees = offset < run.count && run[offset].term == snapshot.term
        lower.removeSubrange(..<position)
        if agrees, offset + 1 < run.count {
            lower[0] = Array(run[(offset + 1)...])
        } else {
            lower.removeFirst()
        }
    }

    /// Joins the upper part with what is below it, as far as that is known to belong there.
    private mutating func join() {
        while !isComplete {
            guard let first = upper.first else {
                if target == nil { finish() }
                return
            }
            dropLower(from: first.index)
            if let below = lower.last?.last {
                guard below.index.next == first.index else { return }
                if below.term == first.term || knownPrevious == below.position {
                    // One leader made both entries, or a log was seen that holds both.
                    upper.prepend(contentsOf: lower.removeLast())
                    knownPrevious = nil
                } else if knownPrevious != nil {
                    lower[lower.count - 1].removeLast()
                    if lower[lower.count - 1].isEmpty { lower.removeLast() }
                    return
                } else {
                    return
                }
            } else {
                joinBase(first)
                return
            }
        }
    }

    private mutating func joinBase(_ first: Entry) {
        if first.index == LogIndex(1) {
            if base == nil || base?.index == .zero {
                base = firstBase
                finish()
                return
            }
        }
        guard let base else { return }
        if first.index <= base.index {
            dropRuns(coveredBy: base)
        } else if first.index == base.index.next {
            if base.index == .zero || first.term == base.term || knownPrevious == base.position {
                finish()
            } else if knownPrevious != nil {
                // The snapshot is committed: a log that disagrees with it holds nothing that ever will be.
                upper = []
                finish()
            }
        }
    }

    private mutating func finish() {
        target = nil
        isComplete = true
    }

    static func isContiguous(_ entries: [Entry]) -> Bool {
        zip(entries, entries.dropFirst()).allSatisfy { $1.index == $0.index.next && $1.term >= $0.term }
    }

    // MARK: Serving others meanwhile

    /// What this log holds around a boundary. Whatever it is made of was in some log as it stands.
    func excerpt(for request: EntriesRequest) -> LogExcerpt {
        var excerpt = LogExcerpt()
        excerpt.snapshot = base?.position ?? excerpt.snapshot
        for run in lower {
            if excerpt.fill(from: run, request) { return excerpt }
        }
        _ = excerpt.fill(from: upper, request)
        return excerpt
    }

    /// In words: what is lacking.
    var lack: String {
        guard let through, let boundary else { return "nothing" }
        let bottom = (lower.last?.last?.index ?? base?.index)?.next ?? LogIndex(1)
        let missing =
            bottom > through
            ? "what stands before entry \(boundary.index)"
            : bottom == through ? "entry \(through)" : "entries \(bottom) to \(through)"
        return base == nil
            ? "a snapshot or \(missing) (before entry \(boundary))" : "\(missing) (up to entry \(boundary))"
    }
}

extension LogExcerpt {
    /// Takes what a contiguous part of a log holds, if it holds the boundary.
    mutating func fill<Run: RandomAccessCollection>(from run: Run, _ request: EntriesRequest) -> Bool
    where Run.Element == Entry, Run.Index == Int {
        guard let first = run.first, let last = run.last, first.index <= request.boundary.index,
            request.boundary.index <= last.index
        else { return false }
        let start = run.startIndex
        guard run[start + (request.boundary.index - first.index)].term == request.boundary.term else {
            return false
        }
        holdsBoundary = true
        firstIndex = first.index
        guard request.through <= request.boundary.index, request.through >= first.index else { return true }
        var position = start + (request.through - first.index)
        let end = position + 1
        var sizeBytes = run[position].approximateSizeBytes
        while position > start, run[position - 1].index >= request.from {
            sizeBytes += run[position - 1].approximateSizeBytes
            if sizeBytes > request.maximumSizeBytes { break }
            position -= 1
        }
        entries = Array(run[position..<end])
        if position > start { previous = run[position - 1].position }
        return true
    }
}
