import ConsensusTypes

@testable import RaftCore

// Changes of who belongs to the cluster and who leads it, and reads under leases.
extension World {
    private func awakeLeaders() -> [Int] {
        nodes.indices.filter { isAwake($0) && nodes[$0].core.role == .leader }
    }

    /// Asks a leader for some change. Many are refused: that is part of it.
    mutating func changeMembership() {
        guard let position = awakeLeaders().first else { return }
        let membership = nodes[position].core.membership
        var voterCount = membership.voters.count
        var steps: [MembershipChange.Step] = []
        for _ in 0...random.next(below: 3) {
            if let step = randomStep(membership, &voterCount) { steps.append(step) }
        }
        trace("change \(steps)")
        nodes[position].lastSequence += 1
        let proposal = Proposal(
            id: ProposalID(session: nodes[position].session, sequence: nodes[position].lastSequence),
            kind: .membershipChange, payload: MembershipChange(steps).encoded, needsSpace: false)
        _ = nodes[position].core.propose([proposal], now: nodes[position].clock(now))
        settle(position)
    }

    private mutating func randomStep(
        _ membership: Membership, _ voterCount: inout Int
    ) -> MembershipChange.Step? {
        let strangers = nodes.map(\.id).filter { !membership.isMember($0) }
        let priority: UInt8 = [0, 50, 100, 100, 100, 150][Int(random.next(below: 6))]
        switch random.next(below: 7) {
        case 0, 1:
            guard let node = random.pick(strangers) else { return nil }
            let description = MemberDescription(node: node, priority: priority)
            guard random.chance(1, outOf: 2) else { return .addLearner(description) }
            voterCount += 1
            return .addVoter(description)
        case 2:
            voterCount += 1
            return random.pick(membership.learners).map { .promote($0) }
        case 3, 4:
            guard voterCount > 3 else { return nil }
            voterCount -= 1
            let isKept = random.chance(1, outOf: 2)
            return random.pick(membership.voters).map { isKept ? .demote($0) : .remove($0) }
        case 5:
            return random.pick(membership.learners).map { .remove($0) }
        default:
            return random.pick(membership.members).map {
                .describe(MemberDescription(node: $0, priority: priority))
            }
        }
    }

    mutating func transferLeadership() {
        guard let position = awakeLeaders().first else { return }
        let local = nodes[position].clock(now)
        switch random.next(below: 4) {
        case 0:
            trace("step aside \(nodes[position].id)")
            _ = nodes[position].core.stepAside(now: local)
        case 1:
            trace("transfer from \(nodes[position].id) to the best")
            _ = nodes[position].core.transferLeadership(to: nil, now: local)
        default:
            let target = nodes[Int(random.next(below: UInt64(nodes.count)))].id
            trace("transfer from \(nodes[position].id) to \(target)")
            _ = nodes[position].core.transferLeadership(to: target, now: local)
        }
        settle(position)
    }

    /// Like SIGSTOP: nothing is told to the node, and its clock goes on.
    mutating func pause(_ position: Int) {
        let length = Interval.milliseconds(10 + Int(random.next(below: 300)))
        trace("pause \(nodes[position].id) for \(length)")
        nodes[position].pausedUntil = now + length
    }

    mutating func pauseLeader() {
        if let position = awakeLeaders().first { pause(position) }
    }

    /// A read under a lease sees every write that was acknowledged before: everything that anybody committed.
    mutating func readUnderLease(_ position: Int) {
        guard let index = nodes[position].core.requestLeaseRead(now: nodes[position].clock(now)) else {
            return
        }
        leaseReadCount += 1
        if index < checker.commitIndex {
            checker.fail(
                "stale read under the lease of \(nodes[position].id): \(index), \(checker.commitIndex) was committed"
            )
        }
    }

    /// Whether a node holds a lease at this moment of true time, by its own clock.
    private func holdsLease(_ node: WorldNode) -> Bool {
        guard node.isRunning, let deadline = node.core.leaseDeadline else { return false }
        return node.clock(now) < deadline
    }

    /// While a lease lasts, nobody else is elected.
    mutating func checkLeases(_ position: Int) {
        let node = nodes[position]
        guard settings.promisesLeases, node.core.role == .leader else { return }
        let holds = holdsLease(node)
        if holds { leaseCount += 1 }
        for other in nodes where other.id != node.id && other.isRunning && other.core.role == .leader {
            if other.core.term < node.core.term, holdsLease(other) {
                checker.fail(
                    "\(node.id) leads \(node.core.term) while \(other.id) holds the lease of \(other.core.term)"
                )
            }
            if holds, node.core.term < other.core.term {
                checker.fail(
                    "\(node.id) gets a lease of \(node.core.term) while \(other.id) leads \(other.core.term)")
            }
        }
    }
}

extension SeededRandom {
    mutating func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[Int(next(below: UInt64(elements.count)))]
    }
}
