import ConsensusTypes
import RaftCore

/// Sees every node after each of its steps and fails where a property of the Raft paper's figure 3, or one
/// that follows from it, does not hold.
struct SafetyChecker {
    /// What is known of an entry that was seen in some log.
    private struct Seen: Equatable {
        /// `nil` where only a witness was seen to have it.
        var fingerprint: UInt64?
        let previousTerm: Term

        /// Whether both may be of one entry.
        func agrees(with other: Seen) -> Bool {
            previousTerm == other.previousTerm
                && (fingerprint == nil || other.fingerprint == nil || fingerprint == other.fingerprint)
        }
    }

    private struct NodeView {
        var term = Term.zero
        /// The highest term in which it has said anything that binds it.
        var sentTerm = Term.zero
        var commitIndex = LogIndex.zero
        var role = Role.follower
        var firstIndex = LogIndex.zero
        /// Up to here the node's log was compared; the term there tells whether it was truncated since.
        var checkedThrough = LogPosition(term: .zero, index: .zero)
        var checksUntilFullScan = SafetyChecker.fullScanInterval
    }

    /// A change within a log that leaves its end as it was is seen after so many looks at most.
    private static let fullScanInterval = 256

    private var leaders: [Term: NodeID] = [:]
    /// The latest term that had a leader.
    private(set) var highestLedTerm = Term.zero
    private var seen: [LogPosition: Seen] = [:]
    /// Entries that some node knew to be committed; the first has index 1.
    private(set) var committed: [Entry] = []
    /// The terms in which they were committed, which is known first by the leader that did it. An entry of an
    /// earlier term is committed with one of the leader's own.
    private var committedIn: [Term] = []
    private var takenCount = 0
    private var views: [NodeView]
    /// Whom each node has voted for, by term. Looked up, never iterated.
    private var votes: [[Term: NodeID]]
    /// What was found where nothing can be thrown.
    private var broken: SimulationFailure?
    private let isAlone: Bool

    init(nodeCount: Int) {
        views = Array(repeating: NodeView(), count: nodeCount)
        votes = Array(repeating: [:], count: nodeCount)
        isAlone = nodeCount == 1
    }

    /// The next entry that nobody has taken, of those that are committed.
    mutating func takeCommitted() -> Entry? {
        guard takenCount < committed.count else { return nil }
        takenCount += 1
        return committed[takenCount - 1]
    }

    /// A node that said something in a term must never forget the term.
    mutating func noteSent(_ node: Int, _ message: RaftMessage) {
        switch message.body {
        case .preVoteRequest, .preVoteResponse, .propose, .proposeRejected:
            break  // Speak of terms that the node need not be in.
        default:
            views[node].sentTerm = max(views[node].sentTerm, message.term)
        }
        switch message.body {
        case .voteRequest, .transferVoteRequest: noteVote(node, message.from, message.term)
        case .voteResponse(granted: true): noteVote(node, message.to, message.term)
        default: break
        }
    }

    /// At most one vote in a term, a candidate's own included (Raft paper, section 5.2).
    private mutating func noteVote(_ node: Int, _ candidate: NodeID, _ term: Term) {
        let earlier = votes[node].updateValue(candidate, forKey: term)
        if let earlier, earlier != candidate {
            broken = SimulationFailure(
                "one vote in a term", "node \(node) voted for \(earlier) and \(candidate) in term \(term)")
        }
    }

    /// A crash may lose what a node knew to be committed, but never what it has told others. (`hasForgotten`:
    /// a node that a leader adopted may have forgotten a term in which no election can be won any more, and
    /// one whose disk was put back finds out from its peers.)
    mutating func noteRestart(
        _ node: Int, core: RaftCore, hasForgotten: Bool = false
    ) throws(SimulationFailure) {
        guard hasForgotten || core.term >= views[node].sentTerm else {
            throw SimulationFailure(
                "durable term",
                "node \(node) answered in term \(views[node].sentTerm), and came back in \(core.term)")
        }
        // An adopted node may vote again in a term in which its old vote cannot win any more.
        if hasForgotten { votes[node] = [:] }
        let sentTerm = views[node].sentTerm
        views[node] = NodeView()
        views[node].sentTerm = hasForgotten ? core.term : sentTerm
        views[node].term = core.term
    }

    mutating func check(
        _ node: Int, _ core: borrowing RaftCore, _ world: World
    ) throws(SimulationFailure) {
        if let broken { throw broken }
        let view = views[node]
        views[node].checksUntilFullScan -= 1
        let isScan = views[node].checksUntilFullScan == 0
        let last = core.lastPosition
        if !isScan, view.term == core.term, view.commitIndex == core.commitIndex, view.role == core.role,
            view.checkedThrough == last, view.firstIndex == core.firstIndex
        {
            return
        }
        if isScan { views[node].checksUntilFullScan = SafetyChecker.fullScanInterval }
        guard core.term >= view.term else {
            throw SimulationFailure("terms never go back", "node \(node): \(view.term) to \(core.term)")
        }
        guard core.commitIndex >= view.commitIndex else {
            throw SimulationFailure(
                "commit indexes never go back", "node \(node): \(view.commitIndex) to \(core.commitIndex)")
        }
        guard last.index >= core.commitIndex else {
            throw SimulationFailure(
                "commit within the log",
                "node \(node) committed \(core.commitIndex), its log ends at \(last.index)")
        }
        try checkAppendOnly(node, core, view)
        try checkLog(node, core, fromStart: isScan, world)
        try checkCommitted(node, core, fromStart: isScan, world)
        if core.role == .leader { try checkLeader(node, core, world) }
        if view.role == .leader, core.role != .leader {
            world.observe(.steppedDown, node)
            if world.leader == node { world.leader = nil }
        }
        views[node].term = core.term
        views[node].commitIndex = core.commitIndex
        views[node].role = core.role
        views[node].firstIndex = core.firstIndex
    }

    /// Leader append-only: a leader never overwrites or deletes entries in its log.
    private func checkAppendOnly(
        _ node: Int, _ core: borrowing RaftCore, _ view: NodeView
    ) throws(SimulationFailure) {
        guard view.role == .leader, core.role == .leader, view.term == core.term else { return }
        let checked = view.checkedThrough
        let isCompacted = checked.index < core.firstIndex.previous
        guard isCompacted || core.term(at: checked.index) == checked.term else {
            throw SimulationFailure(
                "leader append-only", "node \(node) leads term \(core.term) and dropped \(checked)")
        }
    }

    /// Log matching: entries with one index and term are the same, and so is what stands before them.
    private mutating func checkLog(
        _ node: Int, _ core: borrowing RaftCore, fromStart: Bool, _ world: World
    ) throws(SimulationFailure) {
        let checked = views[node].checkedThrough
        var from = checked.index
        if checked.index > core.lastIndex
            || checked.index >= core.firstIndex.previous && core.term(at: checked.index) != checked.term
        {
            from = core.firstIndex.previous
            world.observe(.truncated, node)
        } else if fromStart || from < core.firstIndex.previous {
            from = core.firstIndex.previous
        }
        var index = from
        // A single node leads before its term is durable, since nobody else could. What it forgets in a crash
        // nobody was told of, and the same term may come again.
        let last = isAlone ? min(core.lastIndex, core.status.durableIndex) : core.lastIndex
        while index < last {
            let previousTerm = core.term(at: index)!
            index = index.next
            let entry = core.entry(at: index)!
            guard entry.index == index, entry.term >= previousTerm else {
                throw SimulationFailure(
                    "log order", "node \(node) holds \(entry.index)@\(entry.term) at \(index)")
            }
            let position = LogPosition(term: entry.term, index: index)
            let isWithheld = entry.kind == .withheld
            guard !isWithheld || core.isWitness else {
                throw SimulationFailure("data", "node \(node) has no data of \(position), and is no witness")
            }
            let now = Seen(
                fingerprint: isWithheld ? nil : SafetyChecker.fingerprint(entry), previousTerm: previousTerm)
            if let before = seen[position] {
                guard before.agrees(with: now) else {
                    throw SimulationFailure("log matching", "node \(node) has another entry at \(position)")
                }
                if before.fingerprint == nil { seen[position] = now }
            } else {
                seen[position] = now
            }
        }
        views[node].checkedThrough = LogPosition(term: core.term(at: index) ?? checked.term, index: index)
    }

    /// State-machine safety: what is committed at an index is committed there for ever.
    private mutating func checkCommitted(
        _ node: Int, _ core: borrowing RaftCore, fromStart: Bool, _ world: World
    ) throws(SimulationFailure) {
        var index = core.firstIndex.previous
        if !fromStart { index = max(index, views[node].commitIndex) }
        guard index < core.commitIndex else { return }
        if views[node].commitIndex < core.commitIndex { world.observe(.committed, node) }
        while index < core.commitIndex {
            index = index.next
            guard let entry = core.entry(at: index) else {
                throw SimulationFailure(
                    "commit within the log", "node \(node) committed \(index) without holding it")
            }
            let position = Int(index.rawValue) - 1
            if position < committed.count {
                guard committed[position].term == entry.term,
                    entry.kind == .withheld || committed[position].payload == entry.payload
                else {
                    throw SimulationFailure(
                        "state machine safety",
                        "node \(node) committed \(index)@\(entry.term), another "
                            + "\(index)@\(committed[position].term)")
                }
            } else if entry.kind == .withheld {
                // Its leader, which knew it first, ended in the same step. What it is will be seen elsewhere.
                return
            } else {
                guard position == committed.count else {
                    throw SimulationFailure(
                        "state machine safety",
                        "node \(node) committed \(index) from a snapshot of what nobody committed")
                }
                committed.append(entry)
                committedIn.append(core.term)
            }
        }
    }

    private mutating func checkLeader(
        _ node: Int, _ core: borrowing RaftCore, _ world: World
    ) throws(SimulationFailure) {
        if let other = leaders[core.term] {
            guard other == core.nodeID else {
                throw SimulationFailure(
                    "election safety", "\(other) and \(core.nodeID) lead term \(core.term)")
            }
        }
        guard views[node].role != .leader || views[node].term != core.term else { return }
        leaders[core.term] = core.nodeID
        guard !core.isWitness else {
            throw SimulationFailure("witnesses", "\(core.nodeID) leads term \(core.term) without data")
        }
        highestLedTerm = max(highestLedTerm, core.term)
        world.leader = node
        // Leader completeness: what was committed in an earlier term is in the new leader's log. The votes for a
        // term may arrive when a later one has begun, and committed more.
        var index = core.firstIndex
        while index.rawValue <= UInt64(committed.count) {
            let entry = committed[Int(index.rawValue) - 1]
            guard committedIn[Int(index.rawValue) - 1] >= core.term || core.term(at: index) == entry.term
            else {
                throw SimulationFailure(
                    "leader completeness",
                    "\(core.nodeID) leads term \(core.term) without \(entry.index)@\(entry.term)")
            }
            index = index.next
        }
        world.observe(.elected, node)
    }

    private static func fingerprint(_ entry: Entry) -> UInt64 {
        var hash = TraceHash()
        hash.combine(UInt64(entry.kind.rawValue))
        hash.combine(entry.proposal.session)
        hash.combine(entry.proposal.sequence)
        entry.payload.withUnsafeBytes { bytes in
            var position = 0
            while position + 8 <= bytes.count {
                hash.combine(
                    UInt64(
                        littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
                position += 8
            }
            var rest = UInt64(bytes.count)
            while position < bytes.count {
                rest = rest << 8 | UInt64(bytes[position])
                position += 1
            }
            hash.combine(rest)
        }
        return hash.value
    }
}
