import ConsensusTypes

// Changes of the membership (Raft paper, section 6; dissertation, chapter 4). One voter more or less follows
// the old membership directly, more at a time go through a joint membership. In force is what was appended.
extension RaftCore {
    /// A learner that lacks no more entries than this may be promoted, and a voter may take over: few enough to
    /// be sent well within an election timeout.
    public static let readyLearnerLag = 1_000

    /// Whether this leader committed an entry of its own term. Before, it knows neither the commit index nor
    /// whether another membership than that in its log is in force (Ongaro 2015).
    var isReadyToLead: Bool { role == .leader && commitIndex >= firstIndexOfTerm }

    var isLastMembershipCommitted: Bool { memberships[memberships.count - 1].index <= commitIndex }

    /// Whether nobody else decides anything, nor did before a change that may not have reached everyone.
    var isAlone: Bool {
        memberships.allSatisfy { $0.membership.voters == [nodeID] && !$0.membership.isJoint }
    }

    /// Whether this node was a voter until an entry that it does not know to be committed. It may be the only one
    /// left that has the entry: then nobody with a shorter log can win, and it must lead until the entry is
    /// committed, without counting itself (dissertation, section 4.2.2; scenario 11).
    var isNeededUntilRemoved: Bool {
        guard !isLastMembershipCommitted else { return false }
        return membership(at: commitIndex).isVoter(nodeID)
            || memberships.contains { $0.index > commitIndex && $0.membership.isVoter(nodeID) }
    }

    mutating func noteUnsettled() {
        isUnsettled = membership.isJoint || !membership.isVoter(nodeID)
    }

    func isCaughtUp(_ member: Progress) -> Bool {
        member.state == .replicate && log.lastIndex - member.match <= RaftCore.readyLearnerLag
    }

    /// Takes over the membership of an entry that was appended.
    mutating func noteMembership(_ entry: Entry, now: Instant) {
        var reader = ByteReader(entry.payload)
        do throws(ByteDecodingError) {
            let decoded = try Membership.decode(from: &reader)
            memberships.append((entry.index, decoded))
        } catch {
            preconditionFailure("membership entry \(entry.index) cannot be decoded: \(error)")
        }
        isMembershipNew = true
        if role == .leader { updateProgressMembers(now: now) }
    }

    // MARK: Leader

    /// Appends the membership that follows from a change, or says why not.
    mutating func appendMembershipChange(_ proposal: Proposal, now: Instant) -> ProposalRejection? {
        let rejection = checkedAppend(proposal, now: now)
        if rejection != nil { rarePaths.insert(.membershipChangeRefused) }
        return rejection
    }

    private mutating func checkedAppend(_ proposal: Proposal, now: Instant) -> ProposalRejection? {
        guard isReadyToLead else { return .leaderNotReady }
        guard isLastMembershipCommitted, !membership.isJoint else { return .changeUnderWay }
        var reader = ByteReader(proposal.payload)
        guard let change = try? MembershipChange.decode(from: &reader), reader.isAtEnd else {
            return .invalidChange(.malformed)
        }
        let transition: MembershipTransition
        do throws(MembershipChangeProblem) {
            transition = try change.applied(to: membership)
        } catch {
            return .invalidChange(error)
        }
        for node in change.promotedNodes where !isReadyForPromotion(node, now: now) {
            return .learnerNotReady
        }
        append(transition.membership, proposal: proposal.id, now: now)
        return nil
    }

    private func isReadyForPromotion(_ node: NodeID, now: Instant) -> Bool {
        // A member that the same change adds has no progress, and is not ready.
        guard let position = progressPosition(of: node) else { return false }
        return hasAnsweredLately(progress[position], within: electionTimeout, now: now)
            && isCaughtUp(progress[position])
    }

    func hasAnsweredLately(_ member: Progress, within patience: Interval, now: Instant) -> Bool {
        member.hasAnswered && now < member.answeredSentAt + patience
    }

    private mutating func append(_ membership: Membership, proposal: ProposalID, now: Instant) {
        var writer = ByteWriter()
        membership.encode(into: &writer)
        append(.membership, proposal: proposal, payload: ByteSlice(writer.bytes), now: now)
    }

    /// Ends a joint membership once it is committed, whoever began it.
    mutating func leaveJointMembership(now: Instant) {
        guard membership.isJoint, isReadyToLead, isLastMembershipCommitted, transfer == nil,
            diskSpace != .none
        else { return }
        let isBegunEarlier = memberships[memberships.count - 1].index < firstIndexOfTerm
        rarePaths.insert(isBegunEarlier ? .jointMembershipLeftByNewLeader : .jointMembershipLeft)
        append(membership.left, proposal: .none, now: now)
    }

    /// One ``Progress`` for each other member, in the order of ids; what is known of those that stay is kept.
    /// Those that were removed stay until they know it.
    mutating func updateProgressMembers(now: Instant) {
        let known = progress
        let members = membership.members
        progress = members.filter { $0 != nodeID }.map { node in
            // What a node acknowledged before it was removed says nothing of one that comes back.
            known.first { $0.node == node && $0.leaving == nil }
                // A quorum may depend on the new member from now on: it gets an election timeout to answer.
                ?? Progress(
                    node: node, isWitness: membership.isWitness(node),
                    pace: Pace(isCut: disconnectedPeers.contains(node)),
                    next: log.lastIndex.next, answeredSentAt: now)
        }
        let index = memberships[memberships.count - 1].index
        for member in known where !members.contains(member.node) {
            var leaving = member
            leaving.leaving = member.leaving ?? Progress.Leaving(index: index)
            progress.append(leaving)
        }
        progress.sort { $0.node < $1.node }
        isAnyoneLeaving = progress.contains { $0.leaving != nil }
        hasWitnesses = progress.contains { $0.isWitness }
    }

    /// Drops members that know of their removal, or do not answer an election timeout after it.
    mutating func tendLeavingMembers(now: Instant) {
        var kept: [Progress] = []
        kept.reserveCapacity(progress.count)
        isAnyoneLeaving = false
        for var member in progress {
            if member.leaving != nil {
                guard isStillLeaving(&member, now: now) else { continue }
                isAnyoneLeaving = true
            }
            kept.append(member)
        }
        progress = kept
    }

    private mutating func isStillLeaving(_ member: inout Progress, now: Instant) -> Bool {
        guard var leaving = member.leaving, leaving.index <= commitIndex else { return true }
        let deadline = leaving.deadline ?? now + electionTimeout
        leaving.deadline = deadline
        if leaving.toldAt == nil, member.sentCommitIndex >= leaving.index { leaving.toldAt = now }
        member.leaving = leaving
        if let toldAt = leaving.toldAt, member.match >= leaving.index, member.answeredSentAt >= toldAt {
            rarePaths.insert(.leavingMemberTold)
            return false
        }
        guard now >= deadline else { return true }
        rarePaths.insert(.leavingMemberGivenUp)
        return false
    }

    /// To how many nodes that were removed a leader sends at the same time.
    private static let maximumLeaving = 8

    /// A node that asks for votes and is no member was removed and does not know it: under an earlier leader, or
    /// after this one had given it up. It is told like one that leaves now: for an election timeout, and anew when
    /// it asks again.
    mutating func remindRemoved(_ node: NodeID, now: Instant) {
        guard isReadyToLead, isLastMembershipCommitted, !membership.isMember(node),
            progressPosition(of: node) == nil,
            progress.count(where: { $0.leaving != nil }) < Self.maximumLeaving
        else { return }
        rarePaths.insert(.removedMemberReminded)
        // No witness asks for votes.
        var member = Progress(
            node: node, isWitness: false, pace: Pace(), next: log.lastIndex.next, answeredSentAt: now)
        member.leaving = Progress.Leaving(index: memberships[memberships.count - 1].index)
        progress.append(member)
        progress.sort { $0.node < $1.node }
        isAnyoneLeaving = true
    }

    /// A leader that is no voter any more has led until that was committed, and leaves the rest to the best of
    /// the voters (dissertation, section 4.2.2).
    mutating func handOverIfRemoved(now: Instant) {
        guard !membership.isVoter(nodeID), isLastMembershipCommitted, isReadyToLead else { return }
        rarePaths.insert(.removedLeaderHandedOver)
        if let successor = bestSuccessor(now: now) { sendTimeoutNow(to: successor) }
        becomeFollower(term: term, leader: nil, now: now)
    }
}
