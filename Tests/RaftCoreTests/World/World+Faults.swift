import ConsensusTypes
import RaftCore

// Clients and faults.
extension World {
    mutating func actAsClient() {
        guard areClientsActive else {
            for position in nodes.indices where isAwake(position) {
                proposeWaiting(position)
                settle(position)
            }
            return
        }
        let position = Int(random.next(below: UInt64(nodes.count)))
        guard isAwake(position) else { return }
        if settings.promisesLeases, random.chance(1, outOf: 2) { readUnderLease(position) }
        if random.chance(1, outOf: 3) {
            requestRead(position)
        } else {
            for _ in 0...random.next(below: 4) { addCommand(position) }
            proposeWaiting(position)
        }
        settle(position)
    }

    mutating func addCommand(_ position: Int) {
        guard nodes[position].pending.count < 64, !nodes[position].core.isWitness else { return }
        lastCommand += 1
        nodes[position].lastSequence += 1
        let id = ProposalID(session: nodes[position].session, sequence: nodes[position].lastSequence)
        nodes[position].pending.append(WorldNode.Pending(command: lastCommand, id: id, term: nil))
    }

    mutating func proposeWaiting(_ position: Int) {
        let waiting = nodes[position].pending.filter { $0.term == nil }.sorted {
            $0.id.sequence < $1.id.sequence
        }
        guard !waiting.isEmpty else { return }
        let proposals = waiting.map { pending in
            var writer = ByteWriter()
            writer.write(pending.command)
            return Proposal(
                id: pending.id, payload: ByteSlice(writer.bytes), needsSpace: pending.command % 2 == 0)
        }
        guard let term = nodes[position].core.propose(proposals, now: nodes[position].clock(now)) else {
            return
        }
        for slot in nodes[position].pending.indices where nodes[position].pending[slot].term == nil {
            nodes[position].pending[slot].term = term
        }
    }

    mutating func requestRead(_ position: Int) {
        guard !nodes[position].core.isWitness else { return }
        lastReadID += 1
        let id = ReadID(lastReadID)
        let floor = nodes.filter(\.isRunning).map(\.core.commitIndex).max() ?? .zero
        if nodes[position].core.requestRead(id, now: nodes[position].clock(now)) {
            nodes[position].reads.append(
                WorldNode.Read(id: id, floor: max(floor, checker.commitIndex)))
        }
    }

    mutating func injectFaults() {
        if random.chance(faults.partition, outOf: 1_000) { partition() }
        if random.chance(faults.heal, outOf: 1_000) { cutLinks = [] }
        if random.chance(faults.change, outOf: 1_000) { changeMembership() }
        if random.chance(faults.transfer, outOf: 1_000) { transferLeadership() }
        if random.chance(faults.leaderPause, outOf: 1_000) { pauseLeader() }
        for position in nodes.indices {
            if nodes[position].isRunning {
                if random.chance(faults.crash, outOf: 1_000) { crash(position) }
            } else if random.chance(faults.restart, outOf: 1_000) {
                restart(position)
            }
            guard isAwake(position) else { continue }
            if random.chance(faults.pause, outOf: 1_000) { pause(position) }
            if random.chance(faults.stall, outOf: 1_000) {
                nodes[position].core.isDiskStalled = random.chance(1, outOf: 2)
            }
            if random.chance(faults.snapshot, outOf: 1_000) { takeSnapshot(position) }
            if random.chance(faults.linkBreak, outOf: 1_000) { breakLink(position) }
            if random.chance(faults.diskFull, outOf: 1_000) {
                nodes[position].core.diskSpace = [.ample, .ample, .low, .none][Int(random.next(below: 4))]
            }
        }
    }

    private mutating func partition() {
        cutLinks = []
        let kind = random.next(below: 4)
        let leader = nodes.first { $0.core.role == .leader }?.id
        let lonely = leader ?? nodes[Int(random.next(below: UInt64(nodes.count)))].id
        for from in nodes {
            for to in nodes where from.id != to.id {
                let isCut =
                    switch kind {
                    // Two halves; the leader against the rest; the leader is heard but hears nobody; single
                    // directions.
                    case 0: (from.id.rawValue ^ to.id.rawValue) & 1 == 1
                    case 1: from.id == lonely || to.id == lonely
                    case 2: to.id == lonely
                    default: random.chance(1, outOf: 3)
                    }
                if isCut { cutLinks.insert([from.id, to.id]) }
            }
        }
    }

    mutating func crash(_ position: Int) {
        trace("crash \(nodes[position].id)")
        let surviving = Int(random.next(below: UInt64(nodes[position].writes.count + 1)))
        let survivors = nodes[position].writes.prefix(surviving)
        if let problem = nodes[position].crash(surviving: surviving) {
            checker.fail("disk of \(nodes[position].id): \(problem)")
        }
        if let last = survivors.last(where: { !$0.entries.isEmpty }) { noteDurable(last, position) }
        let isNoticed = random.chance(1, outOf: 2)
        for other in nodes.indices where isAwake(other) && isNoticed {
            nodes[other].core.peerStopped(nodes[position].id, now: nodes[other].clock(now))
            settle(other)
        }
    }

    mutating func restart(_ position: Int) {
        trace("restart \(nodes[position].id)")
        nodes[position].restart(now: now, settings: settings, seed: random.next())
        settle(position)
    }

    private mutating func breakLink(_ position: Int) {
        let other = Int(random.next(below: UInt64(nodes.count)))
        guard other != position else { return }
        let peer = nodes[other].id
        packets.removeAll { $0.message.from == nodes[position].id && $0.message.to == peer }
        nodes[position].core.peerDisconnected(peer, now: nodes[position].clock(now))
        nodes[position].core.peerConnected(peer, now: nodes[position].clock(now))
        settle(position)
    }

    private mutating func takeSnapshot(_ position: Int) {
        let node = nodes[position]
        guard node.appliedIndex > node.disk.snapshot.index,
            !node.writes.contains(where: { $0.snapshot != nil }), node.storing == nil,
            let term = node.core.term(at: node.appliedIndex)
        else { return }
        let metadata = SnapshotMetadata(
            index: node.appliedIndex, term: term, membership: node.core.membership(at: node.appliedIndex),
            isWithheld: node.core.isWitness)
        nodes[position].snapshotDigests.append((metadata.index, node.digest))
        enqueue(
            DiskWrite(
                sequence: nil, hardState: nil, snapshot: metadata, keepsSuffix: true, entries: [],
                messages: [], doneAt: now),
            position)
    }

    /// Ends all faults, and the clients' requests.
    mutating func heal() {
        faults = WorldFaults()
        cutLinks = []
        for position in nodes.indices {
            nodes[position].core.diskSpace = .ample
            nodes[position].core.isDiskStalled = false
            nodes[position].pausedUntil = .zero
            if !nodes[position].isRunning { restart(position) }
        }
    }
}
