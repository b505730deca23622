import ConsensusTypes
import RaftCore
import WriteAheadLog

/// What nodes say to each other beside the protocol: who they are, and what a node that lacks a part of its
/// past asks for. docs/formats/peer-messages.md shows the bytes.
public enum RepairMessage: Hashable, Sendable {
    /// The first thing on every link, and again whenever it changes.
    case introduction(Introduction)
    /// The answer to an introduction.
    case verdict(Verdict)
    case entriesRequest(EntriesRequest)
    case entries(EntriesAnswer)
    case snapshotRequest(SnapshotRequest)
    case snapshotChunk(number: UInt64, SnapshotChunk)
    /// There is no such snapshot, or it cannot be read.
    case snapshotUnavailable(number: UInt64)
    /// Asks a leader to append an entry and to say when it is committed without the asker.
    case adoptionRequest(number: UInt64, group: GroupID)
    /// The entry at this position was appended after the request and is committed.
    case adoption(number: UInt64, LogPosition)
    /// The receiver does not lead, or not any more; `leader` is who does, as far as it knows.
    case adoptionRefused(number: UInt64, leader: NodeID?)
}

/// Which start of which data directory speaks, and whether it takes part.
public struct Introduction: Hashable, Sendable {
    public enum Stage: UInt8, Hashable, Sendable {
        /// Its directory never took part; it asks whether another one of its name did.
        case fresh = 0
        /// It is restoring its past, and silent until then.
        case underRepair = 1
        /// It takes part.
        case active = 2
        /// It takes part on an operator's word, whatever its peers remember.
        case forced = 3

        /// Whether messages of the protocol may come from it.
        var takesPart: Bool { self == .active || self == .forced }
    }

    public let directory: DirectoryID
    /// Grows with every start of the node, also where it got a new directory in between: see
    /// ``NodeLife``.
    public let startCount: UInt64
    /// Unique to this start of the process.
    public let incarnation: UInt64
    public let stage: Stage

    public init(directory: DirectoryID, startCount: UInt64, incarnation: UInt64, stage: Stage) {
        self.directory = directory
        self.startCount = startCount
        self.incarnation = incarnation
        self.stage = stage
    }
}

/// What a peer thinks of an introduction.
public struct Verdict: Hashable, Sendable {
    public enum Judgement: UInt8, Hashable, Sendable {
        /// It is remembered, and its messages count.
        case welcome = 0
        /// It is known to be under repair.
        case noted = 1
        /// To a fresh node: no other directory of this name was ever heard of, and none will be believed to be
        /// fresh from now on.
        case unknown = 2
        /// To a fresh node: another directory of this name took part, or asked to.
        case known = 3
        /// A later start of the node is remembered: this directory was put back to an older state.
        case behind = 4
        /// The same start is remembered of another process: one of the two runs on a copy.
        case copy = 5
        /// To a fresh node: the peer has lost what it remembered of others. It remembers the asking directory
        /// from now on.
        case cannotTell = 6
    }

    public let judgement: Judgement
    /// Which introduction is meant.
    public let incarnation: UInt64
    /// The start that is remembered; zero where none is.
    public let knownStartCount: UInt64

    public init(judgement: Judgement, incarnation: UInt64, knownStartCount: UInt64 = 0) {
        self.judgement = judgement
        self.incarnation = incarnation
        self.knownStartCount = knownStartCount
    }
}

/// Asks for entries that end with `through`, of a log that holds `boundary`.
public struct EntriesRequest: Hashable, Sendable {
    public let number: UInt64
    public let group: GroupID
    public let boundary: LogPosition
    /// The boundary's own index, or the one before it.
    public let through: LogIndex
    /// Nothing before this index is wanted.
    public let from: LogIndex
    public let maximumSizeBytes: Int

    public init(
        number: UInt64, group: GroupID, boundary: LogPosition, through: LogIndex, from: LogIndex,
        maximumSizeBytes: Int
    ) {
        self.number = number
        self.group = group
        self.boundary = boundary
        self.through = through
        self.from = from
        self.maximumSizeBytes = maximumSizeBytes
    }
}

/// What a node holds of a log that contains a certain entry.
public struct LogExcerpt: Hashable, Sendable {
    /// Contiguous, and ending where it was asked; empty where the boundary, or the entry before it, is not
    /// held.
    public var entries: [Entry] = []
    /// What stands right before `entries`; where there are none, what stands where they should end. `nil`:
    /// not held.
    public var previous: LogPosition?
    public var holdsBoundary = false
    /// The first entry that is held without a gap up to the boundary; zero where the boundary is not held.
    public var firstIndex = LogIndex.zero
    /// The snapshot that can be had; at zero: none.
    public var snapshot = LogPosition(term: .zero, index: .zero)

    public init() {}
}

public struct EntriesAnswer: Hashable, Sendable {
    public let number: UInt64
    public let excerpt: LogExcerpt

    public init(number: UInt64, excerpt: LogExcerpt) {
        self.number = number
        self.excerpt = excerpt
    }
}

/// Asks for bytes of a snapshot.
public struct SnapshotRequest: Hashable, Sendable {
    public let number: UInt64
    public let group: GroupID
    /// The snapshot that was begun with, or `nil`: begin with the newest.
    public let metadata: SnapshotMetadata?
    public let offset: UInt64
    public let maximumSizeBytes: Int

    public init(
        number: UInt64, group: GroupID, metadata: SnapshotMetadata?, offset: UInt64, maximumSizeBytes: Int
    ) {
        self.number = number
        self.group = group
        self.metadata = metadata
        self.offset = offset
        self.maximumSizeBytes = maximumSizeBytes
    }
}
