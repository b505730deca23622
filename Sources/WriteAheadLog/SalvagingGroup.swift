import ConsensusTypes

/// What is known of a group's log while what is left of it is read, oldest first.
struct SalvagingGroup: Sendable {
    let group: GroupID
    private var snapshot: SnapshotMetadata?
    /// Runs that something was lost behind.
    private var finished: [[Entry]] = []
    /// The entries since the last loss.
    private var current: [Entry] = []
    /// Where the log ends; `nil` where a loss hides it.
    private var last: LogPosition?
    private var hardState = HardState()
    /// Whether no record of a newer hard state can be lost.
    private var isHardStateCertain: Bool

    /// - Parameter isNew: whether it is certain that the log held nothing of this group before.
    init(_ group: GroupID, isNew: Bool) {
        self.group = group
        last = isNew ? LogPosition(term: .zero, index: .zero) : nil
        isHardStateCertain = isNew
    }

    var isEndKnown: Bool { last != nil }

    private var start: LogIndex { snapshot?.index ?? .zero }

    // MARK: Losses and what ends them

    /// Batches are lost here. They may have held anything of this group.
    mutating func lose() {
        finishRun()
        last = nil
        isHardStateCertain = false
    }

    private mutating func finishRun() {
        if !current.isEmpty { finished.append(current) }
        current = []
    }

    /// The log ended here for certain at this moment. Whoever has the last entry of a run has all that was
    /// before it (Raft paper, section 5.3), so a run that ends here lost nothing. Answers whether that agrees
    /// with what was known.
    mutating func stand(at position: LogPosition) -> Bool {
        if let last, last == position { return true }
        let agrees = last == nil
        if !agrees { lose() }
        if position.index <= start {
            finished.removeAll()
        } else if let run = finished.last, let first = run.first, first.index <= position.index,
            position.index - first.index < run.count, run[position.index - first.index].term == position.term
        {
            finished.removeLast()
            current = Array(run[...(position.index - first.index)])
        } else {
            trimFinished(from: position.index)
        }
        last = position
        return agrees
    }

    /// Forgets entries that are known to have been replaced.
    private mutating func trimFinished(from index: LogIndex) {
        while let run = finished.last, let first = run.first, first.index + (run.count - 1) >= index {
            finished.removeLast()
            if first.index < index { finished.append(Array(run[..<(index - first.index)])) }
        }
    }

    // MARK: Records. Each answers with what is wrong, or `nil`.

    mutating func apply(_ checkpoint: GroupCheckpoint) -> String? {
        var problem = set(checkpoint.hardState)
        if let snapshot = checkpoint.snapshot, snapshot.index > start {
            problem = start(after: snapshot, keepsSuffix: true) ?? problem
        }
        let position = LogPosition(term: checkpoint.lastTerm, index: checkpoint.lastIndex)
        return stand(at: position) ? problem : "group \(group) is not where the segments before left it"
    }

    mutating func set(_ new: HardState) -> String? {
        isHardStateCertain = true
        guard new.term >= hardState.term else {
            return "the term of group \(group) goes back from \(hardState.term) to \(new.term)"
        }
        let commitIndex = max(hardState.commitIndex, new.commitIndex)
        hardState = new
        hardState.commitIndex = commitIndex
        return nil
    }

    mutating func start(after new: SnapshotMetadata, keepsSuffix: Bool) -> String? {
        guard new.index >= start else {
            return "the snapshot of group \(group) goes back from \(start) to \(new.index)"
        }
        snapshot = new
        let position = LogPosition(term: new.term, index: new.index)
        guard keepsSuffix else {
            finished.removeAll()
            current.removeAll()
            last = position
            return nil
        }
        finished = finished.compactMap { SalvagingGroup.suffix($0, after: new.index) }
        current = SalvagingGroup.suffix(current, after: new.index) ?? []
        if let end = last, end.index <= new.index { last = position }
        return nil
    }

    private static func suffix(_ run: [Entry], after index: LogIndex) -> [Entry]? {
        guard let first = run.first else { return nil }
        if first.index > index { return run }
        let rest = run.dropFirst(index - first.index + 1)
        return rest.isEmpty ? nil : Array(rest)
    }

    mutating func append(_ new: [Entry], from first: LogIndex) -> String? {
        guard first > start else {
            return "group \(group) has entries from \(first) on, within its snapshot"
        }
        var problem: String?
        if let end = last, first > end.index.next {
            problem = "group \(group) has entries from \(first) on, but ends with \(end.index): a hole"
            lose()
        }
        for (entry, next) in zip(new, new.dropFirst()) where next.term < entry.term {
            lose()
            return "entry \(next.index) of group \(group) goes back from term \(entry.term) to \(next.term)"
        }
        if let begin = current.first?.index, first > begin, first - begin <= current.count {
            current.removeLast(current.count - (first - begin))
            if let before = current.last, before.term > new[0].term {
                lose()
                problem =
                    "entry \(first) of group \(group) goes back from term \(before.term) to \(new[0].term)"
            }
            current.append(contentsOf: new)
        } else {
            current = new
        }
        if let begin = current.first { trimFinished(from: begin.index) }
        last = LogPosition(term: new[new.count - 1].term, index: first + (new.count - 1))
        return problem
    }

    // MARK: Result

    /// - Parameter votes: what the anchor remembers for certain; `nil` where it does not.
    func salvaged(_ votes: [LogAnchor.Vote]?) -> SalvagedGroup {
        var state: HardState? = isHardStateCertain ? hardState : nil
        if let votes {
            var raised = hardState
            if let vote = votes.first(where: { $0.group == group }), !vote.isHeld(by: hardState) {
                raised.term = vote.term
                raised.votedFor = vote.votedFor
            }
            state = raised
        }
        let runs = current.isEmpty ? finished : finished + [current]
        let reached =
            current.last.map { LogPosition(term: $0.term, index: $0.index) }
            ?? LogPosition(term: snapshot?.term ?? .zero, index: start)
        return SalvagedGroup(
            group: group, hardState: state, snapshot: snapshot, runs: runs, lastPosition: last,
            isEndTrusted: last == reached && (!current.isEmpty || finished.isEmpty))
    }
}
