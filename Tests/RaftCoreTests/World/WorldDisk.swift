import ConsensusTypes
import RaftCore

/// One write on its way to a node's disk.
struct DiskWrite {
    /// The core's sequence; `nil` for the marker of a snapshot that the node took itself.
    let sequence: UInt64?
    let hardState: HardState?
    let snapshot: SnapshotMetadata?
    let keepsSuffix: Bool
    let entries: [Entry]
    /// What may be sent once this is durable.
    let messages: [RaftMessage]
    let doneAt: Instant
}

/// What a node has on stable storage: the least that a write-ahead log must offer.
struct WorldDisk {
    private(set) var hardState = HardState()
    private(set) var snapshot: SnapshotMetadata
    private(set) var entries: [Entry] = []

    init(membership: Membership) {
        snapshot = SnapshotMetadata(index: .zero, term: .zero, membership: membership)
    }

    var lastIndex: LogIndex { snapshot.index + entries.count }

    var restored: RestoredState {
        RestoredState(hardState: hardState, snapshot: snapshot, entries: entries)
    }

    /// Whether the entry of this index and term is here, as itself or in a snapshot.
    func holds(_ index: LogIndex, term: Term) -> Bool {
        if index <= snapshot.index { return true }
        guard index <= lastIndex else { return false }
        return entries[index - snapshot.index - 1].term == term
    }

    /// Makes a write durable. Returns what was wrong with it, or `nil`.
    mutating func apply(_ write: DiskWrite) -> String? {
        if let state = write.hardState {
            guard state.term >= hardState.term else {
                return "the durable term goes back from \(hardState.term) to \(state.term)"
            }
            if state.term == hardState.term, let vote = hardState.votedFor, state.votedFor != vote {
                return "the vote for \(vote) in term \(state.term) is replaced"
            }
            hardState = state
        }
        if let metadata = write.snapshot, metadata.index >= snapshot.index {
            let dropped = min(metadata.index - snapshot.index, entries.count)
            entries = write.keepsSuffix ? Array(entries[dropped...]) : []
            if write.keepsSuffix, let first = entries.first, first.index != metadata.index.next {
                return "the suffix \(first.index) does not follow the snapshot \(metadata.index)"
            }
            snapshot = metadata
        }
        guard let first = write.entries.first else { return nil }
        // Entries that a snapshot marker overtook are covered by it.
        let fresh = write.entries.drop { $0.index <= snapshot.index }
        guard let start = fresh.first?.index else { return nil }
        guard start <= lastIndex.next else {
            return "entry \(first.index) leaves a hole after \(lastIndex)"
        }
        entries.removeSubrange((start - snapshot.index - 1)...)
        entries.append(contentsOf: fresh)
        return nil
    }

    /// Terms never decrease along a log, and indexes have no gaps.
    var problem: String? {
        var previous = LogPosition(term: snapshot.term, index: snapshot.index)
        for entry in entries {
            guard entry.index == previous.index.next, entry.term >= previous.term else {
                return "entry \(entry.index)@\(entry.term) follows \(previous) on disk"
            }
            previous = LogPosition(term: entry.term, index: entry.index)
        }
        return previous.term <= hardState.term
            ? nil : "the log ends at \(previous), beyond the durable term \(hardState.term)"
    }
}
