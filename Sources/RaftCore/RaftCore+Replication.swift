import ConsensusTypes

/// What a follower will say about the appends of this turn.
struct PendingAnswer: Sendable {
    let leader: NodeID
    var outcome: AppendResponse.Outcome
    var readRound: UInt64
    var sentAt: Instant
}

// Log replication (Raft paper, section 5.3) and the commit rule (section 5.4.2).
extension RaftCore {
    // MARK: Leader: sending

    mutating func append(_ kind: Entry.Kind, proposal: ProposalID, payload: ByteSlice, now: Instant) {
        let entry = Entry(
            index: log.lastIndex.next, term: term, kind: kind, proposal: proposal, payload: payload)
        log.append(entry)
        uncommittedSizeBytes += entry.approximateSizeBytes
        if kind == .membership { noteMembership(entry, now: now) }
    }

    /// Brings every follower what it lacks, or a sign of life where that is due.
    mutating func replicate(now: Instant) {
        if hasWitnesses { noteWitnessLimit(now: now) }
        for position in progress.indices {
            replicate(to: position, now: now)
        }
        isHeartbeatDue = false
    }

    private mutating func replicate(to position: Int, now: Instant) {
        switch progress[position].state {
        case .probe:
            if isHeartbeatDue || progress[position].probeUnderWay == nil {
                guard sendProbe(to: position, now: now) else { return sendSnapshot(to: position, now: now) }
            } else if progress[position].sentReadRound < leaderReads.round {
                sendEmpty(to: position, now: now)
            }
        case .replicate:
            var isAnythingSent = false
            let last = lastIndexToSend(to: position)
            if isHeartbeatDue, settings.adaptsToRoundTrips {
                // Before the entries, whose answer waits for a disk.
                beginMeasuring(at: position, now: now)
                sendEmpty(to: position, now: now)
                isAnythingSent = true
            }
            while progress[position].next <= last,
                progress[position].inFlight.count < settings.maximumInFlightAppends
            {
                guard sendEntries(to: position, now: now) else {
                    return sendSnapshot(to: position, now: now)
                }
                isAnythingSent = true
            }
            let isNewsDue =
                isHeartbeatDue || progress[position].sentCommitIndex < commitIndex
                || progress[position].sentReadRound < leaderReads.round
            if isNewsDue, !isAnythingSent {
                sendEmpty(to: position, now: now)
            }
        case .snapshot:
            sendSnapshot(to: position, now: now)
        }
    }

    private mutating func sendSnapshot(to position: Int, now: Instant) {
        continueSnapshot(to: position, now: now)
        if isHeartbeatDue || progress[position].sentReadRound < leaderReads.round {
            sendEmpty(to: position, now: now)
        }
    }

    /// Sends entries from where the logs may agree; `false` where only a snapshot has them.
    private mutating func sendProbe(to position: Int, now: Instant) -> Bool {
        let next = progress[position].next
        let previous = next.previous
        guard let previousTerm = log.term(at: previous) else { return false }
        let entries = entriesToSend(from: next, to: position)
        progress[position].probeUnderWay = previous + entries.count
        sendAppend(
            entries, after: LogPosition(term: previousTerm, index: previous), to: position, now: now)
        return true
    }

    /// Sends the next entries without waiting for answers; `false` where only a snapshot has them.
    private mutating func sendEntries(to position: Int, now: Instant) -> Bool {
        let next = progress[position].next
        let previous = next.previous
        guard let previousTerm = log.term(at: previous) else { return false }
        let entries = entriesToSend(from: next, to: position)
        progress[position].next = next + entries.count
        progress[position].inFlight.append(previous + entries.count)
        sendAppend(
            entries, after: LogPosition(term: previousTerm, index: previous), to: position, now: now)
        return true
    }

    private func lastIndexToSend(to position: Int) -> LogIndex {
        progress[position].isWitness ? min(witnessLimit, log.lastIndex) : log.lastIndex
    }

    private func entriesToSend(from next: LogIndex, to position: Int) -> [Entry] {
        guard progress[position].isWitness else {
            return Array(log.slice(from: next, maximumSizeBytes: settings.maximumAppendSizeBytes))
        }
        return log.withheldEntries(
            from: next, through: lastIndexToSend(to: position),
            maximumSizeBytes: settings.maximumAppendSizeBytes)
    }

    /// An append without entries: heartbeat, news of the commit index, or a question whether this node still
    /// leads. It stands where the next entries will, so that its refusal shows what was lost on the way.
    private mutating func sendEmpty(to position: Int, now: Instant) {
        let previous = progress[position].next.previous
        let known = log.term(at: previous).map { LogPosition(term: $0, index: previous) }
        sendAppend([], after: known ?? log.base, to: position, now: now)
    }

    private mutating func sendAppend(
        _ entries: [Entry], after previous: LogPosition, to position: Int, now: Instant
    ) {
        progress[position].sentCommitIndex = commitIndex
        progress[position].sentReadRound = leaderReads.round
        send(
            .append(
                AppendEntries(
                    previous: previous, entries: entries, commitIndex: commitIndex,
                    readRound: leaderReads.round, sentAt: now, timeoutFactor: timeoutFactor)),
            to: progress[position].node)
    }

    // MARK: Leader: answers

    mutating func handleAppendResponse(_ response: AppendResponse, from node: NodeID, now: Instant) {
        guard role == .leader, let position = progressPosition(of: node) else { return }
        endMeasuring(sentAt: response.sentAt, at: position, now: now)
        noteAnswer(sentAt: response.sentAt, readRound: response.readRound, at: position, now: now)
        switch response.outcome {
        case .matched(let index):
            guard index <= log.lastIndex else {
                malformedMessageCount += 1
                return
            }
            noteMatched(index, at: position)
        case .mismatch(let rejected, let hint):
            noteMismatch(rejected, hint, at: position)
        }
    }

    func progressPosition(of node: NodeID) -> Int? {
        progress.firstIndex { $0.node == node }
    }

    mutating func noteAnswer(sentAt: Instant, readRound: UInt64, at position: Int, now: Instant) {
        // A time from the future cannot be the echo of anything that was sent.
        if sentAt <= now {
            progress[position].answeredSentAt = max(progress[position].answeredSentAt, sentAt)
            if sentAt > .zero { progress[position].hasAnswered = true }
        }
        guard readRound <= leaderReads.round, readRound > progress[position].confirmedReadRound else {
            return
        }
        progress[position].confirmedReadRound = readRound
        confirmReads()
    }

    private mutating func noteMatched(_ index: LogIndex, at position: Int) {
        let isNew = index > progress[position].match
        progress[position].noteMatch(index)
        switch progress[position].state {
        case .probe:
            progress[position].becomeReplicate()
        case .replicate:
            break
        case .snapshot:
            // The member turned out to have what the log still holds.
            if progress[position].match >= log.base.index { progress[position].becomeProbe() }
        }
        if isNew { advanceCommit() }
    }

    private mutating func noteMismatch(_ rejected: LogIndex, _ hint: LogPosition, at position: Int) {
        switch progress[position].state {
        case .snapshot:
            return
        case .replicate:
            // A refusal at or below the match is older than what the member said since.
            if rejected > progress[position].match { progress[position].becomeProbe() }
        case .probe:
            guard rejected == progress[position].next.previous else { return }
            // The logs agree no later than where this node's own log has a term that the member's may have.
            let candidate = log.lastIndex(upTo: min(hint.index, rejected), withTermAtMost: hint.term)
            let limit = max(rejected, LogIndex(1))
            let next = max(min(candidate.next, limit), progress[position].match.next)
            // A member that lacks what it had acknowledged has a disk that lost it. Asked again at once it would
            // answer the same at once: the next heartbeat asks.
            guard next < progress[position].next else { return rarePaths.insert(.acknowledgedEntryMissing) }
            progress[position].next = next
            progress[position].probeUnderWay = nil
        }
    }

    /// Moves the commit index to what a quorum has durably, if that is an entry of this term: earlier ones
    /// are committed with it, never by counting (Raft paper, section 5.4.2 and figure 8).
    mutating func advanceCommit() {
        let reached = membership.quorumValue { node -> LogIndex in
            if node == nodeID { return persistence.durableIndex }
            return progressPosition(of: node).map { progress[$0].match } ?? .zero
        }
        guard let reached, reached > commitIndex else { return }
        guard log.term(at: reached) == term else { return rarePaths.insert(.commitWaitsForOwnTerm) }
        for entry in log.slice(from: commitIndex.next, through: reached) where entry.index >= firstIndexOfTerm
        {
            uncommittedSizeBytes -= entry.approximateSizeBytes
        }
        commitIndex = reached
    }

    // MARK: Follower

    mutating func answerStaleLeader(_ message: RaftMessage) {
        rarePaths.insert(.staleLeaderAnswered)
        // The term in the answer makes a leader that was replaced step down. It also brings a leader to a
        // node with a higher term, which it could otherwise never win back.
        let response = AppendResponse(
            outcome: .mismatch(rejected: log.lastIndex, hint: log.lastPosition), readRound: 0, sentAt: .zero)
        send(.appendResponse(response), to: message.from)
    }

    mutating func handleAppend(_ append: AppendEntries, from leader: NodeID, now: Instant) {
        var index = append.previous.index
        var entryTerm = append.previous.term
        var isWithheld = false
        for entry in append.entries {
            guard entry.index == index.next, entry.term >= entryTerm, entry.term <= term else {
                malformedMessageCount += 1
                return
            }
            index = entry.index
            entryTerm = entry.term
            if entry.kind == .withheld { isWithheld = true }
        }
        if isWithheld {
            guard takesWithheld else {
                rarePaths.insert(.withheldRefusedByDataMember)
                malformedMessageCount += 1
                return
            }
        }
        var previous = append.previous
        var entries = append.entries[...]
        if previous.index < log.base.index {
            rarePaths.insert(.entriesWithinSnapshotSkipped)
            // What the snapshot stands for is committed, and so the same in every leader's log.
            entries = entries.drop { $0.index <= log.base.index }
            previous = log.base
        }
        let isMatching = log.term(at: previous.index) == previous.term
        let hasRoom = diskSpace != .none || !entries.contains { log.term(at: $0.index) != $0.term }
        if diskSpace == .none, !isMatching || !hasRoom {
            // Each answer makes the leader send the same again at once: one in a heartbeat is enough.
            guard now >= roomlessAnswerDue else { return }
            roomlessAnswerDue = now + heartbeatInterval
            rarePaths.insert(.appendRefusedWithoutRoom)
        }
        guard isMatching else { return refuse(append, previous, from: leader) }
        if isWithheld, hasRoom { lacksData = true }
        if hasRoom { appendMissing(entries, now: now) }
        let matched = hasRoom ? previous.index + entries.count : previous.index
        commitIndex = max(commitIndex, min(append.commitIndex, matched))
        // Whoever is counted on for data must not acknowledge what it does not have.
        guard !isMisplaced else { return }
        answer(append, matched: matched, hasEntries: !entries.isEmpty, from: leader)
    }

    private mutating func appendMissing(_ entries: ArraySlice<Entry>, now: Instant) {
        guard
            let conflict = entries.firstIndex(where: { log.term(at: $0.index) != $0.term })
        else { return }
        let missing = entries[conflict...]
        let first = entries[conflict].index
        if first <= log.lastIndex {
            precondition(
                first > commitIndex,
                "the leader of term \(term) replaces entry \(first), which is committed through \(commitIndex)"
            )
            rarePaths.insert(.conflictingSuffixReplaced)
            if persistence.durableIndex < log.lastIndex { rarePaths.insert(.conflictReplacedWhilePersisting) }
            log.truncate(from: first)
            persistence.noteTruncation(from: first)
            while memberships.count > 1, memberships[memberships.count - 1].index >= first {
                memberships.removeLast()
                isMembershipNew = true
                rarePaths.insert(.membershipTruncated)
            }
        }
        log.append(missing)
        for entry in missing where entry.kind == .membership {
            noteMembership(entry, now: now)
        }
    }

    private mutating func refuse(_ append: AppendEntries, _ previous: LogPosition, from leader: NodeID) {
        let isMissing = log.term(at: previous.index) == nil
        rarePaths.insert(isMissing ? .previousEntryMissing : .previousEntryConflicts)
        // The last place where the logs may agree: nothing of a term beyond the leader's entry.
        let index = log.lastIndex(upTo: previous.index, withTermAtMost: previous.term)
        let hint = LogPosition(term: log.term(at: index) ?? log.base.term, index: index)
        let response = AppendResponse(
            outcome: .mismatch(rejected: append.previous.index, hint: hint), readRound: append.readRound,
            sentAt: append.sentAt)
        send(.appendResponse(response), to: leader)
    }

    /// Gathers the answers to the appends of a turn into one. It waits until what it speaks of is durable;
    /// what need not wait is said at once, so that a slow disk delays neither reads nor heartbeats.
    private mutating func answer(
        _ append: AppendEntries, matched: LogIndex, hasEntries: Bool, from leader: NodeID
    ) {
        guard hasEntries, matched > persistence.durableIndex else {
            let durable = min(matched, persistence.durableIndex)
            let response = AppendResponse(
                outcome: .matched(durable), readRound: append.readRound, sentAt: append.sentAt)
            send(.appendResponse(response), to: leader)
            return
        }
        let isReadWaiting = append.readRound > (followerReads.echoedRound ?? 0)
        if isReadWaiting {
            let durable = min(append.previous.index, persistence.durableIndex)
            let response = AppendResponse(
                outcome: .matched(durable), readRound: append.readRound, sentAt: append.sentAt)
            send(.appendResponse(response), to: leader)
        }
        followerReads.echoedRound = append.readRound
        var gathered = PendingAnswer(
            leader: leader, outcome: .matched(matched), readRound: append.readRound, sentAt: append.sentAt)
        if let before = pendingAnswer, before.leader == leader, case .matched(let earlier) = before.outcome {
            gathered.outcome = .matched(max(earlier, matched))
            gathered.readRound = max(before.readRound, append.readRound)
            gathered.sentAt = max(before.sentAt, append.sentAt)
        }
        pendingAnswer = gathered
    }

    mutating func sendPendingAnswer() {
        guard let answer = pendingAnswer else { return }
        pendingAnswer = nil
        let response = AppendResponse(
            outcome: answer.outcome, readRound: answer.readRound, sentAt: answer.sentAt)
        send(.appendResponse(response), to: answer.leader, waitsForLog: true)
    }
}
