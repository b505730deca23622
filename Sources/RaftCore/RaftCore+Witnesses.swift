import ConsensusTypes

/// Whether a member keeps up with the leader's log, as far as it matters for when a witness gets what.
struct Pace: Hashable, Sendable {
    private struct Goal: Hashable, Sendable {
        let index: LogIndex
        let setAt: Instant
    }

    /// Whether its link is known to be broken.
    var isCut: Bool
    private var isKeepingUp = true
    /// What there was when it last lacked something, and when that was.
    private var goal: Goal?

    init(isCut: Bool = false) {
        self.isCut = isCut
    }

    /// Whether it has all that there is, or lately got what it lacked soon enough.
    var isKept: Bool { !isCut && isKeepingUp }

    /// It needs a snapshot first.
    mutating func lose() {
        isKeepingUp = false
        goal = nil
    }

    mutating func note(match: LogIndex, lastIndex: LogIndex, patience: Interval, now: Instant) {
        if let reached = goal, match >= reached.index {
            isKeepingUp = now < reached.setAt + patience
            goal = nil
        }
        if match >= lastIndex {
            isKeepingUp = true
        } else if let goal {
            if now >= goal.setAt + patience { isKeepingUp = false }
        } else {
            goal = Goal(index: lastIndex, setAt: now)
        }
    }
}

// Witnesses: voters that keep the log's terms and memberships, and no data. They never lead, so whoever leads has
// the data of every entry in its log, and elections are as safe as without them (docs/decisions/0007).
//
// A witness that has entries which the living voters with data lack would stand in their way when the leader is
// lost: they could not win its vote, and it cannot lead. So it gets an entry only after enough voters with data
// have it durably: as many as make a quorum, or, where fewer keep up, all of those.
extension RaftCore {
    /// Whether this member keeps no data: it never leads, and its shell applies nothing.
    public var isWitness: Bool { lacksData || membership.isWitness(nodeID) }

    /// Whether this member is counted on for data, and was a witness before: its log cannot give it. It
    /// acknowledges nothing and never leads. It must start again with an empty data directory.
    public var isMisplaced: Bool {
        lacksData && membership.isMember(nodeID) && !membership.isWitness(nodeID)
    }

    /// Whether it may take entries and snapshots without data: not where it is known to be a member with data.
    var takesWithheld: Bool { membership.isWitness(nodeID) || !membership.isMember(nodeID) }

    /// How long a voter with data may take to get what there is, before a witness gets it without it.
    private var witnessPatience: Interval { heartbeatInterval * 3 }

    /// Finds out how much of the log witnesses may be sent now.
    mutating func noteWitnessLimit(now: Instant) {
        let last = log.lastIndex
        ownPace.note(match: persistence.durableIndex, lastIndex: last, patience: witnessPatience, now: now)
        for position in progress.indices where !progress[position].isWitness {
            if case .snapshot = progress[position].state {
                progress[position].pace.lose()
            } else {
                progress[position].pace.note(
                    match: progress[position].match, lastIndex: last, patience: witnessPatience, now: now)
            }
        }
        var limit = dataLimit(membership.voters)
        if membership.isJoint { limit = min(limit, dataLimit(membership.outgoingVoters)) }
        // What is committed nobody can do without.
        witnessLimit = max(limit, commitIndex)
    }

    /// What those of the voters with data that keep up have durably: so many of them as make a quorum, or all.
    /// Nothing where none does: then nothing can be committed either.
    private mutating func dataLimit(_ voters: [NodeID]) -> LogIndex {
        var held: [LogIndex] = []
        for node in voters where !membership.isWitness(node) {
            if node == nodeID {
                if ownPace.isKept { held.append(persistence.durableIndex) }
            } else if let position = progressPosition(of: node), progress[position].pace.isKept {
                held.append(progress[position].match)
            }
        }
        guard !held.isEmpty else { return .zero }
        held.sort(by: >)
        let needed = Membership.majority(of: voters.count)
        if held.count < needed { rarePaths.insert(.witnessWithTooFewData) }
        return held[min(needed, held.count) - 1]
    }

    /// Whoever is cut off need not be waited for, now or when this node leads next.
    mutating func noteDisconnected(_ peer: NodeID) {
        let membership = membership
        disconnectedPeers.removeAll { $0 == peer || !membership.isMember($0) }
        if membership.isMember(peer) { disconnectedPeers.append(peer) }
        if role == .leader, let position = progressPosition(of: peer) { progress[position].pace.isCut = true }
    }

    mutating func noteConnected(_ peer: NodeID) {
        disconnectedPeers.removeAll { $0 == peer }
        if role == .leader, let position = progressPosition(of: peer) {
            progress[position].pace.isCut = false
        }
    }

    /// A witness that needs what this log no longer has: where the log starts, and who the members are, is all
    /// that it gets.
    mutating func sendWithheldSnapshot(to position: Int, now: Instant) {
        if case .snapshot(let current) = progress[position].state {
            switch current.step {
            case .reading: break
            case .pausing(let until): guard now >= until else { return }
            case .sent(let at, _): guard now >= at + electionTimeout else { return }
            }
        } else {
            progress[position].inFlight = []
            progress[position].probeUnderWay = nil
        }
        rarePaths.insert(.withheldSnapshotSent)
        let metadata = snapshot.asWithheld
        progress[position].state = .snapshot(
            SnapshotTransfer(metadata: metadata, step: .sent(at: now, isLast: true)))
        send(
            .snapshotChunk(
                SnapshotChunk(metadata: metadata, offset: 0, bytes: ByteSlice(), isLast: true, sentAt: now)),
            to: progress[position].node)
    }
}
