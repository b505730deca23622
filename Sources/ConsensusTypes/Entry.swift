/// One record of a group's raft log.
public struct Entry: Hashable, Sendable {
    /// What an entry is for.
    public enum Kind: UInt8, Sendable {
        /// A new leader's first entry, which lets it commit what came before (Raft paper, section 8).
        case noOperation = 0
        /// A command for the state machine.
        case command = 1
        /// An encoded ``Membership``, in force from the moment it is appended (section 6).
        case membership = 2
        /// A command in the log of a witness, which was not given its payload, nor whose proposal it is. It stands
        /// for the command where terms and counts matter, and can be applied by nobody.
        case withheld = 3
    }

    public let index: LogIndex
    public let term: Term
    public let kind: Kind
    /// Who proposed it; ``ProposalID/none`` for entries that no client proposed.
    public let proposal: ProposalID
    public let payload: ByteSlice

    public init(
        index: LogIndex, term: Term, kind: Kind, proposal: ProposalID = .none,
        payload: ByteSlice = ByteSlice()
    ) {
        self.index = index
        self.term = term
        self.kind = kind
        self.proposal = proposal
        self.payload = payload
    }

    /// The entry as a witness gets it.
    public var asWithheld: Entry {
        kind == .command ? Entry(index: index, term: term, kind: .withheld) : self
    }

    /// What the entry counts towards limits on messages and logs: its payload and 48 bytes for the rest.
    public var approximateSizeBytes: Int { payload.count + 48 }
}

/// The state that a member must have on stable storage before it answers (Raft paper, figure 2).
public struct HardState: Hashable, Sendable {
    public var term: Term
    public var votedFor: NodeID?
    /// A hint, not a promise: what was known to be committed when the state was written.
    public var commitIndex: LogIndex

    public init(term: Term = .zero, votedFor: NodeID? = nil, commitIndex: LogIndex = .zero) {
        self.term = term
        self.votedFor = votedFor
        self.commitIndex = commitIndex
    }
}

/// Names a snapshot: it holds the effect of every entry up to and including `index`.
public struct SnapshotMetadata: Hashable, Sendable {
    public let index: LogIndex
    public let term: Term
    /// The membership in force at `index`.
    public let membership: Membership
    /// Whether it is a witness's: it says where the log starts, and the state itself is not in it.
    public let isWithheld: Bool

    public init(index: LogIndex, term: Term, membership: Membership, isWithheld: Bool = false) {
        self.index = index
        self.term = term
        self.membership = membership
        self.isWithheld = isWithheld
    }

    /// The same without the state: what a witness gets in its place.
    public var asWithheld: SnapshotMetadata {
        SnapshotMetadata(index: index, term: term, membership: membership, isWithheld: true)
    }
}
