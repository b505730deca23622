import ConsensusTypes

/// What one member of a group says to another.
public struct RaftMessage: Hashable, Sendable {
    public let from: NodeID
    public let to: NodeID
    /// The sender's term; in a pre-vote request and its granting answer, the term that is asked about.
    public let term: Term
    public let body: Body

    public init(from: NodeID, to: NodeID, term: Term, body: Body) {
        self.from = from
        self.to = to
        self.term = term
        self.body = body
    }

    public enum Body: Hashable, Sendable {
        /// "Would you vote for me in `term`?" Changes nothing at the receiver (dissertation, section 9.6).
        case preVoteRequest(LogPosition)
        case preVoteResponse(granted: Bool)
        /// RequestVote (Raft paper, section 5.2).
        case voteRequest(LogPosition)
        /// A vote request of a candidate that the leader of the term before told to take over: its receivers
        /// need not protect that leader (dissertation, section 4.2.3).
        case transferVoteRequest(LogPosition)
        case voteResponse(granted: Bool)
        /// AppendEntries (section 5.3), with or without entries.
        case append(AppendEntries)
        case appendResponse(AppendResponse)
        /// InstallSnapshot (section 7), one chunk of it.
        case snapshotChunk(SnapshotChunk)
        case snapshotResponse(SnapshotResponse)
        /// Proposals on their way to the leader of `term`, and of no other term.
        case propose([Proposal])
        /// The receiver of a `propose` did not append this copy of these, and never will.
        case proposeRejected([ProposalID], ProposalRejection)
        /// Asks the leader for a read index on behalf of all reads that a follower has gathered.
        case readIndexRequest(ReadBatchID)
        /// `nil`: this node cannot tell; ask again.
        case readIndexResponse(ReadBatchID, LogIndex?)
        /// The leader wants the receiver to take over at once (dissertation, section 3.10).
        case timeoutNow
    }
}

public struct AppendEntries: Hashable, Sendable {
    /// The entry that stands before `entries`.
    public let previous: LogPosition
    public let entries: [Entry]
    public let commitIndex: LogIndex
    /// Grows with each confirmation of leadership that the leader asks for; echoed in the answer.
    public let readRound: UInt64
    /// When the leader sent this, on the leader's clock; echoed in the answer. It dates a quorum by when it
    /// was asked, which is what makes stepping down in time sound.
    public let sentAt: Instant
    /// How many times the configured election timeout the one in force is, from 1 to
    /// ``RaftCore/maximumTimeoutFactor``.
    public let timeoutFactor: UInt8

    public init(
        previous: LogPosition, entries: [Entry], commitIndex: LogIndex, readRound: UInt64, sentAt: Instant,
        timeoutFactor: UInt8 = 1
    ) {
        self.timeoutFactor = timeoutFactor
        self.previous = previous
        self.entries = entries
        self.commitIndex = commitIndex
        self.readRound = readRound
        self.sentAt = sentAt
    }
}

public struct AppendResponse: Hashable, Sendable {
    public enum Outcome: Hashable, Sendable {
        /// The follower's log agrees with the leader's up to here, durably.
        case matched(LogIndex)
        /// The entry before the sent ones is missing or of another term. `rejected` is that entry's index.
        /// `hint` is the last place at which the follower's log may agree: its last index, or where its
        /// conflicting term starts (section 5.3, the accelerated back-off), with the term found there.
        case mismatch(rejected: LogIndex, hint: LogPosition)
    }

    public let outcome: Outcome
    public let readRound: UInt64
    public let sentAt: Instant

    public init(outcome: Outcome, readRound: UInt64, sentAt: Instant) {
        self.outcome = outcome
        self.readRound = readRound
        self.sentAt = sentAt
    }
}

public struct SnapshotChunk: Hashable, Sendable {
    public let metadata: SnapshotMetadata
    /// Where in the snapshot `bytes` start.
    public let offset: UInt64
    public let bytes: ByteSlice
    public let isLast: Bool
    public let sentAt: Instant

    public init(
        metadata: SnapshotMetadata, offset: UInt64, bytes: ByteSlice, isLast: Bool, sentAt: Instant
    ) {
        self.metadata = metadata
        self.offset = offset
        self.bytes = bytes
        self.isLast = isLast
        self.sentAt = sentAt
    }
}

public struct SnapshotResponse: Hashable, Sendable {
    public enum Outcome: Hashable, Sendable {
        /// The receiver holds the snapshot up to here and wants what follows.
        case wants(offset: UInt64)
        /// The snapshot is installed and durable, or was not needed.
        case installed
        /// The bytes were damaged or the receiver has no room: start again later.
        case refused
    }

    /// Which snapshot, by its last index.
    public let index: LogIndex
    public let outcome: Outcome
    public let sentAt: Instant

    public init(index: LogIndex, outcome: Outcome, sentAt: Instant) {
        self.index = index
        self.outcome = outcome
        self.sentAt = sentAt
    }
}

/// What a client wants in the log.
public struct Proposal: Hashable, Sendable {
    public enum Kind: UInt8, Hashable, Sendable {
        /// The payload is a command for the state machine.
        case command = 0
        /// The payload is an encoded ``MembershipChange``. The leader checks it when it appends the membership
        /// that follows from it, as an entry with the proposal's id.
        case membershipChange = 1
    }

    public let id: ProposalID
    public let kind: Kind
    public let payload: ByteSlice
    /// Whether the command makes the state larger. Such proposals are the first to be refused when the
    /// leader's disk fills up; deletes and compactions, which make room, go on.
    public let needsSpace: Bool

    public init(id: ProposalID, kind: Kind = .command, payload: ByteSlice, needsSpace: Bool) {
        self.id = id
        self.kind = kind
        self.payload = payload
        self.needsSpace = needsSpace
    }
}

/// How much room a node has for its log.
public enum DiskSpace: UInt8, Hashable, Sendable {
    case ample = 0
    /// Proposals that need space are refused.
    case low = 1
    /// Nothing is appended: a leader refuses every proposal, a follower takes no entries and does not
    /// campaign. Votes still fit.
    case none = 2
}

/// The reads that one node asked about together.
public struct ReadBatchID: Hashable, Sendable {
    public let session: UInt64
    public let sequence: UInt64

    public init(session: UInt64, sequence: UInt64) {
        self.session = session
        self.sequence = sequence
    }
}
