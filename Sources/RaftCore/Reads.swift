import ConsensusTypes

/// Who waits for a read index.
enum Reader: Hashable, Sendable {
    case own(ReadID)
    case follower(NodeID, ReadBatchID)
}

/// The reads that a leader has to confirm.
struct LeaderReads: Sendable {
    struct Round: Sendable {
        let index: LogIndex
        let readers: [Reader]
    }

    /// The number of the last round that was started. Grows within a term.
    var round: UInt64 = 0
    /// The round that waits for a quorum.
    var current: Round?
    /// Reads that came since and share the next round.
    var gathered: [Reader] = []
}

/// The reads that a follower asks its leader about.
struct FollowerReads: Sendable {
    struct Batch: Sendable {
        let id: ReadBatchID
        let reads: [ReadID]
        let deadline: Instant
    }

    var gathered: [ReadID] = []
    var current: Batch?
    var lastSequence: UInt64 = 0
    /// After the leader could not tell: when to ask again.
    var pausedUntil = Instant.zero
    /// The highest read round of the present leader that was answered.
    var echoedRound: UInt64?

    var deadline: Instant {
        if let current { return current.deadline }
        return gathered.isEmpty ? .distantFuture : pausedUntil
    }
}
