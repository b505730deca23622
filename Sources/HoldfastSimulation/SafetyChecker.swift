import ConsensusTypes
import KeyValueCore
import RaftCore

/// Sees every node after each of its steps and fails where a property of the Raft paper's figure 3, or one
/// that follows from it, does not hold.
struct SafetyChecker {
    /// What is known of an entry that was seen in some log.
    private struct Seen: Equatable {
        let fingerprint: UInt64
        let previousTerm: Term
    }

    private struct NodeView {
        var term = Term.zero
        /// The highest term in which it has said anything that binds it.
        var sentTerm = Term.zero
        var commitIndex = LogIndex.zero
        var role = Role.follower
        /// Up to here the node's log was compared; the term there tells whether it was truncated since.
        var checkedThrough = LogPosition(term: .zero, index: .zero)
    }

    private var leaders: [Term: NodeID] = [:]
    private var seen: [LogPosition: Seen] = [:]
    /// Entries that some node knew to be committed; the first has index 1.
    private(set) var committed: [Entry] = []
    private var views: [NodeView]
    /// How often each operation of a client is in the committed log.
    private(set) var committedOperations: [UInt64: Int] = [:]

    init(nodeCount: Int) {
        views = Array(repeating: NodeView(), count: nodeCount)
    }

    /// A node that said something in a term must never forget the term.
    mutating func noteSent(_ node: Int, _ message: RaftMessage) {
        switch message.body {
        case .preVoteRequest, .preVoteResponse, .propose, .proposeRejected:
            break  // Speak of terms that the node need not be in.
        default:
            views[node].sentTerm = max(views[node].sentTerm, message.term)
        }
    }

    /// A crash may lose what a node knew to be committed, but never what it has told others.
    mutating func noteRestart(_ node: Int, core: RaftCore) throws(SimulationFailure) {
        guard core.term >= views[node].sentTerm else {
            throw SimulationFailure(
                "durable term",
                "node \(node) answered in term \(views[node].sentTerm), and came back in \(core.term)")
        }
        views[node].term = core.term
        views[node].commitIndex = .zero
        views[node].role = .follower
        views[node].checkedThrough = LogPosition(term: .zero, index: .zero)
    }

    mutating func check(_ node: Int, core: RaftCore) throws(SimulationFailure) {
        guard core.term >= views[node].term else {
            throw SimulationFailure(
                "terms never go back", "node \(node): \(views[node].term) to \(core.term)")
        }
        guard core.commitIndex >= views[node].commitIndex else {
            throw SimulationFailure(
                "commit indexes never go back",
                "node \(node): \(views[node].commitIndex) to \(core.commitIndex)")
        }
        try checkLog(node, core)
        try checkCommitted(node, core)
        if core.role == .leader {
            try checkLeader(node, core)
        }
        views[node].term = core.term
        views[node].commitIndex = core.commitIndex
        views[node].role = core.role
    }

    /// Log matching: entries with one index and term are the same, and so is what stands before them.
    private mutating func checkLog(_ node: Int, _ core: RaftCore) throws(SimulationFailure) {
        var from = views[node].checkedThrough.index
        if from < core.firstIndex.previous || from > core.lastIndex
            || core.term(at: from) != views[node].checkedThrough.term
        {
            from = core.firstIndex.previous
        }
        var index = from
        while index < core.lastIndex {
            let previousTerm = core.term(at: index)!
            index = index.next
            let entry = core.entry(at: index)!
            guard entry.index == index, entry.term >= previousTerm else {
                throw SimulationFailure(
                    "log order", "node \(node) holds \(entry.index)@\(entry.term) at \(index)")
            }
            let position = LogPosition(term: entry.term, index: index)
            let now = Seen(fingerprint: SafetyChecker.fingerprint(entry), previousTerm: previousTerm)
            if let before = seen[position] {
                guard before == now else {
                    throw SimulationFailure("log matching", "node \(node) has another entry at \(position)")
                }
            } else {
                seen[position] = now
            }
        }
        views[node].checkedThrough = core.lastPosition
    }

    /// State-machine safety: what is committed at an index is committed there for ever.
    private mutating func checkCommitted(_ node: Int, _ core: RaftCore) throws(SimulationFailure) {
        var index = max(views[node].commitIndex, core.firstIndex.previous)
        while index < core.commitIndex {
            index = index.next
            guard let entry = core.entry(at: index) else {
                throw SimulationFailure(
                    "commit within the log", "node \(node) committed \(index) without holding it")
            }
            let position = Int(index.rawValue) - 1
            if position < committed.count {
                guard committed[position].term == entry.term, committed[position].payload == entry.payload
                else {
                    throw SimulationFailure(
                        "state machine safety",
                        "node \(node) committed \(index)@\(entry.term), another \(index)@\(committed[position].term)"
                    )
                }
            } else {
                precondition(position == committed.count, "a node committed beyond what the checker saw")
                committed.append(entry)
                noteOperation(entry)
            }
        }
    }

    private mutating func checkLeader(_ node: Int, _ core: RaftCore) throws(SimulationFailure) {
        if let other = leaders[core.term] {
            guard other == core.nodeID else {
                throw SimulationFailure(
                    "election safety", "\(other) and \(core.nodeID) lead term \(core.term)")
            }
        }
        leaders[core.term] = core.nodeID
        guard views[node].role != .leader || views[node].term != core.term else { return }
        // Leader completeness: what was committed before the election is in the new leader's log.
        for entry in committed where entry.term < core.term && entry.index >= core.firstIndex {
            guard core.term(at: entry.index) == entry.term else {
                throw SimulationFailure(
                    "leader completeness",
                    "\(core.nodeID) leads term \(core.term) without \(entry.index)@\(entry.term)")
            }
        }
    }

    private mutating func noteOperation(_ entry: Entry) {
        guard entry.kind == .command, let command = try? Command.decode(entry.payload),
            let operation = SimulatedClient.operation(of: command)
        else { return }
        committedOperations[operation, default: 0] += 1
    }

    private static func fingerprint(_ entry: Entry) -> UInt64 {
        var hash = TraceHash()
        hash.combine(UInt64(entry.kind.rawValue))
        hash.combine(entry.proposal.session)
        hash.combine(entry.proposal.sequence)
        entry.payload.withUnsafeBytes { bytes in
            for byte in bytes {
                hash.combine(UInt64(byte))
            }
        }
        return hash.value
    }
}
