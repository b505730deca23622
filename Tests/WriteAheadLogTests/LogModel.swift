import ConsensusTypes

@testable import WriteAheadLog

/// What a log must hold, worked out without the code under test.
struct LogModel: Hashable {
    struct Group: Hashable {
        var hardState = HardState()
        var snapshot: SnapshotMetadata?
        var entries: [Entry] = []

        var start: LogIndex { snapshot?.index ?? .zero }
        var last: LogIndex { start + entries.count }
        var lastTerm: Term { entries.last?.term ?? snapshot?.term ?? .zero }
    }

    var groups: [GroupID: Group] = [:]

    init() {}

    init(_ recovered: [RecoveredGroup]) {
        for group in recovered {
            groups[group.group] = Group(
                hardState: group.hardState, snapshot: group.snapshot, entries: group.entries)
        }
    }

    mutating func apply(_ write: LogWrite) {
        guard !write.isEmpty else { return }
        var group = groups[write.group] ?? Group()
        if let hardState = write.hardState { group.hardState = hardState }
        if let snapshot = write.snapshot {
            group.entries = write.keepsSuffix ? group.entries.filter { $0.index > snapshot.index } : []
            group.snapshot = snapshot
        }
        if let first = write.entries.first {
            group.entries = group.entries.filter { $0.index < first.index } + write.entries
        }
        groups[write.group] = group
    }

    func applying(_ writes: [LogWrite]) -> LogModel {
        var model = self
        for write in writes { model.apply(write) }
        return model
    }
}

/// One thing that a node does with its log.
struct LogStep {
    var writes: [LogWrite] = []
    var release: [(group: GroupID, through: LogIndex)] = []
}

/// Makes steps that a correct node could take from where a model stands.
struct StepMaker {
    var random: SeededRandom
    var model: LogModel
    var groupCount: UInt64 = 3
    var largestPayload: UInt64 = 400

    init(seed: UInt64, model: LogModel = LogModel()) {
        random = SeededRandom(seed: seed)
        self.model = model
    }

    mutating func next() -> LogStep {
        var step = LogStep()
        for _ in 0...random.next(below: 2) {
            let id = GroupID(random.next(below: groupCount) + 1)
            let write = makeWrite(id, model.groups[id] ?? LogModel.Group())
            model.apply(write)
            step.writes.append(write)
            if let snapshot = write.snapshot {
                step.release.append((id, snapshot.index))
            }
        }
        return step
    }

    private mutating func makeWrite(_ id: GroupID, _ group: LogModel.Group) -> LogWrite {
        var state = group.hardState
        let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)], learners: [NodeID(9)])
        switch random.next(below: 10) {
        case 0:
            state.term = state.term.next
            state.votedFor = random.chance(1, outOf: 2) ? NodeID(random.next(below: 3) + 1) : nil
            return LogWrite(group: id, hardState: state)
        case 1 where !group.entries.isEmpty, 2 where !group.entries.isEmpty:
            // The log is compacted up to somewhere in it.
            let entry = group.entries[Int(random.next(below: UInt64(group.entries.count)))]
            return LogWrite(
                group: id,
                snapshot: SnapshotMetadata(index: entry.index, term: entry.term, membership: membership),
                keepsSuffix: true)
        case 3 where random.chance(1, outOf: 3):
            // A leader's snapshot replaces the log.
            state.term = state.term.next
            let index = group.last + Int(random.next(below: 10))
            let metadata = SnapshotMetadata(
                index: max(index, LogIndex(1)), term: state.term, membership: membership)
            return LogWrite(group: id, hardState: state, snapshot: metadata)
        case 4 where !group.entries.isEmpty:
            // A new leader replaces the end.
            state.term = state.term.next
            let first = group.entries[Int(random.next(below: UInt64(group.entries.count)))].index
            return LogWrite(group: id, hardState: state, entries: makeEntries(first, state.term))
        default:
            if state.term == .zero || random.chance(1, outOf: 5) { state.term = state.term.next }
            state.commitIndex = max(state.commitIndex, group.last)
            let term = max(state.term, group.lastTerm)
            state.term = term
            return LogWrite(
                group: id,
                hardState: random.chance(1, outOf: 2) || term != group.hardState.term ? state : nil,
                entries: makeEntries(group.last.next, term))
        }
    }

    private mutating func makeEntries(_ first: LogIndex, _ term: Term) -> [Entry] {
        (0...Int(random.next(below: 4))).map { offset in
            let count = Int(random.next(below: largestPayload + 1))
            let byte = UInt8(truncatingIfNeeded: random.next())
            return Entry(
                index: first + offset, term: term, kind: .command,
                proposal: ProposalID(session: random.next(), sequence: UInt64(offset)),
                payload: ByteSlice([UInt8](repeating: byte, count: count)))
        }
    }
}
