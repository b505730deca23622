import ConsensusTypes
import RaftCore

/// The commands of a node's clients, from the moment that they are accepted until their outcome is known.
///
/// Holds the rule by which a command is executed at most once however often the leader changes: a proposal
/// names the term whose leader may append it, and it is proposed again only after an entry of a later term
/// was applied without it, which shows that it is in no log that can still win (Raft paper, section 5.4).
struct ProposalQueue<Success> {
    typealias Pending = PendingProposal<Success>

    /// Unique to this start of this process; names its proposals.
    let session: UInt64
    let kind: Proposal.Kind
    private var pending = PendingProposals<Success>()
    /// What was proposed in this turn, or waits for a leader.
    private var outbox: [Proposal] = []
    /// The peers to which links were made in this turn.
    private var reconnectedPeers: [NodeID] = []
    private(set) var lastAppliedTerm = Term.zero
    private(set) var rarePaths = RarePathSet()

    init(session: UInt64, kind: Proposal.Kind = .command) {
        self.session = session
        self.kind = kind
    }

    var isEmpty: Bool { pending.count == 0 }
    var count: Int { pending.count }
    var sizeBytes: Int { pending.sizeBytes }

    mutating func add(_ proposal: Pending) {
        let sequence = pending.add(proposal)
        outbox.append(
            Proposal(
                id: ProposalID(session: session, sequence: sequence), kind: kind,
                payload: proposal.payload, needsSpace: proposal.needsSpace))
    }

    // MARK: Proposing

    /// What was forwarded to the leader over the link of before may be lost with it, and would wait for its
    /// timeout. Sent again in the same term, in the same order and before anything newer, it is appended at
    /// most once: a leader takes the sequences of a session in their order only.
    mutating func noteConnected(_ peer: NodeID) {
        if !reconnectedPeers.contains(peer) { reconnectedPeers.append(peer) }
    }

    /// Hands on what waits, if a leader is known.
    mutating func propose<Machine>(to replica: Replica<Machine>, now: Instant) {
        if !reconnectedPeers.isEmpty {
            if let leader = replica.core.leader, reconnectedPeers.contains(leader) {
                let lost = pending.sent(in: replica.core.term, session: session, kind: kind)
                if !lost.isEmpty { rarePaths.insert(.proposalsSentAgain) }
                outbox.insert(contentsOf: lost, at: 0)
            }
            reconnectedPeers = []
        }
        guard !outbox.isEmpty, let term = replica.propose(outbox, now: now) else { return }
        for proposal in outbox {
            pending.setTerm(term, of: proposal.id.sequence)
        }
        outbox.removeAll(keepingCapacity: true)
    }

    /// An entry of `term` is being applied: what was proposed in an earlier term and not applied by now is in
    /// no log that can still win, so proposing it again cannot execute it twice.
    mutating func noteApplying(_ term: Term) {
        guard term > lastAppliedTerm else { return }
        lastAppliedTerm = term
        let lost = pending.takeAll { proposal in
            if let proposedIn = proposal.term { return proposedIn < term }
            return false
        }
        for var proposal in lost {
            // A new sequence: a leader takes the sequences of a session in their order only.
            proposal.term = nil
            rarePaths.insert(.proposalProposedAgain)
            add(proposal)
        }
    }

    // MARK: Outcomes

    /// The one that was just applied, if it is of this session and somebody still waits for it.
    mutating func take(applied id: ProposalID) -> Pending? {
        id.session == session ? pending.take(id.sequence) : nil
    }

    mutating func takeRejected(_ id: ProposalID, reason: ProposalRejection) -> EndedProposal<Success>? {
        guard id.session == session else { return nil }
        let error: ServiceError
        switch reason {
        case .notLeader:
            // Only an applied entry of a later term tells for certain; it will come.
            return nil
        case .overloaded: error = .tooManyRequests
        case .noSpace: error = .noSpace
        case .tooLarge: error = .keyValue(.requestTooLarge)
        case .changeUnderWay, .leaderNotReady, .learnerNotReady, .invalidChange:
            // Said of changes of the membership only, which no command is; nothing was done.
            error = .leaderChanged
        }
        return pending.take(id.sequence).map { EndedProposal(proposal: $0, error: error) }
    }

    /// The state is that of a snapshot, whose last entry is of `term`. At the start nothing is pending.
    mutating func restore(_ term: Term) -> [EndedProposal<Success>] {
        lastAppliedTerm = term
        // The entries that the snapshot stands for may hold these proposals, or may not.
        let unknown = pending.takeAll { $0.term != nil }
        if !unknown.isEmpty { rarePaths.insert(.proposalsUnknownAfterSnapshot) }
        return unknown.map { EndedProposal(proposal: $0, error: .timeoutLeaderFailure) }
    }

    mutating func takeLate(now: Instant) -> [EndedProposal<Success>] {
        let late = pending.takeAll { $0.deadline <= now }
        guard !late.isEmpty else { return [] }
        outbox.removeAll { !pending.contains($0.id.sequence) }
        rarePaths.insert(.requestTimedOut)
        return late.map { EndedProposal(proposal: $0, error: $0.term == nil ? .noLeader : .timeout) }
    }

    mutating func takeAll() -> [EndedProposal<Success>] {
        outbox = []
        return pending.takeAll { _ in true }.map {
            EndedProposal(proposal: $0, error: $0.term == nil ? .stopped : .timeout)
        }
    }
}

/// A proposal that will get no result. Whoever waits is told after the queue was changed, since it may come
/// back with the next request at once.
struct EndedProposal<Success> {
    let proposal: PendingProposal<Success>
    let error: ServiceError

    func tell() {
        proposal.completion(.failure(error))
    }
}
