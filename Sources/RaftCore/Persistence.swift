import ConsensusTypes

/// What of a core's state is durable, and what is on its way there.
struct Persistence: Sendable {
    private struct UnderWay {
        let sequence: UInt64
        /// The last entry that is durable once this persist is; lowered when entries are truncated.
        var lastIndex: LogIndex
    }

    /// The last persist that was handed out, and the last that is durable.
    private(set) var lastSequence: UInt64 = 0
    private(set) var durableSequence: UInt64 = 0
    /// The log agrees with its durable copy up to here.
    private(set) var durableIndex: LogIndex
    /// The persist that last carried a new term or vote.
    private(set) var hardStateSequence: UInt64 = 0
    private var handedOut: HardState
    /// Entries up to here were handed out.
    private var handedOutIndex: LogIndex
    private var underWay: [UnderWay] = []
    private var snapshot: (metadata: SnapshotMetadata, keepsSuffix: Bool)?

    init(hardState: HardState, lastIndex: LogIndex) {
        handedOut = hardState
        durableIndex = lastIndex
        handedOutIndex = lastIndex
    }

    /// Entries from `index` on were dropped from the log.
    mutating func noteTruncation(from index: LogIndex) {
        lower(to: index.previous)
    }

    /// The log starts after a snapshot now. What was durable of the log and not known to be committed no
    /// longer says anything.
    mutating func noteSnapshot(_ metadata: SnapshotMetadata, keepsSuffix: Bool, committed: LogIndex) {
        snapshot = (metadata, keepsSuffix)
        if !keepsSuffix {
            lower(to: committed)
            handedOutIndex = metadata.index
        }
    }

    private mutating func lower(to index: LogIndex) {
        durableIndex = min(durableIndex, index)
        handedOutIndex = min(handedOutIndex, index)
        for position in underWay.indices {
            underWay[position].lastIndex = min(underWay[position].lastIndex, index)
        }
    }

    /// What is new since the last call, or `nil`.
    mutating func makePersist(hardState: HardState, log: RaftLog) -> Persist? {
        let isVoteNew = hardState.term != handedOut.term || hardState.votedFor != handedOut.votedFor
        let entries =
            handedOutIndex < log.lastIndex
            ? Array(log.slice(from: max(handedOutIndex.next, log.firstIndex), through: log.lastIndex)) : []
        guard isVoteNew || !entries.isEmpty || snapshot != nil else { return nil }
        lastSequence += 1
        if isVoteNew { hardStateSequence = lastSequence }
        // The disk's entries follow the snapshot only if it has them from this log; otherwise all that
        // stands after the snapshot is among `entries`.
        let keepsSuffix = snapshot.map { $0.keepsSuffix && handedOutIndex >= $0.metadata.index } ?? true
        let isHardStateNew = hardState != handedOut
        handedOut = hardState
        handedOutIndex = log.lastIndex
        underWay.append(UnderWay(sequence: lastSequence, lastIndex: log.lastIndex))
        defer { snapshot = nil }
        return Persist(
            sequence: lastSequence, hardState: isHardStateNew ? hardState : nil, snapshot: snapshot?.metadata,
            keepsSuffix: keepsSuffix, entries: entries)
    }

    mutating func notePersisted(_ sequence: UInt64) {
        precondition(sequence <= lastSequence, "persist \(sequence) was never handed out")
        durableSequence = max(durableSequence, sequence)
        while let first = underWay.first, first.sequence <= sequence {
            durableIndex = max(durableIndex, first.lastIndex)
            underWay.removeFirst()
        }
    }
}

/// A message on its way out of the core.
struct OutgoingMessage: Sendable {
    let message: RaftMessage
    /// Whether it speaks of entries that may not be durable yet.
    let waitsForLog: Bool
}

/// A message that waits for a persist of an earlier turn.
struct HeldMessage: Sendable {
    let sequence: UInt64
    let message: RaftMessage
}

extension RaftCore {
    /// This persist and all before it are durable.
    public mutating func persisted(_ sequence: UInt64, now: Instant) {
        persistence.notePersisted(sequence)
        var held: [HeldMessage] = []
        swap(&held, &heldMessages)
        for item in held {
            if item.sequence <= persistence.durableSequence {
                effects.messages.append(item.message)
            } else {
                heldMessages.append(item)
            }
        }
        if role == .leader {
            advanceCommit()
        }
    }

    mutating func makePersist() -> Persist? {
        persistence.makePersist(hardState: hardState, log: log)
    }

    /// Sorts what was sent by what it waits for: nothing, the persist of this turn, or an earlier one.
    mutating func routeOutgoing() {
        for item in outgoing {
            let required = max(
                persistence.hardStateSequence, item.waitsForLog ? persistence.lastSequence : 0)
            if required <= persistence.durableSequence {
                effects.messages.append(item.message)
            } else if required == effects.persist?.sequence {
                effects.messagesAfterPersist.append(item.message)
            } else {
                rarePaths.insert(.answerHeldForEarlierPersist)
                heldMessages.append(HeldMessage(sequence: required, message: item.message))
            }
        }
        outgoing.removeAll(keepingCapacity: true)
    }
}
