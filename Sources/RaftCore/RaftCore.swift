import ConsensusTypes

/// What a member had on stable storage when it started.
public struct RestoredState: Hashable, Sendable {
    public var hardState: HardState
    /// Index and term zero and the initial membership where there is no snapshot.
    public var snapshot: SnapshotMetadata
    /// The entries after the snapshot.
    public var entries: [Entry]

    public init(hardState: HardState, snapshot: SnapshotMetadata, entries: [Entry]) {
        self.hardState = hardState
        self.snapshot = snapshot
        self.entries = entries
    }
}

/// One member of a group under the crash-fault model: Raft (Ongaro and Ousterhout 2014) with pre-vote,
/// leader stickiness and check-quorum (dissertation, sections 4.2.3, 6.2 and 9.6).
///
/// A pure value: it is told what happened and at what time, and says in ``Effects`` what to do. Any number
/// of calls may come before one ``takeEffects(now:)``, which then answers all of them with one persist and
/// at most one message to each follower, as far as sizes allow.
public struct RaftCore: Sendable {
    public let nodeID: NodeID
    public let settings: RaftSettings
    /// Unique to this start of the process: names its batches of reads.
    let session: UInt64
    var random: SeededRandom

    public internal(set) var role = Role.follower
    public internal(set) var term: Term
    public internal(set) var votedFor: NodeID?
    /// The leader of ``term``, where it is known.
    public internal(set) var leader: NodeID?
    public internal(set) var commitIndex: LogIndex
    /// How much room the node has for its log. See ``DiskSpace``.
    public var diskSpace = DiskSpace.ample
    /// Whether the node's disk does not finish its writes. Such a node neither campaigns nor takes over the
    /// leadership. One that leads should also step aside, see ``stepAside(now:)``.
    public var isDiskStalled = false
    /// Whether the node leaves the leadership to others for now: it neither campaigns nor takes over. It votes
    /// and replicates as ever. See ``transferLeadership(to:now:)`` for one that leads.
    public var isAbstaining = false

    var log: RaftLog
    /// Whether entries or the snapshot of the log came without data. Only a witness's may.
    public internal(set) var lacksData: Bool
    /// Peers whose link is known to be broken, or whose process to have ended.
    var disconnectedPeers: [NodeID] = []
    /// The memberships in the log, each with the index from which it is in force. The first stands for the
    /// snapshot.
    var memberships: [(index: LogIndex, membership: Membership)] {
        didSet { noteUnsettled() }
    }
    /// Whether a leader has to end the membership in force or to leave it: looked up at each turn, and rarely so.
    var isUnsettled = false
    /// The newest snapshot that this node holds.
    var snapshot: SnapshotMetadata
    /// Committed entries up to here were handed out.
    var handedOutIndex: LogIndex
    /// Whether the membership in force changed in this turn.
    var isMembershipNew = false

    // Elections.
    var electionDeadline = Instant.zero
    /// When the leader was last heard; `nil` where it is known to be gone.
    var leaderHeardAt: Instant?
    var votes: [(node: NodeID, granted: Bool)] = []
    /// Pre-votes since a leader was last heard, or known to be dead. The first few that fail are soon repeated.
    var hurriedCampaigns = 0
    /// Until then, whom this node heard before it started may still hold a lease.
    var startLoyaltyDeadline = Instant.zero

    /// How many times the configured election timeout the one in force is. See ``electionTimeout``.
    public internal(set) var timeoutFactor: UInt8 = 1

    // Leading.
    var electedAt = Instant.zero
    var progress: [Progress] = []
    var heartbeatDue = Instant.distantFuture
    var isHeartbeatDue = false
    var firstIndexOfTerm = LogIndex.zero
    var uncommittedSizeBytes = 0
    /// The highest sequence that was accepted from each session in this term. Looked up, never iterated.
    var acceptedSequences: [UInt64: UInt64] = [:]
    var leaderReads = LeaderReads()
    var transfer: LeadershipTransfer?
    /// Whether anybody was told to take over in this term: then there is no lease in it any more.
    var hasSentTimeoutNow = false
    /// What was sent until then gives no lease: see ``voidLeases(through:)``.
    var leasesVoidThrough = Instant.zero
    var priorityTransferDue = Instant.zero
    var isAnyoneLeaving = false
    /// Whether any member that entries are sent to is a witness, and how far the others and this node itself are.
    var hasWitnesses = false
    var witnessLimit = LogIndex.zero
    var ownPace = Pace()

    // Following.
    var followerReads = FollowerReads()
    var pendingAnswer: PendingAnswer?
    var incomingSnapshot: IncomingSnapshot?
    /// Without room for the log: when an append that cannot be taken is next answered.
    var roomlessAnswerDue = Instant.zero

    // Durability.
    var persistence: Persistence
    var heldMessages: [HeldMessage] = []

    var effects = Effects()
    /// Sent in this turn; what each waits for is found out at its end.
    var outgoing: [OutgoingMessage] = []
    var reportedLeadership: Leadership
    public internal(set) var malformedMessageCount = 0
    /// Which rare branches this core has taken. Nothing depends on it.
    public internal(set) var rarePaths = RarePathSet()

    public init(
        nodeID: NodeID, settings: RaftSettings, restored: RestoredState, session: UInt64, now: Instant,
        seed: UInt64
    ) {
        if let problem = settings.problem {
            preconditionFailure("settings that cannot work reached the core: \(problem)")
        }
        self.nodeID = nodeID
        self.settings = settings
        self.session = session
        random = SeededRandom(seed: seed)
        term = restored.hardState.term
        votedFor = restored.hardState.votedFor
        snapshot = restored.snapshot
        lacksData = restored.snapshot.isWithheld || restored.entries.contains { $0.kind == .withheld }
        let base = LogPosition(term: restored.snapshot.term, index: restored.snapshot.index)
        log = RaftLog(base: base, entries: restored.entries)
        precondition(log.lastPosition.term <= term, "the log has entries of a term beyond the hard state's")
        memberships = [(restored.snapshot.index, restored.snapshot.membership)]
        commitIndex = max(restored.snapshot.index, min(restored.hardState.commitIndex, log.lastIndex))
        handedOutIndex = restored.snapshot.index
        persistence = Persistence(hardState: restored.hardState, lastIndex: log.lastIndex)
        reportedLeadership = Leadership(role: .follower, term: term, leader: nil)
        for entry in restored.entries where entry.kind == .membership {
            noteMembership(entry, now: now)
        }
        isMembershipNew = false
        noteUnsettled()
        promiseLoyaltyAfterStart(now: now)
        resetElectionDeadline(now: now)
        if isAlone, now >= startLoyaltyDeadline {
            // Nobody else could lead: there is nothing to wait for.
            electionDeadline = now
        }
    }

    // MARK: What is known

    /// The membership in force: the last one in the log, committed or not (Raft paper, section 6).
    public var membership: Membership { memberships[memberships.count - 1].membership }

    /// The membership in force at an index that is not older than the newest compaction.
    public func membership(at index: LogIndex) -> Membership {
        var result = memberships[0].membership
        for change in memberships where change.index <= index {
            result = change.membership
        }
        return result
    }

    public var firstIndex: LogIndex { log.firstIndex }
    public var lastIndex: LogIndex { log.lastIndex }
    public var lastPosition: LogPosition { log.lastPosition }
    public func term(at index: LogIndex) -> Term? { log.term(at: index) }
    public func entry(at index: LogIndex) -> Entry? { log.entry(at: index) }

    public var hardState: HardState {
        HardState(term: term, votedFor: votedFor, commitIndex: commitIndex)
    }

    public var leadership: Leadership { Leadership(role: role, term: term, leader: leader) }

    /// When ``advance(now:)`` next has something to do.
    public var nextDeadline: Instant {
        switch role {
        case .leader:
            // Where there is nobody to tell, an idle leader sleeps.
            progress.isEmpty
                ? .distantFuture : min(heartbeatDue, quorumDeadline, transfer?.deadline ?? .distantFuture)
        default:
            min(canCampaign ? electionDeadline : .distantFuture, followerReads.deadline)
        }
    }

    var heartbeatInterval: Interval { .milliseconds(settings.heartbeatIntervalMilliseconds) }

    // MARK: Events

    /// A deadline may have passed. Calling too early does nothing.
    public mutating func advance(now: Instant) {
        switch role {
        case .leader:
            if now >= quorumDeadline {
                rarePaths.insert(.leaderStepsDownWithoutQuorum)
                return becomeFollower(term: term, leader: nil, now: now)
            }
            if let transfer, now >= transfer.deadline { giveUpTransfer(now: now) }
            if now >= heartbeatDue {
                isHeartbeatDue = true
                heartbeatDue = now + heartbeatInterval
                if isTermSpent(now: now) { return renewTerm(now: now) }
                considerPriorities(now: now)
            }
        default:
            if canCampaign, now >= electionDeadline {
                startPreVote(now: now)
            }
            retryFollowerReads(now: now)
        }
    }

    /// A message arrived. It may be late, repeated, or from a node that does not belong here.
    public mutating func receive(_ message: RaftMessage, now: Instant) {
        guard message.to == nodeID, message.from != nodeID else { return }
        switch message.body {
        case .preVoteRequest(let position):
            return answerPreVote(message, position, now: now)
        case .voteRequest(let position):
            return answerVote(message, position, isTransfer: false, now: now)
        case .transferVoteRequest(let position):
            return answerVote(message, position, isTransfer: true, now: now)
        case .preVoteResponse(let granted):
            return countPreVote(message, granted: granted, now: now)
        case .propose(let proposals):
            return acceptForwarded(proposals, message, now: now)
        case .append, .snapshotChunk:
            guard message.term >= term else { return answerStaleLeader(message) }
            if case .append(let append) = message.body { followTimeoutFactor(append.timeoutFactor) }
            followLeader(message, now: now)
        default:
            noteHigherTerm(of: message, now: now)
            guard message.term == term else { return }
        }
        receiveOfCurrentTerm(message, now: now)
    }

    private mutating func receiveOfCurrentTerm(_ message: RaftMessage, now: Instant) {
        switch message.body {
        case .append(let append):
            handleAppend(append, from: message.from, now: now)
        case .appendResponse(let response):
            handleAppendResponse(response, from: message.from, now: now)
        case .voteResponse(let granted):
            countVote(from: message.from, granted: granted, now: now)
        case .snapshotChunk(let chunk):
            handleSnapshotChunk(chunk, from: message.from)
        case .snapshotResponse(let response):
            handleSnapshotResponse(response, from: message.from, now: now)
        case .proposeRejected(let ids, let reason):
            for id in ids {
                effects.rejectedProposals.append(RejectedProposal(id: id, reason: reason))
            }
        case .readIndexRequest(let batch):
            handleReadIndexRequest(batch, from: message.from)
        case .readIndexResponse(let batch, let index):
            handleReadIndexResponse(batch, index, now: now)
        case .timeoutNow:
            handleTimeoutNow(from: message.from, now: now)
        case .preVoteRequest, .preVoteResponse, .voteRequest, .transferVoteRequest, .propose:
            preconditionFailure("requests that do not depend on the term were answered before")
        }
    }

    /// A link to the peer was made.
    public mutating func peerConnected(_ peer: NodeID, now: Instant) {
        noteConnected(peer)
        resetProgress(of: peer)
    }

    /// The link to the peer broke: what was under way may be lost. No evidence of anything else.
    public mutating func peerDisconnected(_ peer: NodeID, now: Instant) {
        noteDisconnected(peer)
        resetProgress(of: peer)
    }

    /// The process that the peer was is known to have ended. Where it led, nobody need wait for it.
    public mutating func peerStopped(_ peer: NodeID, now: Instant) {
        noteDisconnected(peer)
        resetProgress(of: peer)
        guard role == .follower, leader == peer else { return }
        loseLeader()
        leaderHeardAt = nil
        // Whoever may have held a lease before this node started was that leader or an earlier one.
        startLoyaltyDeadline = .zero
        hurriedCampaigns = 0
        // A short random wait, so that two followers which notice together do not always collide.
        electionDeadline = now + campaignReluctance + .microseconds(Int(random.next(below: 10_000)))
    }

    // MARK: Effects

    /// What is to be done for all that was told since the last call.
    public mutating func takeEffects(now: Instant) -> Effects {
        if role == .leader {
            if isUnsettled { leaveJointMembership(now: now) }
            startReadRound(now: now)
            replicate(now: now)
            if isAnyoneLeaving { tendLeavingMembers(now: now) }
            if transfer != nil { continueTransfer(now: now) }
            if isUnsettled { handOverIfRemoved(now: now) }
        } else {
            askLeaderForReads(now: now)
            sendPendingAnswer()
        }
        effects.persist = makePersist()
        routeOutgoing()
        handOutCommitted()
        if leadership != reportedLeadership {
            reportedLeadership = leadership
            effects.leadership = leadership
        }
        if isMembershipNew {
            isMembershipNew = false
            effects.membership = membership
        }
        var result = Effects()
        swap(&result, &effects)
        return result
    }

    private mutating func handOutCommitted() {
        guard handedOutIndex < commitIndex else { return }
        effects.committed = Array(log.slice(from: handedOutIndex.next, through: commitIndex))
        handedOutIndex = commitIndex
    }

    // MARK: Shared by the parts

    mutating func send(_ body: RaftMessage.Body, to peer: NodeID, term messageTerm: Term? = nil) {
        send(body, to: peer, term: messageTerm, waitsForLog: false)
    }

    mutating func send(
        _ body: RaftMessage.Body, to peer: NodeID, term messageTerm: Term? = nil, waitsForLog: Bool
    ) {
        let message = RaftMessage(from: nodeID, to: peer, term: messageTerm ?? term, body: body)
        outgoing.append(OutgoingMessage(message: message, waitsForLog: waitsForLog))
    }

    /// A member whose link changed is probed again: what was under way to it may be lost.
    private mutating func resetProgress(of peer: NodeID) {
        guard role == .leader, let position = progressPosition(of: peer) else { return }
        if case .snapshot(var transfer) = progress[position].state {
            if case .sent = transfer.step {
                transfer.step = .pausing(until: .zero)
                progress[position].state = .snapshot(transfer)
            }
        } else {
            progress[position].becomeProbe()
        }
    }
}
