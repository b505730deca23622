import ConsensusTypes

/// What is known of a group's log while segments are read, oldest first.
struct RecoveringGroup: Sendable {
    private(set) var checkpoint: GroupCheckpoint
    /// Entries right after `base`.
    private(set) var entries: [Entry] = []
    /// Up to here there are no entries: they are in the snapshot, or in segments that are gone and must
    /// turn out to be covered by a snapshot further on.
    private(set) var base: LogIndex

    init(_ checkpoint: GroupCheckpoint) {
        self.checkpoint = checkpoint
        base = checkpoint.lastIndex
    }

    var recovered: RecoveredGroup {
        RecoveredGroup(
            group: checkpoint.group, hardState: checkpoint.hardState, snapshot: checkpoint.snapshot,
            entries: entries)
    }

    /// The entries that no segment holds and no snapshot covers.
    var missing: ClosedRange<UInt64>? {
        let start = checkpoint.snapshot?.index ?? .zero
        return base > start ? start.rawValue + 1...base.rawValue : nil
    }

    // Each of these answers with what is wrong, or `nil`.

    mutating func set(_ hardState: HardState) -> String? {
        guard hardState.term >= checkpoint.hardState.term else {
            return "the term of group \(checkpoint.group) goes back from \(checkpoint.hardState.term) to "
                + "\(hardState.term)"
        }
        checkpoint.hardState = hardState
        return nil
    }

    mutating func start(after snapshot: SnapshotMetadata, keepsSuffix: Bool) -> String? {
        if let present = checkpoint.snapshot, snapshot.index < present.index {
            return "the snapshot of group \(checkpoint.group) goes back from \(present.index) to "
                + "\(snapshot.index)"
        }
        checkpoint.start(after: snapshot, keepsSuffix: keepsSuffix)
        if !keepsSuffix || snapshot.index >= base + entries.count {
            entries.removeAll()
            base = snapshot.index
        } else if snapshot.index > base {
            entries.removeFirst(snapshot.index - base)
            base = snapshot.index
        }
        return nil
    }

    mutating func append(_ new: [Entry], from first: LogIndex) -> String? {
        let group = checkpoint.group
        guard first <= checkpoint.lastIndex.next else {
            return "group \(group) has entries from \(first) on, but ends with \(checkpoint.lastIndex): "
                + "a hole"
        }
        guard first > checkpoint.snapshot?.index ?? .zero else {
            return "group \(group) has entries from \(first) on, within its snapshot"
        }
        if first <= base {
            entries.removeAll()
            base = first.previous
        } else {
            entries.removeLast(entries.count - (first - base - 1))
        }
        var previous =
            entries.last?.term ?? (checkpoint.lastIndex.next == first ? checkpoint.lastTerm : .zero)
        for entry in new {
            guard entry.term >= previous else {
                return
                    "entry \(entry.index) of group \(group) goes back from term \(previous) to \(entry.term)"
            }
            previous = entry.term
        }
        if entries.isEmpty { entries = new } else { entries.append(contentsOf: new) }
        checkpoint.lastIndex = first + (new.count - 1)
        checkpoint.lastTerm = previous
        return nil
    }
}
