import ConsensusTypes
import RaftCore

/// What a world does to its cluster, in chances out of a thousand.
struct WorldFaults {
    var loss: UInt64 = 0
    var duplication: UInt64 = 0
    var maximumDelayMilliseconds = 2
    var maximumDiskDelayMilliseconds = 2
    /// Chances at each tick of the fault clock.
    var partition: UInt64 = 0
    var heal: UInt64 = 0
    var crash: UInt64 = 0
    var restart: UInt64 = 0
    var linkBreak: UInt64 = 0
    var snapshot: UInt64 = 0
    var diskFull: UInt64 = 0
    var change: UInt64 = 0
    var transfer: UInt64 = 0
    var stall: UInt64 = 0
    var pause: UInt64 = 0
    var leaderPause: UInt64 = 0
}

/// A cluster of cores in one thread, with a network, disks and clients, all drawn from one seed.
struct World {
    struct Packet {
        let message: RaftMessage
        let deliverAt: Instant
    }

    static let settings: RaftSettings = {
        var settings = RaftSettings()
        settings.electionTimeoutMilliseconds = 100
        settings.heartbeatIntervalMilliseconds = 10
        settings.maximumAppendSizeBytes = 200
        settings.maximumInFlightAppends = 4
        settings.maximumUncommittedSizeBytes = 4_000
        settings.snapshotChunkSizeBytes = 16
        return settings
    }()

    let settings: RaftSettings
    var faults: WorldFaults
    var random: SeededRandom
    var nodes: [WorldNode]
    /// The next to arrive stands last.
    var packets: [Packet] = []
    var cutLinks: Set<[NodeID]> = []
    var now = Instant(nanoseconds: 1_000_000_000)
    var checker = WorldChecker()
    var nextClientAt = Instant.zero
    var nextFaultAt = Instant.zero
    var lastCommand: UInt64 = 0
    var lastReadID: UInt64 = 0
    var answeredReadCount = 0
    var restoreCount = 0
    var areClientsActive = true
    var traces = false
    var leaseCount = 0
    var leaseReadCount = 0
    /// Which rare branches any core has taken.
    var reached = RarePathSet()

    /// - Parameters:
    ///   - strangers: nodes that run from the start with empty disks and belong to nobody.
    ///   - maximumDriftPartsPerMillion: how wrong clocks go; each has a rate of its own within this.
    init(
        membership: Membership, strangers: [NodeID] = [], faults: WorldFaults, promisesLeases: Bool = false,
        maximumDriftPartsPerMillion: Int = 0, seed: UInt64
    ) {
        self.faults = faults
        var chosen = World.settings
        chosen.promisesLeases = promisesLeases
        chosen.adaptsToRoundTrips = seed % 3 == 0
        settings = chosen
        var generator = SeededRandom(seed: seed)
        nodes = membership.members.map { node in
            WorldNode(id: node, membership: membership, settings: chosen, seed: generator.next())
        }
        for node in strangers {
            nodes.append(
                WorldNode(
                    id: node, membership: Membership(voters: []), settings: chosen, seed: generator.next()))
        }
        if maximumDriftPartsPerMillion > 0 {
            for node in nodes {
                let spread = generator.next(below: UInt64(2 * maximumDriftPartsPerMillion + 1))
                node.drift = Int64(spread) - Int64(maximumDriftPartsPerMillion)
            }
        }
        random = generator
    }

    mutating func run(for interval: Interval) {
        let end = now + interval
        while checker.failure == nil, step(until: end) {}
    }

    /// Does what is due next; `false` when nothing is due before `end`.
    private mutating func step(until end: Instant) -> Bool {
        var at = min(nextFaultAt, nextClientAt)
        if let next = packets.last { at = min(at, next.deliverAt) }
        for node in nodes where node.isRunning {
            at = min(at, max(node.deadline, node.pausedUntil))
            if let write = node.writes.first { at = min(at, max(write.doneAt, node.pausedUntil)) }
            if let storing = node.storing { at = min(at, max(storing.doneAt, node.pausedUntil)) }
        }
        guard at < end else {
            now = end
            return false
        }
        now = max(now, at)
        if let next = packets.last, next.deliverAt <= now {
            packets.removeLast()
            deliver(next.message)
        } else if let position = nodes.indices.first(where: { isAwake($0) && isDiskDue($0) }) {
            finishWrites(position)
        } else if let position = nodes.indices.first(where: { isAwake($0) && isStoringDue($0) }) {
            finishStoring(position)
        } else if nextFaultAt <= now {
            injectFaults()
            nextFaultAt = now + .milliseconds(10)
        } else if nextClientAt <= now {
            actAsClient()
            nextClientAt = now + .milliseconds(1 + Int(random.next(below: 6)))
        } else if let position = nodes.indices.first(where: {
            isAwake($0) && nodes[$0].deadline <= now
        }) {
            nodes[position].core.advance(now: nodes[position].clock(now))
            settle(position)
            if nodes[position].deadline <= now, checker.failure == nil {
                checker.fail("node \(nodes[position].id): the deadline is not after what was done for it")
            }
        }
        return true
    }

    func isAwake(_ position: Int) -> Bool {
        nodes[position].isRunning && nodes[position].pausedUntil <= now
    }

    private func isDiskDue(_ position: Int) -> Bool {
        nodes[position].writes.first.map { $0.doneAt <= now } ?? false
    }

    private func isStoringDue(_ position: Int) -> Bool {
        nodes[position].storing.map { $0.doneAt <= now } ?? false
    }

    func trace(_ text: @autoclosure () -> String) {
        if traces { print(now, text()) }
    }

    func position(of node: NodeID) -> Int? { nodes.firstIndex { $0.id == node } }

    private mutating func deliver(_ message: RaftMessage) {
        guard let position = position(of: message.to), nodes[position].isRunning else { return }
        guard !cutLinks.contains([message.from, message.to]) else { return }
        guard isAwake(position) else {
            return insert(Packet(message: message, deliverAt: nodes[position].pausedUntil))
        }
        trace("deliver \(message)")
        nodes[position].core.receive(message, now: nodes[position].clock(now))
        // Often several messages arrive in one turn.
        if random.chance(2, outOf: 3) {
            settle(position)
        } else {
            nodes[position].deadline = min(nodes[position].deadline, now + .milliseconds(1))
        }
    }

    mutating func send(_ message: RaftMessage) {
        checkSending(message)
        guard !random.chance(faults.loss, outOf: 1_000) else { return }
        let copies = random.chance(faults.duplication, outOf: 1_000) ? 2 : 1
        for _ in 0..<copies {
            let delay = random.next(below: UInt64(faults.maximumDelayMilliseconds) * 1_000) + 1
            insert(Packet(message: message, deliverAt: now + .microseconds(Int(delay))))
        }
    }

    private mutating func insert(_ packet: Packet) {
        var low = 0
        var high = packets.count
        while low < high {
            let middle = (low + high) / 2
            if packets[middle].deliverAt > packet.deliverAt { low = middle + 1 } else { high = middle }
        }
        packets.insert(packet, at: low)
    }

    private mutating func finishWrites(_ position: Int) {
        var sequence: UInt64?
        var markers: [SnapshotMetadata] = []
        while let write = nodes[position].writes.first, write.doneAt <= now {
            nodes[position].writes.removeFirst()
            if let problem = nodes[position].apply(write) {
                return checker.fail("disk of \(nodes[position].id): \(problem)")
            }
            noteDurable(write, position)
            for message in write.messages { send(message) }
            sequence = write.sequence ?? sequence
            if write.sequence == nil, let snapshot = write.snapshot { markers.append(snapshot) }
        }
        if let sequence { nodes[position].core.persisted(sequence, now: nodes[position].clock(now)) }
        for snapshot in markers where snapshot.index > nodes[position].core.firstIndex.previous {
            let kept = random.next(below: 8)
            let through = LogIndex(snapshot.index.rawValue - min(snapshot.index.rawValue, kept))
            nodes[position].core.compactLog(through: through, snapshot: snapshot)
        }
        settle(position)
    }

    private mutating func finishStoring(_ position: Int) {
        guard let storing = nodes[position].storing else { return }
        nodes[position].storing = nil
        if let digest = storing.digest {
            nodes[position].stored = (storing.metadata, digest)
            nodes[position].snapshotDigests.append((storing.metadata.index, digest))
            nodes[position].core.snapshotReceived(storing.metadata, now: nodes[position].clock(now))
        } else {
            nodes[position].core.snapshotRefused(
                index: storing.metadata.index, now: nodes[position].clock(now))
        }
        settle(position)
    }
}
