import ConsensusTypes

@testable import RaftCore

/// Short names for what the tests of a single core say often.
func nodes(_ values: Int...) -> [NodeID] { values.map { NodeID(UInt64($0)) } }

func node(_ value: Int) -> NodeID { NodeID(UInt64(value)) }

func position(_ index: Int, _ term: Int) -> LogPosition {
    LogPosition(term: Term(UInt64(term)), index: LogIndex(UInt64(index)))
}

func index(_ value: Int) -> LogIndex { LogIndex(UInt64(value)) }

func entry(_ index: Int, _ term: Int, _ kind: Entry.Kind = .command) -> Entry {
    Entry(
        index: LogIndex(UInt64(index)), term: Term(UInt64(term)), kind: kind,
        payload: ByteSlice(Array("e\(index)t\(term)".utf8)))
}

/// A log with entries of these terms.
func entries(_ terms: [Int], after base: Int = 0) -> [Entry] {
    terms.enumerated().map { entry(base + $0.offset + 1, $0.element) }
}

/// One core with a disk that is ready at once, unless it is told otherwise, and nobody around it.
struct LoneCore {
    var core: RaftCore
    var now = Instant(nanoseconds: 5_000_000_000)
    var isDiskStalled = false
    /// Persists that wait for ``finishPersists()``, with the messages that wait for them.
    var waiting: [(sequence: UInt64, messages: [RaftMessage])] = []
    var persists: [Persist] = []
    var committed: [Entry] = []

    init(
        _ id: Int = 1, members: Membership = Membership(voters: nodes(1, 2, 3)), terms: [Int] = [],
        term: Int? = nil, vote: Int? = nil, commit: Int = 0,
        snapshot: (index: Int, term: Int)? = nil, settings: RaftSettings = RaftSettings(), seed: UInt64 = 7
    ) {
        let base = SnapshotMetadata(
            index: index(snapshot?.index ?? 0), term: Term(UInt64(snapshot?.term ?? 0)), membership: members)
        let state = HardState(
            term: Term(UInt64(term ?? terms.last ?? snapshot?.term ?? 0)), votedFor: vote.map(node),
            commitIndex: index(commit))
        core = RaftCore(
            nodeID: node(id), settings: settings,
            restored: RestoredState(
                hardState: state, snapshot: base, entries: entries(terms, after: snapshot?.index ?? 0)),
            session: 9, now: now, seed: seed)
    }

    /// What the core sends in a turn, with what a ready disk lets go.
    mutating func turn() -> [RaftMessage] {
        var sent: [RaftMessage] = []
        while true {
            let effects = core.takeEffects(now: now)
            if effects.isEmpty { return sent }
            sent += effects.messages
            committed += effects.committed
            if let persist = effects.persist {
                persists.append(persist)
                waiting.append((persist.sequence, effects.messagesAfterPersist))
            }
            if !isDiskStalled { sent += finishPersists() }
        }
    }

    mutating func finishPersists() -> [RaftMessage] {
        let messages = waiting.flatMap(\.messages)
        if let last = waiting.last { core.persisted(last.sequence, now: now) }
        waiting = []
        return messages
    }

    mutating func receive(_ body: RaftMessage.Body, from: Int, term: Int) -> [RaftMessage] {
        core.receive(
            RaftMessage(from: node(from), to: core.nodeID, term: Term(UInt64(term)), body: body), now: now)
        return turn()
    }

    mutating func append(
        _ newEntries: [Entry] = [], after previous: LogPosition = position(0, 0), commit: Int = 0,
        round: UInt64 = 0, from: Int = 2, term: Int
    ) -> [RaftMessage] {
        receive(
            .append(
                AppendEntries(
                    previous: previous, entries: newEntries, commitIndex: index(commit), readRound: round,
                    sentAt: now)),
            from: from, term: term)
    }

    mutating func pass(_ milliseconds: Int) -> [RaftMessage] {
        now = now + .milliseconds(milliseconds)
        core.advance(now: now)
        return turn()
    }

    /// Campaigns until pre-votes from `voters` make it a candidate.
    mutating func becomeCandidate(with voters: [Int] = [2]) -> [RaftMessage] {
        now = core.electionDeadline
        core.advance(now: now)
        var sent = turn()
        let term = Int(core.term.rawValue) + 1
        for voter in voters { sent = receive(.preVoteResponse(granted: true), from: voter, term: term) }
        return sent
    }

    mutating func becomeLeader(with voters: [Int] = [2]) -> [RaftMessage] {
        var sent = becomeCandidate(with: voters)
        let term = Int(core.term.rawValue)
        for voter in voters where core.role == .candidate {
            sent = receive(.voteResponse(granted: true), from: voter, term: term)
        }
        return sent
    }

    mutating func answer(
        _ outcome: AppendResponse.Outcome, from: Int, round: UInt64 = 0, sentAt: Instant? = nil
    ) -> [RaftMessage] {
        receive(
            .appendResponse(
                AppendResponse(outcome: outcome, readRound: round, sentAt: sentAt ?? now)),
            from: from, term: Int(core.term.rawValue))
    }

    mutating func propose(_ texts: String...) -> [RaftMessage] {
        let proposals = texts.enumerated().map { offset, text in
            Proposal(
                id: ProposalID(session: 1, sequence: core.lastIndex.rawValue + UInt64(offset)),
                payload: ByteSlice(Array(text.utf8)), needsSpace: true)
        }
        _ = core.propose(proposals, now: now)
        return turn()
    }

    var terms: [Int] {
        var result: [Int] = []
        var at = core.firstIndex
        while at <= core.lastIndex {
            result.append(Int(core.term(at: at)!.rawValue))
            at = at.next
        }
        return result
    }
}

extension Array<RaftMessage> {
    var appends: [(to: NodeID, append: AppendEntries)] {
        compactMap {
            if case .append(let append) = $0.body { ($0.to, append) } else { nil }
        }
    }

    var appendOutcomes: [AppendResponse.Outcome] {
        compactMap {
            if case .appendResponse(let response) = $0.body { response.outcome } else { nil }
        }
    }

    /// The answers to votes, and the terms that they carry.
    var votes: [Bool] {
        compactMap {
            if case .voteResponse(let granted) = $0.body { granted } else { nil }
        }
    }

    var preVotes: [Bool] {
        compactMap {
            if case .preVoteResponse(let granted) = $0.body { granted } else { nil }
        }
    }

    var voteRequests: [NodeID] {
        compactMap {
            if case .voteRequest = $0.body { $0.to } else { nil }
        }
    }
}
