import ConsensusTypes

/// What a step of the core asks its shell to do. The parts say what must be durable before what: nothing
/// in ``messagesAfterPersist`` may leave the node before ``persist``, and every persist before it, is
/// durable; everything else may be done at once, in any order, except that committed entries are applied
/// in theirs.
public struct Effects: Sendable {
    /// May be sent now.
    public var messages: [RaftMessage] = []
    /// Must be written, in the order of the sequences, and synced; the shell then calls
    /// ``RaftCore/persisted(_:now:)``.
    public var persist: Persist?
    /// May be sent once `persist` is durable. Empty where `persist` is `nil`.
    public var messagesAfterPersist: [RaftMessage] = []
    /// Committed entries that have not been handed out before, in order. They may be applied before this
    /// node's own copy is durable: a quorum's copies are.
    public var committed: [Entry] = []
    /// Reads that are linearizable once everything up to the index is applied.
    public var readyReads: [ReadyRead] = []
    /// Reads that no leader could confirm; the client is told to try again.
    public var failedReads: [ReadID] = []
    /// Proposals that a leader did not take. They will never be in the log, except that
    /// ``ProposalRejection/notLeader`` speaks of one copy only.
    public var rejectedProposals: [RejectedProposal] = []
    /// Followers that need the next bytes of a snapshot; the shell answers each with
    /// ``RaftCore/provideSnapshotChunk(_:to:now:)`` or ``RaftCore/snapshotUnavailable(for:now:)``.
    public var snapshotReads: [SnapshotRead] = []
    /// Chunks that arrived in order. After the last one the shell checks and stores the whole snapshot
    /// durably and calls ``RaftCore/snapshotReceived(_:now:)`` or ``RaftCore/snapshotRefused(index:now:)``.
    public var receivedChunks: [ReceivedSnapshotChunk] = []
    /// The state machine must be replaced by this snapshot, which the shell already holds durably, before
    /// anything in ``committed`` is applied.
    public var restore: SnapshotMetadata?
    /// The last change of role, term or known leader, where there was one.
    public var leadership: Leadership?
    /// The membership in force, where it changed: an entry with it was appended or dropped, or a snapshot
    /// came. It need not be committed; links are to follow it all the same.
    public var membership: Membership?
    /// The election timeout in force changed: to so many times the configured one.
    public var timeoutFactor: UInt8?
    /// A transfer of the leadership that this leader had begun is over.
    public var transferEnded: TransferOutcome?

    public init() {}

    public var isEmpty: Bool {
        messages.isEmpty && persist == nil && messagesAfterPersist.isEmpty && committed.isEmpty
            && readyReads.isEmpty && failedReads.isEmpty && rejectedProposals.isEmpty && snapshotReads.isEmpty
            && receivedChunks.isEmpty && restore == nil && leadership == nil && membership == nil
            && transferEnded == nil && timeoutFactor == nil
    }
}

/// Something to be written to the write-ahead log as one unit.
public struct Persist: Hashable, Sendable {
    /// Grows by one with each persist.
    public let sequence: UInt64
    /// The hard state, where it changed.
    public let hardState: HardState?
    /// The log starts after this snapshot from now on; what it held up to the snapshot's index is obsolete,
    /// and what it held beyond is kept only if ``keepsSuffix``.
    public let snapshot: SnapshotMetadata?
    public let keepsSuffix: Bool
    /// Entries to append. The first one's index may be within the log: it and everything after it are
    /// replaced (Raft paper, section 5.3).
    public let entries: [Entry]

    public init(
        sequence: UInt64, hardState: HardState?, snapshot: SnapshotMetadata?, keepsSuffix: Bool,
        entries: [Entry]
    ) {
        self.sequence = sequence
        self.hardState = hardState
        self.snapshot = snapshot
        self.keepsSuffix = keepsSuffix
        self.entries = entries
    }
}

/// A read that the shell asked about, by a number of the shell's own.
public struct ReadID: Hashable, Sendable {
    public let rawValue: UInt64

    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

public struct ReadyRead: Hashable, Sendable {
    public let id: ReadID
    public let index: LogIndex

    public init(id: ReadID, index: LogIndex) {
        self.id = id
        self.index = index
    }
}

public struct RejectedProposal: Hashable, Sendable {
    public let id: ProposalID
    public let reason: ProposalRejection

    public init(id: ProposalID, reason: ProposalRejection) {
        self.id = id
        self.reason = reason
    }
}

public struct SnapshotRead: Hashable, Sendable {
    public let peer: NodeID
    /// The snapshot that was begun with, or `nil`: begin with the newest.
    public let metadata: SnapshotMetadata?
    public let offset: UInt64
    public let maximumSizeBytes: Int

    public init(peer: NodeID, metadata: SnapshotMetadata?, offset: UInt64, maximumSizeBytes: Int) {
        self.peer = peer
        self.metadata = metadata
        self.offset = offset
        self.maximumSizeBytes = maximumSizeBytes
    }
}

public struct ReceivedSnapshotChunk: Hashable, Sendable {
    public let from: NodeID
    public let chunk: SnapshotChunk

    public init(from: NodeID, chunk: SnapshotChunk) {
        self.from = from
        self.chunk = chunk
    }
}

public enum Role: UInt8, Hashable, Sendable {
    case follower = 0
    /// Asks whether an election would succeed before it disturbs anyone with a new term.
    case preCandidate = 1
    case candidate = 2
    case leader = 3
}

public struct Leadership: Hashable, Sendable {
    public let role: Role
    public let term: Term
    /// The leader of `term`, where it is known.
    public let leader: NodeID?

    public init(role: Role, term: Term, leader: NodeID?) {
        self.role = role
        self.term = term
        self.leader = leader
    }
}
