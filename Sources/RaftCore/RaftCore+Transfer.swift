import ConsensusTypes

// Transfer of the leadership (dissertation, section 3.10).
extension RaftCore {
    /// To whom the leadership is being transferred.
    public var transferTarget: NodeID? { transfer?.target }

    /// Hands the leadership over to a voter, or to the best of them: the one with the highest priority among
    /// those that are close behind. Returns why not, or `nil` once it has begun.
    ///
    /// Until it ends this leader takes no proposals: ``propose(_:now:)`` returns `nil`, and what others forward
    /// waits. It ends with the next term, or is given up after an election timeout; ``Effects/transferEnded``
    /// tells. From when the target is told to take over, there is no lease in this term any more.
    public mutating func transferLeadership(to wanted: NodeID?, now: Instant) -> TransferRefusal? {
        guard role == .leader else { return .notLeader }
        guard transfer == nil else { return .underWay }
        guard let wanted else {
            let fit = membership.voters.filter { node in
                guard let position = progressPosition(of: node) else { return false }
                return isFitToLead(progress[position], now: now)
            }
            guard let best = fit.max(by: { isWorse($0, $1) }) else { return .noTarget }
            beginTransfer(to: best, isForPriority: false, now: now)
            return nil
        }
        guard wanted != nodeID else { return .alreadyLeader }
        guard membership.isMember(wanted) else { return .unknownTarget }
        guard membership.voters.contains(wanted) else { return .notVoter }
        guard !membership.isWitness(wanted) else { return .witness }
        guard membership.priority(of: wanted) > 0 else { return .neverLeads }
        beginTransfer(to: wanted, isForPriority: false, now: now)
        return nil
    }

    /// Makes room for another leader at once, for a node whose disk or event loop stands still: tells the best
    /// voter that has all that is committed to take over, and steps down without waiting for it. `false` where
    /// this node does not lead or nobody has answered lately that could take over; then nothing was done.
    public mutating func stepAside(now: Instant) -> Bool {
        guard role == .leader, let successor = bestSuccessor(now: now) else { return false }
        rarePaths.insert(.steppedAside)
        sendTimeoutNow(to: successor)
        becomeFollower(term: term, leader: nil, now: now)
        return true
    }

    private func isFitToLead(_ member: Progress, now: Instant) -> Bool {
        member.leaving == nil && !member.isWitness && membership.priority(of: member.node) > 0
            && isCaughtUp(member)
            && hasAnsweredLately(member, within: electionTimeout, now: now)
    }

    /// Whether the first is the worse of two leaders: by priority, by log, and by the order of ids.
    private func isWorse(_ left: NodeID, _ right: NodeID) -> Bool {
        let priorities = (membership.priority(of: left), membership.priority(of: right))
        if priorities.0 != priorities.1 { return priorities.0 < priorities.1 }
        let matches = [left, right].map { node in
            progressPosition(of: node).map { progress[$0].match } ?? .zero
        }
        return matches[0] != matches[1] ? matches[0] < matches[1] : left > right
    }

    /// Who would win an election now: the voter with the longest log of those that answered lately.
    func bestSuccessor(now: Instant) -> NodeID? {
        var best: Progress?
        for member in progress
        where membership.voters.contains(member.node) && !member.isWitness
            && membership.priority(of: member.node) > 0
            && member.match >= commitIndex && hasAnsweredLately(member, within: electionTimeout, now: now)
        {
            guard let other = best else {
                best = member
                continue
            }
            let isBetter =
                member.match != other.match
                ? member.match > other.match : isWorse(other.node, member.node)
            if isBetter { best = member }
        }
        return best?.node
    }

    private mutating func beginTransfer(to target: NodeID, isForPriority: Bool, now: Instant) {
        rarePaths.insert(.transferRequested)
        transfer = LeadershipTransfer(
            target: target, deadline: now + electionTimeout, isForPriority: isForPriority)
    }

    mutating func sendTimeoutNow(to node: NodeID) {
        hasSentTimeoutNow = true
        send(.timeoutNow, to: node)
    }

    /// Tells the target once it has the whole log durably.
    mutating func continueTransfer(now: Instant) {
        guard let current = transfer, !current.isTimeoutNowSent,
            let position = progressPosition(of: current.target), progress[position].match == log.lastIndex
        else { return }
        transfer?.isTimeoutNowSent = true
        sendTimeoutNow(to: current.target)
    }

    /// There was no new term in time (scenario 14): this leader goes on.
    mutating func giveUpTransfer(now: Instant) {
        guard let ended = transfer else { return }
        rarePaths.insert(.transferGivenUp)
        if ended.isForPriority { priorityTransferDue = now + electionTimeout * 10 }
        transfer = nil
        effects.transferEnded = .gaveUp
        var refused: [(node: NodeID, id: ProposalID, reason: ProposalRejection)] = []
        for held in ended.held {
            if let reason = appendOrRefuse(held.proposal, now: now) {
                refused.append((held.from, held.proposal.id, reason))
            }
        }
        for item in refused {
            send(.proposeRejected([item.id], item.reason), to: item.node)
        }
    }

    // MARK: After a failed transfer

    /// Whether this leader goes on after a transfer that failed, has no lease in this term for it, and would win the
    /// next one: a quorum has answered within half an election timeout.
    func isTermSpent(now: Instant) -> Bool {
        guard settings.promisesLeases, hasSentTimeoutNow, transfer == nil, isReadyToLead, canCampaign,
            isLastMembershipCommitted, !membership.isJoint, membership.isVoter(nodeID)
        else { return false }
        let patience = Interval(nanoseconds: electionTimeout.nanoseconds / 2)
        let heard = membership.quorumValue { node -> Int in
            if node == nodeID { return 1 }
            guard let position = progressPosition(of: node) else { return 0 }
            return hasAnsweredLately(progress[position], within: patience, now: now) ? 1 : 0
        }
        return heard ?? 1 > 0
    }

    /// Takes the next term, as if this node had been told to take over by itself.
    ///
    /// Whoever was told to take over in this term can use it for an election in the next one only, so either it or
    /// this node wins that. After it no vote of any voter is asked for despite its loyalty: what was said in this term
    /// counts no more, and leases are sound again.
    mutating func renewTerm(now: Instant) {
        rarePaths.insert(.termRenewedAfterTransfer)
        stopLeading()
        loseLeader()
        leaderHeardAt = nil
        hurriedCampaigns = 0
        startElection(isTransfer: true, now: now)
    }

    /// Ends a transfer with the leadership. What waited was never appended.
    mutating func endTransfer(_ outcome: TransferOutcome) {
        guard let ended = transfer else { return }
        transfer = nil
        effects.transferEnded = outcome
        for held in ended.held {
            send(.proposeRejected([held.proposal.id], .notLeader), to: held.from)
        }
    }

    /// Keeps a forwarded proposal until the transfer ends.
    mutating func hold(_ proposal: Proposal, from node: NodeID) -> ProposalRejection? {
        let sizeBytes = proposal.payload.count + 64
        guard let held = transfer?.heldSizeBytes,
            held + sizeBytes <= settings.maximumUncommittedSizeBytes
        else { return .overloaded }
        rarePaths.insert(.proposalHeldInTransfer)
        transfer?.held.append(LeadershipTransfer.Held(from: node, proposal: proposal))
        transfer?.heldSizeBytes = held + sizeBytes
        return nil
    }

    // MARK: Priorities

    /// Hands over to a voter with a higher priority that is there and close behind, once this node has led for a
    /// while: so a node that comes back gets the leadership without an outage.
    mutating func considerPriorities(now: Instant) {
        guard !membership.descriptions.isEmpty, transfer == nil, now >= priorityTransferDue, isReadyToLead,
            isLastMembershipCommitted, !membership.isJoint
        else { return }
        let own = membership.priority(of: nodeID)
        let better = membership.voters.filter { node in
            guard membership.priority(of: node) > own, let position = progressPosition(of: node) else {
                return false
            }
            return isFitToLead(progress[position], now: now)
                && hasAnsweredLately(progress[position], within: heartbeatInterval * 3, now: now)
        }
        guard let best = better.max(by: { isWorse($0, $1) }) else { return }
        rarePaths.insert(.priorityTransferStarted)
        beginTransfer(to: best, isForPriority: true, now: now)
    }

    // MARK: Target

    /// The leader wants this node to take over: an election at once, without asking before.
    mutating func handleTimeoutNow(from node: NodeID, now: Instant) {
        guard role == .follower, leader == node, canCampaign else { return }
        loseLeader()
        leaderHeardAt = nil
        // That leader may have stepped down: should this election fail, the next is to come soon.
        hurriedCampaigns = 0
        startElection(isTransfer: true, now: now)
    }
}
