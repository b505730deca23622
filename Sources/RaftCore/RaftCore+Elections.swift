import ConsensusTypes

// Elections (Raft paper, section 5.2) with pre-vote (dissertation, section 9.6), leader stickiness (section
// 4.2.3) and a leader that steps down without a quorum (section 6.2).
extension RaftCore {
    /// Voters campaign. Learners, witnesses and strangers do not, nor nodes whose disk has no room or stands
    /// still.
    var canCampaign: Bool {
        !isWitness && diskSpace != .none && !isDiskStalled && !isAbstaining
            && (membership.isVoter(nodeID) || isNeededUntilRemoved)
    }

    /// How much longer than others this node waits before it campaigns. With the priority 0 it is not to lead;
    /// but where only such nodes have all that is committed, nobody else can win, and the group would stand
    /// still for ever. Such a leader hands over as soon as another has caught up.
    var campaignReluctance: Interval {
        membership.priority(of: nodeID) == 0 ? electionTimeout * 8 : .zero
    }

    /// When the leader must have given up unless a quorum answers something that it sends from now on.
    ///
    /// An answer counts from when its question was sent. Whoever answered has stayed loyal for at least an
    /// election timeout from when it received the question, which is later: so the leader steps down before
    /// any quorum can have elected another. That holds from the first such quorum on, while clocks run
    /// equally fast and no member forgets in a restart whom it heard. No read depends on it.
    ///
    /// Where the timeout was raised (``timeoutFactor``), voters that were not told do not wait as long, and the leader
    /// may give up after another was elected. Only availability depends on it: leases have a length of their own.
    var quorumDeadline: Instant {
        let heard = membership.quorumValue { node -> Instant in
            if node == nodeID { return .distantFuture }
            return progressPosition(of: node).map { progress[$0].answeredSentAt } ?? .zero
        }
        return (heard ?? .distantFuture) + quorumPatience
    }

    /// Whether this node has a leader that it heard from lately: then nobody else gets its vote.
    private func isLoyal(now: Instant) -> Bool {
        if role == .leader || now < startLoyaltyDeadline { return true }
        guard leader != nil, let leaderHeardAt else { return false }
        return now < leaderHeardAt + electionTimeout
    }

    /// A quarter of the election timeout is spread enough: who notices a death together gives way, see
    /// ``giveWay(to:at:)``, and a longer spread would only make the outage longer.
    mutating func resetElectionDeadline(now: Instant) {
        let spread = random.next(below: electionTimeout.nanoseconds / 4)
        electionDeadline = max(
            now + electionTimeout + campaignReluctance + Interval(nanoseconds: spread), startLoyaltyDeadline)
    }

    mutating func becomeFollower(term newTerm: Term, leader newLeader: NodeID?, now: Instant) {
        precondition(newTerm >= term, "a term never goes back")
        let isTermNew = newTerm > term
        let hasLed = role == .leader
        if hasLed { stopLeading() }
        if isTermNew {
            term = newTerm
            votedFor = nil
        }
        // A candidate that gives up keeps its deadline: after a leader's death the next try is to come soon.
        if hasLed || newLeader != nil {
            resetElectionDeadline(now: now)
        }
        role = .follower
        votes = []
        // A leader that comes back in a later term may have lost entries in between: nothing that was
        // gathered for the earlier one may be said in the new one.
        if leader != newLeader || isTermNew {
            loseLeader()
            leader = newLeader
        }
        if newLeader == nil {
            leaderHeardAt = nil
        } else {
            hurriedCampaigns = 0
        }
    }

    /// Takes over the term of a member that is ahead. A follower that hears its leader does not: the term
    /// reaches that leader, which has an election timeout to give up before this node votes for another.
    mutating func noteHigherTerm(of message: RaftMessage, now: Instant) {
        guard message.term > term, membership.isMember(message.from) else { return }
        guard role != .follower || !isLoyal(now: now) else {
            return rarePaths.insert(.loyalFollowerIgnoresHigherTerm)
        }
        becomeFollower(term: message.term, leader: nil, now: now)
    }

    /// What was asked of the leader will not be answered by it.
    mutating func loseLeader() {
        leader = nil
        pendingAnswer = nil
        incomingSnapshot = nil
        failFollowerReads()
    }

    /// A message of a leader, of this term or a later one.
    mutating func followLeader(_ message: RaftMessage, now: Instant) {
        if message.term > term || role != .follower || leader != message.from {
            precondition(
                role != .leader || message.term > term,
                "\(message.from) and \(nodeID) both lead term \(term): this node's durable state was rolled back"
            )
            becomeFollower(term: message.term, leader: message.from, now: now)
        }
        leaderHeardAt = now
        resetElectionDeadline(now: now)
    }

    // MARK: Asking for votes

    /// Asks whether an election would succeed, so that a node which was cut off disturbs nobody.
    mutating func startPreVote(now: Instant) {
        loseLeader()
        leaderHeardAt = nil
        role = .preCandidate
        votes = [(nodeID, true)]
        electionDeadline = now + campaignPatience(isElection: false)
        if (1..<Self.mostHurriedCampaigns).contains(hurriedCampaigns) { rarePaths.insert(.hurriedCampaign) }
        hurriedCampaigns += 1
        if membership.voteOutcome({ self.vote(of: $0) }) == .won {
            return startElection(now: now)
        }
        for node in membership.members where node != nodeID && membership.isVoter(node) {
            send(.preVoteRequest(log.lastPosition), to: node, term: term.next)
        }
    }

    /// An election that the leader asked for goes by `isTransfer`: voters need not protect that leader.
    mutating func startElection(isTransfer: Bool = false, now: Instant) {
        role = .candidate
        term = term.next
        votedFor = nodeID
        votes = [(nodeID, true)]
        electionDeadline = now + campaignPatience(isElection: true)
        if membership.voteOutcome({ self.vote(of: $0) }) == .won {
            return becomeLeader(now: now)
        }
        for node in membership.members where node != nodeID && membership.isVoter(node) {
            let position = log.lastPosition
            send(isTransfer ? .transferVoteRequest(position) : .voteRequest(position), to: node)
        }
    }

    /// After so many tries a node that is cut off asks no more often than others.
    private static let mostHurriedCampaigns = 8

    /// How long to wait for votes. Without a leader the next try comes soon, and later with each one that fails,
    /// up to the usual time.
    private mutating func campaignPatience(isElection: Bool) -> Interval {
        let usual = electionTimeout.nanoseconds + random.next(below: electionTimeout.nanoseconds)
        // The pre-vote before an election has counted it already.
        let failed = isElection ? max(0, hurriedCampaigns - 1) : hurriedCampaigns
        guard failed < Self.mostHurriedCampaigns else { return Interval(nanoseconds: usual) }
        // An election waits for disks, a pre-vote only for the network.
        let shortest: UInt64 = (isElection ? 100_000_000 : 10_000_000) << UInt64(failed)
        return Interval(nanoseconds: min(usual, shortest + random.next(below: 2 * shortest)))
    }

    func vote(of node: NodeID) -> Bool? {
        votes.first { $0.node == node }?.granted
    }

    private mutating func note(_ granted: Bool, from node: NodeID) {
        if let position = votes.firstIndex(where: { $0.node == node }) {
            // A late refusal of an earlier request must not hide what the node grants now.
            if granted { votes[position].granted = true }
        } else {
            votes.append((node, granted))
        }
    }

    mutating func countPreVote(_ message: RaftMessage, granted: Bool, now: Instant) {
        guard membership.isMember(message.from) else { return }
        if granted {
            guard role == .preCandidate, message.term == term.next else { return }
        } else {
            // The refusal tells of a term that this node has missed.
            if message.term > term { rarePaths.insert(.termLearnedFromPreVoteRefusal) }
            noteHigherTerm(of: message, now: now)
            guard role == .preCandidate, message.term == term else { return }
        }
        note(granted, from: message.from)
        if membership.voteOutcome({ self.vote(of: $0) }) == .won {
            startElection(now: now)
        }
    }

    mutating func countVote(from node: NodeID, granted: Bool, now: Instant) {
        guard role == .candidate, membership.isVoter(node) else { return }
        note(granted, from: node)
        switch membership.voteOutcome({ self.vote(of: $0) }) {
        case .won: becomeLeader(now: now)
        case .lost:
            rarePaths.insert(.electionLost)
            becomeFollower(term: term, leader: nil, now: now)
        case .pending: break
        }
    }

    // MARK: Voting

    /// A pre-vote binds nobody: neither term nor vote nor loyalty change here.
    mutating func answerPreVote(_ message: RaftMessage, _ position: LogPosition, now: Instant) {
        let isGranted = message.term > term && !isLoyal(now: now) && position >= log.lastPosition
        // A refusal carries this node's own term, so that a node that fell behind learns of it; a granting
        // answer carries the term that was asked about.
        send(.preVoteResponse(granted: isGranted), to: message.from, term: isGranted ? message.term : term)
        if isGranted, message.term == term.next { giveWay(to: message.from, at: position) }
        if role == .leader { remindRemoved(message.from, now: now) }
    }

    /// Two that notice a leader's death together, and grant each other their pre-votes, would split the votes of
    /// the next term. So of two pre-candidates the one with the lesser claim leaves this try to the other. Its
    /// own next try stays where it is, soon, should the other not succeed. Who has the longer log goes first,
    /// unless its priority is lower; then the higher priority; then the lower node: no two give way to
    /// each other, nor any number in a circle.
    private mutating func giveWay(to node: NodeID, at position: LogPosition) {
        guard role == .preCandidate, membership.isVoter(node) else { return }
        let priority = membership.priority(of: node)
        let own = membership.priority(of: nodeID)
        guard priority >= own, position > log.lastPosition || priority > own || node < nodeID else { return }
        rarePaths.insert(.preCandidateGivesWay)
        role = .follower
        votes = []
    }

    mutating func answerVote(
        _ message: RaftMessage, _ position: LogPosition, isTransfer: Bool, now: Instant
    ) {
        if message.term > term {
            // Not even the term is taken over: a leader that is heard is not to be disturbed.
            if isLoyal(now: now) {
                guard isTransfer else { return rarePaths.insert(.loyalFollowerRefusesVote) }
                rarePaths.insert(.transferVoteDespiteLoyalty)
            }
            becomeFollower(term: message.term, leader: nil, now: now)
        }
        let isFree = votedFor == nil || votedFor == message.from
        let isGranted =
            message.term == term && leader == nil && isFree && position >= log.lastPosition
        if isGranted {
            role = .follower
            votedFor = message.from
            resetElectionDeadline(now: now)
        } else if message.term == term {
            rarePaths.insert(isFree ? .voteRefusedToShorterLog : .voteRefusedAfterVotingForAnother)
        }
        send(.voteResponse(granted: isGranted), to: message.from)
    }

    // MARK: Winning and losing the leadership

    private mutating func becomeLeader(now: Instant) {
        role = .leader
        leader = nodeID
        leaderHeardAt = nil
        hurriedCampaigns = 0
        votes = []
        // A quorum voted just now; on slow disks, voting alone may have taken an election timeout.
        electedAt = now
        progress = []
        ownPace = Pace()
        isAnyoneLeaving = false
        updateProgressMembers(now: now)
        acceptedSequences = [:]
        leaderReads = LeaderReads()
        uncommittedSizeBytes = 0
        heartbeatDue = now + heartbeatInterval
        firstIndexOfTerm = log.lastIndex.next
        hasSentTimeoutNow = false
        priorityTransferDue = now + electionTimeout * 2
        append(.noOperation, proposal: .none, payload: ByteSlice(), now: now)
    }

    /// Called while ``term`` is still the one that was led.
    mutating func stopLeading() {
        endTransfer(.steppedDown)
        progress = []
        isAnyoneLeaving = false
        heartbeatDue = .distantFuture
        isHeartbeatDue = false
        acceptedSequences = [:]
        failLeaderReads()
    }
}
