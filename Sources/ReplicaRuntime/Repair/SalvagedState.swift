import ConsensusTypes
import WriteAheadLog

/// What is left of one group's durable state.
public struct SalvagedState: Hashable, Sendable {
    /// Term and vote as they were durable; `nil` where they cannot be told.
    public var hardState: HardState?
    /// The newest snapshot that is intact as a whole. Index zero: none was ever taken. `nil`: the log starts
    /// after a snapshot, and none is intact.
    public var base: SnapshotMetadata?
    /// Where the log says that it starts, if its snapshot is not `base`: that snapshot is damaged or missing.
    public var lostSnapshot: LogPosition?
    /// The intact parts of the log, ascending by index and disjoint.
    public var runs: [[Entry]]
    /// Where the log ended, if that is not the end of the last run.
    public var lostEnd: LogPosition?
    /// Whether it is known where the log ended: at `lostEnd` or with the last run.
    public var isEndTrusted: Bool

    public init(
        hardState: HardState?, base: SnapshotMetadata?, lostSnapshot: LogPosition? = nil, runs: [[Entry]],
        lostEnd: LogPosition? = nil, isEndTrusted: Bool
    ) {
        self.hardState = hardState
        self.base = base
        self.lostSnapshot = lostSnapshot
        self.runs = runs
        self.lostEnd = lostEnd
        self.isEndTrusted = isEndTrusted
    }

    /// Whether restoring what stands before its boundaries makes the state what it was.
    public var isExactlyRestorable: Bool { hardState != nil && isEndTrusted }

    /// Whether it is a witness's: a part of it is without data.
    public var isWithheld: Bool {
        base?.isWithheld == true || runs.contains { $0.contains { $0.kind == .withheld } }
    }

    /// Whether there is nothing that a node which took part would have.
    public var isBlank: Bool {
        runs.isEmpty && lostEnd == nil && lostSnapshot == nil && base?.index == .zero
            && (hardState ?? HardState()) == HardState()
    }
}

extension SalvagedState {
    /// Where the log ended, with what is lost of it.
    var end: LogPosition {
        lostEnd ?? runs.last?.last?.position ?? lostSnapshot ?? base?.position
            ?? LogPosition(term: .zero, index: .zero)
    }

    /// What must be there again; see ``RepairNote``.
    func note(_ group: GroupID) -> RepairNote {
        RepairNote(group: group, hardState: hardState, end: isEndTrusted ? end : nil)
    }

    /// Counts what was known of the same log when damage was found first, and what was not: damage since then may
    /// have taken the traces of that one.
    mutating func add(_ note: RepairNote) {
        if let known = note.hardState, let found = hardState {
            if found.term < known.term || (found.term == known.term && found.votedFor == nil) {
                hardState = known
            }
        } else {
            hardState = nil
        }
        guard let noted = note.end else {
            isEndTrusted = false
            return
        }
        if isEndTrusted, end < noted { lostEnd = noted }
    }

    /// - Parameters:
    ///   - base: the newest intact snapshot that is stored, or `nil`.
    ///   - membership: the one that a group without a snapshot starts with.
    public init(_ group: SalvagedGroup, base stored: SnapshotMetadata?, membership: Membership) {
        let marked = group.snapshot.map { LogPosition(term: $0.term, index: $0.index) }
        var base: SnapshotMetadata? =
            marked == nil ? SnapshotMetadata(index: .zero, term: .zero, membership: membership) : nil
        var lostSnapshot = marked
        if let stored {
            base = stored
            if stored.index >= marked?.index ?? .zero { lostSnapshot = nil }
        }
        let end = group.isEndTrusted ? nil : group.lastPosition
        self.init(
            hardState: group.hardState, base: base, lostSnapshot: lostSnapshot, runs: group.runs,
            lostEnd: end, isEndTrusted: group.lastPosition != nil)
    }
}

extension Entry {
    var position: LogPosition { LogPosition(term: term, index: index) }
}

extension SnapshotMetadata {
    var position: LogPosition { LogPosition(term: term, index: index) }
}
