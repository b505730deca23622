import ConsensusTypes
import struct SystemPackage.FilePath

/// What one group wants written as one unit: its new hard state, where the log starts, and entries, to be
/// taken in this order.
public struct LogWrite: Hashable, Sendable {
    public let group: GroupID
    /// The hard state, where it changed.
    public let hardState: HardState?
    /// The log starts after this snapshot from now on.
    public let snapshot: SnapshotMetadata?
    /// Whether entries after the snapshot's index stay; without meaning where there is no snapshot.
    public let keepsSuffix: Bool
    /// Contiguous. The first one's index may be within the log: it and all after it are replaced.
    public let entries: [Entry]

    public init(
        group: GroupID, hardState: HardState? = nil, snapshot: SnapshotMetadata? = nil,
        keepsSuffix: Bool = false, entries: [Entry] = []
    ) {
        self.group = group
        self.hardState = hardState
        self.snapshot = snapshot
        self.keepsSuffix = keepsSuffix
        self.entries = entries
    }

    public var isEmpty: Bool { hardState == nil && snapshot == nil && entries.isEmpty }
}

/// What the log holds of a group.
public struct RecoveredGroup: Hashable, Sendable {
    public let group: GroupID
    public let hardState: HardState
    /// What the log starts after, where that is not the beginning.
    public let snapshot: SnapshotMetadata?
    /// Contiguous, from right after the snapshot. Payloads share storage with blocks of the log.
    public let entries: [Entry]

    public init(group: GroupID, hardState: HardState, snapshot: SnapshotMetadata?, entries: [Entry]) {
        self.group = group
        self.hardState = hardState
        self.snapshot = snapshot
        self.entries = entries
    }
}

/// How the log was found when it was opened.
public struct RecoveryReport: Hashable, Sendable {
    /// How the last run ended, as far as the log tells.
    public enum End: Hashable, Sendable {
        /// The log is new.
        case created
        /// The node closed it: everything is there.
        case closed
        /// The log says that everything up to its end was durable, and everything is there.
        case durable
        /// What was being written at the end may or may not be there. It was not acknowledged, unless the
        /// mark that follows an acknowledged batch was lost too: see docs/formats/write-ahead-log.md.
        case open
    }

    /// What the anchor, the file `ANCHOR`, told of the log's end.
    public enum Anchor: Hashable, Sendable {
        /// There is none: the log is new, was written by a version that had none, or lost it.
        case missing
        /// It holds nothing intact about the end, so nothing but the log's own marks proves what was durable.
        case unknown
        /// Everything up to this batch was durable for certain, and is there.
        case known(sequence: UInt64)
    }

    /// What an interrupted ``WriteAheadLog/rebuild(directory:fileSystem:options:groups:)`` left.
    public enum Rebuild: Hashable, Sendable {
        case none
        /// Everything but the last renaming, which was made up for.
        case finished
        /// Less than that: it was removed, and the log of before is still in place.
        case discarded
    }

    public struct TruncatedTail: Hashable, Sendable {
        public let file: FilePath
        public let offset: Int
        public let bytes: Int
    }

    public let end: End
    public let anchor: Anchor
    /// Whether the anchor had lost what it holds of terms and votes, in one slot or both.
    public let hasLostVotes: Bool
    public let rebuild: Rebuild
    /// The last batch that is there. With an anchor that is behind it (``Anchor/known(sequence:)``) the power
    /// was cut, or the process died between a sync and what follows it.
    public let lastSequence: UInt64
    /// Whether nothing in the segments proves that the last batch was durable, so that it was written again.
    public let hasRewrittenBatch: Bool
    /// Whether the same holds for the seal of the segment before the last, or it was missing.
    public let hasRewrittenSeal: Bool
    /// A write at the end that had not finished and was removed.
    public let truncatedTail: TruncatedTail?
    /// What was damaged and made up for without a loss: parts of the anchor that could not be read.
    public let damages: [WriteAheadLogError]
    public let segments: Int
    /// How many bytes of batches were read.
    public let bytes: Int
    public let entries: Int
}

/// How much room the log has.
public enum LogSpace: UInt8, Hashable, Sendable {
    case ample = 0
    /// The next segment could not be allocated in advance: write only what makes room.
    case low = 1
    /// The current segment is nearly full as well: append nothing; hard states still fit.
    case none = 2
}

/// Sizes of a write-ahead log.
public struct WriteAheadLogOptions: Hashable, Sendable {
    /// A multiple of 4,096. A batch that does not fit gets a segment of its own size.
    public var segmentSizeBytes = 64 << 20
    /// What is left of a segment for hard states when there is no room for another segment. It must hold
    /// what is written between ``WriteAheadLog/space`` turning to `none` and the writer's reacting to it.
    public var reserveSizeBytes = 8 << 20
    /// How many segments that are not in use are kept for the future; at least 1.
    public var maximumSpareSegments = 2
    /// Whether a directory without segments becomes a new log; otherwise it is an error.
    public var createsIfMissing = true
    /// How much is read at a time when the log is opened.
    public var readBlockSizeBytes = 4 << 20

    public init() {}

    /// The same options with small segments, for tests and simulations.
    public init(segmentSizeBytes: Int) {
        self.segmentSizeBytes = segmentSizeBytes
        reserveSizeBytes = segmentSizeBytes / 8
        readBlockSizeBytes = min(4 << 20, segmentSizeBytes)
    }

    /// Why these options cannot work, in one line, or `nil`.
    public var problem: String? {
        if segmentSizeBytes < 4_096 || segmentSizeBytes % 4_096 != 0 || segmentSizeBytes > 1 << 30 {
            return "the segment size (\(segmentSizeBytes) bytes) must be a multiple of 4096, up to 1 GiB"
        }
        if reserveSizeBytes < 0 || reserveSizeBytes > segmentSizeBytes / 2 {
            return "the reserve (\(reserveSizeBytes) bytes) must be at most half of a segment"
        }
        if maximumSpareSegments < 1 || readBlockSizeBytes < 4_096 {
            return "at least one spare segment and read blocks of at least 4096 bytes are needed"
        }
        return nil
    }
}
