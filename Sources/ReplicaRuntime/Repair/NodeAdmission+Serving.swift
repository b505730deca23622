import ConsensusTypes
import RaftCore

// What a node gives to peers that are under repair, whether it takes part or is under repair itself.
extension NodeAdmission {
    /// No answer is larger, whatever is asked.
    private static let largestAnswerSizeBytes = 4 << 20

    func answer(_ asked: EntriesRequest, at position: Int) {
        guard asked.group == group else { return }
        // Whoever asks may need what a witness does not have. It cannot tell, and others can.
        guard !isWitness else {
            return send(
                .entries(EntriesAnswer(number: asked.number, excerpt: LogExcerpt())), to: peers[position].node
            )
        }
        let request = EntriesRequest(
            number: asked.number, group: group, boundary: asked.boundary, through: asked.through,
            from: asked.from, maximumSizeBytes: min(asked.maximumSizeBytes, Self.largestAnswerSizeBytes))
        var excerpt: LogExcerpt
        if let source {
            excerpt = source.excerpt(for: request)
        } else {
            excerpt = repair?.excerpt(for: request) ?? LogExcerpt()
            if !excerpt.holdsBoundary { excerpt = ownParts.excerpt(for: request) }
        }
        send(.entries(EntriesAnswer(number: asked.number, excerpt: excerpt)), to: peers[position].node)
    }

    /// One question of a peer at a time: a new one takes the place of the one before.
    func answer(_ request: SnapshotRequest, at position: Int) {
        guard request.group == group else { return }
        guard !isWitness else {
            return send(.snapshotUnavailable(number: request.number), to: peers[position].node)
        }
        peers[position].snapshotQuestion = request.number
        effects.append(
            .readSnapshot(
                SnapshotRead(
                    peer: peers[position].node, metadata: request.metadata, offset: request.offset,
                    maximumSizeBytes: max(1, min(request.maximumSizeBytes, Self.largestAnswerSizeBytes)))))
    }

    /// The bytes that ``AdmissionEffect/readSnapshot(_:)`` asked for; `nil` where they cannot be read.
    public func snapshotRead(_ read: SnapshotRead, chunk: SnapshotChunk?, now: Instant) {
        guard let position = position(of: read.peer), let number = peers[position].snapshotQuestion else {
            return
        }
        peers[position].snapshotQuestion = nil
        if let chunk {
            send(.snapshotChunk(number: number, chunk), to: read.peer)
        } else {
            send(.snapshotUnavailable(number: number), to: read.peer)
        }
    }

    // MARK: Adopting others

    /// The node is silent: its messages do not count, so whoever makes the entry committed is another. What it
    /// had acknowledged before is older than the entry.
    func beginAdoption(_ number: UInt64, _ asked: GroupID, at position: Int, now: Instant) {
        let peer = peers[position]
        guard asked == group, let source, mode == .active, let introduction = peer.introduction else {
            return send(.adoptionRefused(number: number, leader: nil), to: peer.node)
        }
        // A request of another start says nothing of this one: the node may have taken part in between.
        let isOfThisStart = number >> 32 == introduction.incarnation & 0xffff_ffff
        guard introduction.stage == .underRepair, isOfThisStart, peer.standing == .apart, peer.storing == nil,
            source.repairLeadership.role == .leader
        else {
            return send(
                .adoptionRefused(number: number, leader: source.repairLeadership.leader), to: peer.node)
        }
        if let barrier = peer.barrier, barrier.position.term == source.repairLeadership.term {
            // The entry that was appended for this start of the node stands after its request too.
            peers[position].barrier = (number, barrier.position)
        } else if let appended = source.appendBarrier(now: now) {
            peers[position].barrier = (number, appended)
        } else {
            send(.adoptionRefused(number: number, leader: nil), to: peer.node)
        }
    }

    /// To be called after each turn of the group: answers nodes whose entry is committed.
    public func turnEnded(now: Instant) {
        guard let source, mode == .active else { return }
        for position in peers.indices {
            guard let barrier = peers[position].barrier else { continue }
            let leadership = source.repairLeadership
            if leadership.role != .leader || leadership.term != barrier.position.term {
                peers[position].barrier = nil
                send(
                    .adoptionRefused(number: barrier.number, leader: leadership.leader),
                    to: peers[position].node)
            } else if source.repairCommitIndex >= barrier.position.index {
                peers[position].barrier = nil
                send(.adoption(number: barrier.number, barrier.position), to: peers[position].node)
            }
        }
    }
}
