import ConsensusTypes

@testable import RaftCore

// What must hold after each step.
extension World {
    /// Called after each turn of a core.
    mutating func checkCore(_ position: Int) {
        let node = nodes[position]
        if node.core.term < node.seenTerm { checker.fail("node \(node.id): the term goes back") }
        if node.core.commitIndex < node.seenCommitIndex {
            checker.fail("node \(node.id): the commit index goes back")
        }
        if node.core.commitIndex > node.core.lastIndex {
            checker.fail("node \(node.id): commits \(node.core.commitIndex), has \(node.core.lastIndex)")
        }
        nodes[position].seenTerm = node.core.term
        nodes[position].seenCommitIndex = node.core.commitIndex
        reached.formUnion(node.core.rarePaths)
        checkLeases(position)
        if node.core.role == .leader {
            checker.noteLeader(node.core)
            checkOthersSteppedDown(node.core)
        }
        if node.core.malformedMessageCount > 0 {
            checker.fail("node \(node.id): a message counts as malformed")
        }
    }

    /// A leader that a quorum has answered at least once steps down before another can be elected, where
    /// nobody forgot whom it heard in a crash (dissertation, section 6.2).
    private mutating func checkOthersSteppedDown(_ core: RaftCore) {
        guard faults.crash == 0, core.membership.members == nodes.map(\.id), faults.change == 0 else {
            return
        }
        // Where timeouts follow round trips, a leader may wait longer than others are loyal to it.
        guard !settings.adaptsToRoundTrips else { return }
        guard !reached.contains(.transferVoteDespiteLoyalty), nodes.allSatisfy({ $0.drift == 0 }) else {
            return
        }
        for node in nodes where node.isRunning && node.core.role == .leader && node.core.term < core.term {
            let deadline = node.core.quorumDeadline
            if deadline > now, deadline > node.core.electedAt + node.core.electionTimeout {
                checker.fail("\(core.nodeID) leads \(core.term) before \(node.id) gave up \(node.core.term)")
            }
        }
    }

    /// Called for each write that became durable.
    mutating func noteDurable(_ write: DiskWrite, _ position: Int) {
        let disk = nodes[position].disk
        let entries = write.entries.filter {
            $0.index > disk.snapshot.index && disk.holds($0.index, term: $0.term)
        }
        guard let first = entries.first else { return }
        let offset = first.index - disk.snapshot.index - 1
        let previous = offset == 0 ? disk.snapshot.term : disk.entries[offset - 1].term
        checker.noteEntries(entries, after: previous, on: nodes[position].id)
    }

    /// Called for each message as it leaves its node: it may speak only of what is durable there.
    mutating func checkSending(_ message: RaftMessage) {
        guard let position = position(of: message.from) else { return }
        let node = nodes[position]
        let isDurable = node.disk.hardState.term >= message.term
        switch message.body {
        case .preVoteRequest, .preVoteResponse, .propose, .proposeRejected:
            return
        case .voteRequest, .transferVoteRequest:
            checker.noteVote(of: message.from, for: message.from, in: message.term)
            checkVote(for: message.from, message, node)
        case .voteResponse(let granted) where granted:
            checker.noteVote(of: message.from, for: message.to, in: message.term)
            checkVote(for: message.to, message, node)
        case .append(let append):
            checker.noteEntries(append.entries, after: append.previous.term, on: message.from)
        case .appendResponse(let response):
            if case .matched(let index) = response.outcome { checkAcknowledged(index, message, node) }
        case .snapshotResponse(let response):
            if response.outcome == .installed { checkAcknowledged(response.index, message, node) }
        default:
            break
        }
        if !isDurable { checker.fail("\(message.from) speaks in term \(message.term) before it is durable") }
    }

    private mutating func checkVote(for candidate: NodeID, _ message: RaftMessage, _ node: WorldNode) {
        let state = node.disk.hardState
        if state.term == message.term, state.votedFor != candidate {
            checker.fail("\(node.id) votes for \(candidate) in term \(message.term) before it is durable")
        }
    }

    private mutating func checkAcknowledged(_ index: LogIndex, _ message: RaftMessage, _ node: WorldNode) {
        // In a later term the log may have changed again; then nobody counts this answer.
        guard node.core.term == message.term, let term = node.core.term(at: index) else { return }
        if !node.disk.holds(index, term: term) {
            checker.fail("\(node.id) acknowledges \(index)@\(term) before it is durable")
        }
    }

    mutating func checkCommitted(_ entries: [Entry], _ position: Int) {
        let nodes = nodes
        // A change may have been appended in the same turn, after the commit.
        let inForce = nodes[position].core.memberships.suffix(2).map(\.membership)
        checker.noteCommitted(entries, by: nodes[position].core) { index, term in
            inForce.contains { membership in
                membership.isQuorum { node in
                    nodes.first { $0.id == node }?.disk.holds(index, term: term) ?? false
                }
            }
        }
    }

    mutating func checkDigest(_ position: Int) {
        let node = nodes[position]
        guard node.appliedIndex <= checker.commitIndex else { return }
        if checker.digests[Int(node.appliedIndex.rawValue)] != node.digest {
            checker.fail("node \(node.id): another state at \(node.appliedIndex)")
        }
    }

    /// Once the faults have stopped, there is one leader, everybody has everything, and nothing waits.
    func problemAfterHealing() -> String? {
        let leaders = nodes.filter { $0.core.role == .leader }
        guard leaders.count == 1 else { return "\(leaders.count) leaders after the faults stopped" }
        let membership = leaders[0].core.membership
        if membership.isJoint { return "the membership stays joint" }
        for node in nodes where membership.isMember(node.id) {
            if node.core.membership != membership { return "node \(node.id) has another membership" }
            if node.core.leader != leaders[0].id { return "node \(node.id) does not know the leader" }
            if node.appliedIndex != checker.commitIndex {
                return "node \(node.id) applied \(node.appliedIndex) of \(checker.commitIndex)"
            }
            if node.core.lastPosition != leaders[0].core.lastPosition {
                return "node \(node.id) ends at \(node.core.lastPosition)"
            }
            // What was forwarded in this term may have been lost; only a later term could tell.
            if let waiting = node.pending.first(where: { $0.term != node.core.term }) {
                return "node \(node.id) waits for \(waiting)"
            }
            if !node.reads.isEmpty || !node.confirmed.isEmpty { return "node \(node.id) waits for reads" }
        }
        return nil
    }
}
