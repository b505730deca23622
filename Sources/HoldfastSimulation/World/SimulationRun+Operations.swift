import ConsensusTypes
import RaftCore
import ReplicaRuntime

// What operators do: change the members, move the leadership, restart nodes gracefully.
extension SimulationRun {
    /// As many voters as every run keeps: what disks lose on one node, the others still have.
    private static var minimumVoters: Int { 3 }
    private static var maximumVoters: Int { 5 }

    func operate(_ fault: Fault) {
        let membership = world.membership
        switch fault.kind {
        case .addMember: addMember(fault)
        case .removeMember:
            let hasSpare = membership.voters.count > Self.minimumVoters
            guard
                let node = pick(
                    fault,
                    { id in
                        membership.voters.contains(id) && hasSpare || membership.learners.contains(id)
                            || membership.evicted.contains(id)
                    })
            else { return }
            change([.remove(node)])
        case .promoteMember:
            guard membership.voters.count < Self.maximumVoters,
                let node = pick(fault, { membership.learners.contains($0) })
            else { return }
            change([.promote(node)])
        case .demoteMember:
            guard membership.voters.count > Self.minimumVoters,
                let node = pick(fault, { membership.voters.contains($0) })
            else { return }
            change([.demote(node)])
        case .changeMembers: changeSeveral(fault)
        case .setPriority:
            guard let node = pick(fault, { membership.isMember($0) }) else { return }
            let known = membership.description(of: node)
            let description = MemberDescription(
                node: node, priority: [0, 50, 100, 200][Int(fault.amount % 4)],
                isPromotedWhenReady: known?.isPromotedWhenReady ?? false,
                isWitness: known?.isWitness ?? false,
                information: known?.information ?? ByteSlice())
            change([.describe(description)])
        case .transfer: transfer(to: fault.amount % 2 == 0 ? nil : fault.nodes.numbers.first)
        case .gracefulRestart:
            guard let number = fault.nodes.numbers.first, number < nodes.count else { return }
            restartGracefully(number, downMicroseconds: fault.durationMicroseconds)
        default: break
        }
    }

    /// The first node that fits, from the one that the fault names on.
    private func pick(_ fault: Fault, _ fits: (NodeID) -> Bool) -> NodeID? {
        let first = fault.nodes.numbers.first ?? 0
        for offset in nodes.indices {
            let id = NodeNumber.id((first + offset) % nodes.count)
            if fits(id) { return id }
        }
        return nil
    }

    /// Does something at a node as soon as it runs: not while it is paused, and never if it dies before.
    private func perform(
        at number: Int, afterMicroseconds delay: UInt64 = 0, _ body: @escaping (Node) -> Void
    ) {
        guard let node = nodes[number] else { return }
        lastOperation += 1
        operations[lastOperation] = body
        world.add(
            .operate(number, session: node.session, operation: lastOperation), afterMicroseconds: delay)
    }

    /// Whether disks may lose what they hold.
    private var losesDisks: Bool {
        world.plan.rates.contains { rate in
            [.damage, .lostWrite, .misdirectedWrite, .wipe, .lyingSync].contains(rate.kind)
        }
    }

    // MARK: Members

    /// Asks some node for a change. Whether it is made, and when, the group decides.
    private func change(_ steps: [MembershipChange.Step]) {
        let able = nodes.indices.filter { isUp($0) && !isPaused($0) && places[$0] == .running }
        guard !able.isEmpty else { return }
        let number = able[Int(world.random.next(below: UInt64(able.count)))]
        let timeout = world.plan.world.requestTimeoutMilliseconds
        let change = MembershipChange(steps)
        guard mayChange(change, askedFrom: number) else { return }
        for case .addVoter(let description) in steps {
            let added = NodeNumber.number(description.node)
            isDirectVoter[added] = lacksPast[added]
        }
        if losesDisks { changing = (number, nodes[number]!.session) }
        perform(at: number) { [unowned self] node in
            guard node.replica != nil else { return }
            node.replica.changeMembership(
                change, timeoutMilliseconds: timeout, now: world.now(of: number)
            ) { [weak self] result in
                guard let self else { return }
                if changing?.session == node.session { changing = nil }
                switch result {
                case .success: timeline.add(world.now, .note("changed the members: \(steps)"))
                case .failure(let error):
                    timeline.add(world.now, .note("did not change the members: \(error): \(steps)"))
                }
            }
        }
    }

    /// Whether a quorum keeps its past whatever becomes of the change. What is refused, or is not known to have been
    /// made, may be made later.
    private func mayChange(_ change: MembershipChange, askedFrom number: Int) -> Bool {
        guard let next = try? change.applied(to: world.membership).membership,
            isRecoverable(next, without: nil)
        else { return false }
        // One voter without a past at a time, and none leaves meanwhile.
        if isDirectVoter.contains(true) {
            let isHarmless = change.steps.allSatisfy { step in
                switch step {
                case .addLearner, .promote, .describe: true
                case .addVoter, .demote, .remove, .evict: false
                }
            }
            guard isHarmless else { return false }
        }
        guard losesDisks else { return true }
        return changing == nil && nodes[number]!.replica.core.membership == world.membership
    }

    /// A node that is to be added has an empty disk and runs. `false`: it cannot be prepared now.
    private func prepare(_ id: NodeID) -> Bool {
        let number = NodeNumber.number(id)
        if places[number] == .removed, !retire(number) { return false }
        if places[number] == .absent { join(number) }
        return true
    }

    private func describe(_ node: NodeID, isPromotedWhenReady: Bool = false) -> MemberDescription {
        MemberDescription(
            node: node, isPromotedWhenReady: isPromotedWhenReady,
            isWitness: world.isWitness(NodeNumber.number(node)))
    }

    private func addMember(_ fault: Fault) {
        let membership = world.membership
        guard let node = pick(fault, { !membership.isMember($0) }), prepare(node) else { return }
        let isNew = !hadAnotherLife[NodeNumber.number(node)]
        if fault.amount & 1 != 0, membership.voters.count < Self.maximumVoters, isNew {
            change([.addVoter(describe(node))])
        } else {
            change([.addLearner(describe(node, isPromotedWhenReady: fault.amount & 2 != 0))])
        }
    }

    /// One member takes the place of another, and others change their rights.
    private func changeSeveral(_ fault: Fault) {
        let membership = world.membership
        var random = SeededRandom(seed: fault.amount)
        var steps: [MembershipChange.Step] = []
        var voterCount = membership.voters.count
        if random.chance(2, outOf: 3), let node = pick(fault, { !membership.isMember($0) }), prepare(node) {
            if hadAnotherLife[NodeNumber.number(node)] {
                steps.append(.addLearner(describe(node, isPromotedWhenReady: true)))
            } else {
                steps.append(.addVoter(describe(node)))
                voterCount += 1
            }
        }
        for node in membership.members where random.chance(1, outOf: 2) {
            if membership.learners.contains(node) {
                guard random.chance(1, outOf: 2) else { continue }
                steps.append(.promote(node))
                voterCount += 1
            } else if membership.voters.contains(node), voterCount > Self.minimumVoters {
                steps.append(random.chance(1, outOf: 2) ? .demote(node) : .remove(node))
                voterCount -= 1
            }
        }
        guard !steps.isEmpty, voterCount <= Self.maximumVoters else { return }
        change(steps)
    }

    // MARK: The leadership

    private func transfer(to number: Int?) {
        guard let leader = world.leader, nodes[leader] != nil else { return }
        let isQuiet = self.isQuiet
        perform(at: leader) { [unowned self] node in
            guard node.replica != nil else { return }
            let refusal = node.replica.transferLeadership(
                to: number.map(NodeNumber.id), now: world.now(of: leader))
            let outcome = refusal.map { "refused: \($0)" } ?? "begun"
            timeline.add(world.now, .note("transfer from \(leader): \(outcome)"))
            guard refusal == nil else { return }
            members.counts.transfers += 1
            world.observe(.transferBegun, leader)
            if isQuiet { members.noteTransfer(now: world.now) }
        }
    }

    /// Whether nothing is wrong at the moment that could delay an election.
    private var isQuiet: Bool {
        world.plan.constant.isEmpty && activeFaults.allSatisfy { $0 == nil }
            && nodes.indices.allSatisfy { number in
                guard mustServe(number) else { return true }
                return isUp(number) && !isPaused(number) && world.syncStalledUntil[number] <= world.now
            }
    }

    /// As production's `shutDown()`: the leadership is handed over first, for two election timeouts at most.
    private func restartGracefully(_ number: Int, downMicroseconds: UInt64) {
        guard places[number] != .absent else { return }
        perform(at: number) { [unowned self] node in
            guard node.replica != nil else { return end(number, downMicroseconds) }
            let now = world.now(of: number)
            guard node.replica.transferLeadership(to: nil, now: now) == nil else {
                return end(number, downMicroseconds)
            }
            let patience = 2 * world.plan.world.electionTimeoutMilliseconds
            awaitHandOver(number, until: now + .milliseconds(patience), downMicroseconds)
        }
    }

    private func awaitHandOver(_ number: Int, until deadline: Instant, _ downMicroseconds: UInt64) {
        perform(at: number, afterMicroseconds: 5_000) { [unowned self] node in
            let core = node.replica.core
            let isLed = core.leader != nil && core.leader != node.nodeID
            let isGivenUp = core.role == .leader && core.transferTarget == nil
            guard isLed || isGivenUp || world.now(of: number) >= deadline else {
                return awaitHandOver(number, until: deadline, downMicroseconds)
            }
            end(number, downMicroseconds)
        }
    }

    /// The process ends, once the step in which it was asked to is over.
    private func end(_ number: Int, _ downMicroseconds: UInt64) {
        restartTimes[number] = downUntil(downMicroseconds)
        endingNodes.insert(number)
    }
}
