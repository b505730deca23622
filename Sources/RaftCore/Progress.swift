import ConsensusTypes

/// What a leader knows of one other member.
struct Progress: Hashable, Sendable {
    enum State: Hashable, Sendable {
        /// Where the logs agree is not known: one message at a time.
        case probe
        /// The logs agree up to `next`: messages are pipelined.
        case replicate
        /// The member needs entries that the leader has only in a snapshot.
        case snapshot(SnapshotTransfer)
    }

    /// What is still to be done for a member that was removed.
    struct Leaving: Hashable, Sendable {
        /// The entry without it.
        let index: LogIndex
        /// When it is given up; `nil` while the entry is not committed.
        var deadline: Instant?
        /// When it was first told that the entry is committed.
        var toldAt: Instant?
    }

    let node: NodeID
    /// Gets entries and snapshots without data, and not before others have them: see ``Pace``.
    let isWitness: Bool
    var pace: Pace
    var state = State.probe
    /// The member has everything up to here durably.
    var match = LogIndex.zero
    /// The next entry to send.
    var next: LogIndex
    /// The last entry of each message under way, oldest first.
    var inFlight: [LogIndex] = []
    /// The last entry of the probe that was not answered yet; `nil` where none is under way.
    var probeUnderWay: LogIndex?
    /// The latest time at which the leader sent something that the member answered.
    var answeredSentAt: Instant
    /// Whether ``answeredSentAt`` is that, and not only since when the member is waited for.
    var hasAnswered = false
    /// Set once the member was removed from the membership.
    var leaving: Leaving?
    var confirmedReadRound: UInt64 = 0
    var sentReadRound: UInt64 = 0
    /// How long it takes to answer.
    var roundTrip = RoundTrip()
    /// When the heartbeat left that is being measured.
    var measuredSentAt: Instant?
    var sentCommitIndex = LogIndex.zero

    init(node: NodeID, isWitness: Bool, pace: Pace, next: LogIndex, answeredSentAt: Instant) {
        self.node = node
        self.isWitness = isWitness
        self.pace = pace
        self.next = next
        self.answeredSentAt = answeredSentAt
    }

    mutating func becomeProbe() {
        // While the logs are still being compared, `next` is the best guess and `match` says nothing.
        if state != .probe { next = match.next }
        state = .probe
        inFlight.removeAll(keepingCapacity: true)
        probeUnderWay = nil
        measuredSentAt = nil
    }

    mutating func becomeReplicate() {
        state = .replicate
        next = max(next, match.next)
        inFlight.removeAll(keepingCapacity: true)
        // The answer that showed where the logs agree need not be the one to the probe.
        if let last = probeUnderWay, last > match {
            next = max(next, last.next)
            inFlight.append(last)
        }
        probeUnderWay = nil
    }

    /// The member has everything up to `index`.
    mutating func noteMatch(_ index: LogIndex) {
        match = max(match, index)
        next = max(next, match.next)
        if let position = inFlight.firstIndex(where: { $0 > match }) {
            inFlight.removeFirst(position)
        } else {
            inFlight.removeAll(keepingCapacity: true)
        }
    }
}

/// A snapshot on its way to a member, chunk by chunk.
struct SnapshotTransfer: Hashable, Sendable {
    enum Step: Hashable, Sendable {
        /// The shell was asked for bytes.
        case reading
        /// A chunk was sent; the member has not asked for the next.
        case sent(at: Instant, isLast: Bool)
        /// The last try failed; the next begins at this time.
        case pausing(until: Instant)
    }

    /// Known once the first chunk was read.
    var metadata: SnapshotMetadata?
    var offset: UInt64 = 0
    var step: Step
    /// Whether this is one of the transfers that may go on at the same time.
    var hasTurn = false
}
