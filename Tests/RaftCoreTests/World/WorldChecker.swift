import ConsensusTypes
import RaftCore

/// Watches a whole cluster from outside and knows what must never happen (Raft paper, figure 3).
struct WorldChecker {
    struct Committed {
        let term: Term
        let payload: ByteSlice
        /// The term of the member that was first to know.
        let knownIn: Term
    }

    struct Position: Hashable {
        let index: LogIndex
        let term: Term
    }

    struct Appended {
        let kind: Entry.Kind
        let payload: ByteSlice
        let previousTerm: Term
    }

    struct Ballot: Hashable {
        let node: NodeID
        let term: Term
    }

    private(set) var failure: String?
    private(set) var committed: [Committed] = []
    /// The state after each index, as a digest; index zero stands first.
    private(set) var digests: [UInt64] = [0x4846]
    private var leaders: [Term: NodeID] = [:]
    private var appended: [Position: Appended] = [:]
    private var ballots: [Ballot: NodeID] = [:]
    private var executed: Set<UInt64> = []

    var leaderCount: Int { leaders.count }

    mutating func fail(_ reason: String) {
        if failure == nil { failure = reason }
    }

    var commitIndex: LogIndex { LogIndex(UInt64(committed.count)) }

    /// Election safety, and leader completeness for a leader that is new.
    mutating func noteLeader(_ core: RaftCore) {
        if let known = leaders[core.term] {
            if known != core.nodeID {
                fail("election safety: \(known) and \(core.nodeID) both lead term \(core.term)")
            }
            return
        }
        leaders[core.term] = core.nodeID
        if core.isWitness { fail("the witness \(core.nodeID) leads term \(core.term)") }
        for position in committed.indices.reversed() where committed[position].knownIn < core.term {
            let index = LogIndex(UInt64(position + 1))
            if index >= core.firstIndex, core.term(at: index) != committed[position].term {
                fail("leader completeness: \(core.nodeID) leads term \(core.term) without \(index)")
            }
            break
        }
    }

    /// Log matching: an index and a term name one entry, and one entry before it.
    ///
    /// Of what is durable somewhere or was sent. A leader that crashes before its term is durable has told
    /// nobody of it, and may lead it again.
    mutating func noteEntries(_ entries: [Entry], after previousTerm: Term, on node: NodeID) {
        var previous = previousTerm
        for entry in entries {
            let position = Position(index: entry.index, term: entry.term)
            if let known = appended[position], entry.kind == .withheld || known.kind == .withheld {
                // Of a command a witness has only that it is there.
                let isCommand = [.command, .withheld].contains(entry.kind) && known.kind != .noOperation
                if known.previousTerm != previous || !isCommand {
                    fail("log matching: two entries \(entry.index)@\(entry.term), one on \(node)")
                }
                if entry.kind != .withheld {
                    appended[position] = Appended(
                        kind: entry.kind, payload: entry.payload, previousTerm: previous)
                }
            } else if let known = appended[position] {
                if known.payload != entry.payload || known.kind != entry.kind
                    || known.previousTerm != previous
                {
                    fail("log matching: two entries \(entry.index)@\(entry.term), one on \(node)")
                }
            } else {
                appended[position] = Appended(
                    kind: entry.kind, payload: entry.payload, previousTerm: previous)
            }
            previous = entry.term
        }
    }

    /// State-machine safety: whoever commits an index commits the same entry there. What is committed for the
    /// first time must be durable on a quorum.
    mutating func noteCommitted(
        _ entries: [Entry], by core: RaftCore, isDurableOnQuorum: (LogIndex, Term) -> Bool
    ) {
        for entry in entries {
            let position = Int(entry.index.rawValue) - 1
            if position < committed.count {
                let isSame = entry.kind == .withheld || committed[position].payload == entry.payload
                if committed[position].term != entry.term || !isSame {
                    fail("state-machine safety: \(core.nodeID) applies another entry at \(entry.index)")
                }
                continue
            }
            guard position == committed.count else {
                return fail("\(core.nodeID) commits \(entry.index) before what stands before it")
            }
            if entry.kind == .withheld { fail("\(core.nodeID) commits \(entry.index) without its data") }
            if !isDurableOnQuorum(entry.index, entry.term) {
                fail("\(core.nodeID) commits \(entry.index)@\(entry.term), which no quorum has durably")
            }
            committed.append(Committed(term: entry.term, payload: entry.payload, knownIn: core.term))
            digests.append(WorldChecker.digest(digests[position], entry))
            if entry.kind == .command, !executed.insert(WorldChecker.command(in: entry)).inserted {
                fail("the command in \(entry.index) is executed twice")
            }
        }
    }

    /// Nobody votes for two in a term, not even across restarts (section 5.2).
    mutating func noteVote(of node: NodeID, for candidate: NodeID, in term: Term) {
        let ballot = Ballot(node: node, term: term)
        if let known = ballots[ballot], known != candidate {
            fail("\(node) votes for \(known) and \(candidate) in term \(term)")
        }
        ballots[ballot] = candidate
    }

    static func command(in entry: Entry) -> UInt64 {
        var reader = ByteReader(entry.payload)
        return (try? reader.readUInt64()) ?? .max
    }

    static func digest(_ digest: UInt64, _ entry: Entry) -> UInt64 {
        var random = SeededRandom(
            seed: digest ^ entry.index.rawValue &* 31 ^ (entry.kind == .command ? command(in: entry) : 7))
        return random.next()
    }
}
