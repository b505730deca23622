import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

// What faults do, and how they end.
extension SimulationRun {
    func begin(_ fault: Fault) throws(SimulationFailure) {
        switch fault.kind {
        case .loss, .duplication, .reordering, .delay, .bandwidth, .cut, .flapping:
            keep(fault)
            applyLinkFaults()
        case .reset:
            reset(LinkSet(bits: fault.amount))
        case .crash, .crashAtOperation, .pause:
            beginProcessFault(fault)
        case .syncFailure, .syncStall, .diskFull, .lyingSync:
            beginDiskFault(fault)
        case .damage, .lostWrite, .misdirectedWrite, .wipe, .rollBack:
            beginLoss(fault)
        case .secondProcess:
            beginSecond(fault)
        case .drift:
            setDrift(fault.nodes, Int64(fault.amount / 2) * (fault.amount % 2 == 0 ? 1 : -1))
            keep(fault)
        case .addMember, .removeMember, .promoteMember, .demoteMember, .changeMembers, .setPriority,
            .transfer,
            .gracefulRestart:
            operate(fault)
        }
    }

    private func beginProcessFault(_ fault: Fault) {
        for number in fault.nodes.numbers where number < nodes.count && nodes[number] != nil {
            switch fault.kind {
            case .crash:
                crash(
                    number, CrashManner(amount: fault.amount), downMicroseconds: fault.durationMicroseconds)
            case .crashAtOperation:
                let last = disks[number].operationCount + Int(fault.amount)
                restartTimes[number] = downUntil(fault.durationMicroseconds)
                disks[number].setPlan { $0.number >= last ? .crash : .none }
            default:
                if nodes[number]!.backlog == nil { nodes[number]!.backlog = [] }
            }
        }
        if fault.kind == .pause { keep(fault) }
    }

    /// The disk fails, or stands still, and says so.
    private func beginDiskFault(_ fault: Fault) {
        for number in fault.nodes.numbers where number < nodes.count {
            switch fault.kind {
            case .syncFailure:
                guard nodes[number] != nil else { continue }
                restartTimes[number] = downUntil(fault.durationMicroseconds)
                hasDiskFault[number] = true
                disks[number].setPlan { $0.operation == .synchronize ? .fail(.ioError) : .none }
            case .syncStall:
                let end = world.now + Interval(nanoseconds: fault.durationMicroseconds * 1_000)
                world.syncStalledUntil[number] = max(world.syncStalledUntil[number], end)
            case .lyingSync:
                break
            default:
                disks[number].setCapacity(disks[number].usedBytes + Int(fault.amount))
                hasDiskFault[number] = true
            }
        }
        if fault.kind == .diskFull { keep(fault) }
        if fault.kind == .lyingSync, fault.nodes.numbers.allSatisfy({ $0 >= nodes.count || canLose($0) }) {
            keep(fault)
            for number in fault.nodes.numbers where number < nodes.count { letSyncsLie(number) }
        }
    }

    /// Remembers a fault that lasts, and when it ends.
    func keep(_ fault: Fault) {
        activeFaults.append(fault)
        guard fault.durationMicroseconds > 0 else { return }
        let number = activeFaults.count - 1
        var stage = fault.durationMicroseconds
        if fault.kind == .flapping || fault.kind == .secondProcess { stage = stageMicroseconds(fault) }
        world.add(.faultEnds(number), afterMicroseconds: stage)
    }

    private func stageMicroseconds(_ fault: Fault) -> UInt64 {
        max(fault.durationMicroseconds / 16, 1_000)
    }

    func endFault(_ number: Int) throws(SimulationFailure) {
        guard let fault = activeFaults[number] else { return }
        if fault.kind == .flapping || fault.kind == .secondProcess {
            let end =
                World.start
                + Interval(nanoseconds: 1_000 * (fault.atMicroseconds + fault.durationMicroseconds))
            if world.now < end {
                if fault.kind == .flapping {
                    // The links work and fail by turns; what worked is a fault of no links meanwhile.
                    activeFaults[number]!.nodes = fault.nodes.isEmpty ? NodeSet(0) : NodeSet()
                    applyLinkFaults()
                } else {
                    advanceSecond(fault, number)
                }
                world.add(.faultEnds(number), afterMicroseconds: stageMicroseconds(fault))
                return
            }
        }
        activeFaults[number] = nil
        if fault.kind == .rollBack, let old = oldDisks.removeValue(forKey: number) {
            for node in fault.nodes.numbers where node < nodes.count {
                restartTimes[node] = downUntil(10_000)
                stop(node, losesPower: false)
                disks[node].restore(old)
                wasPutBack[node] = true
                mayHaveForgotten[node] = true
            }
        }
        try undo(fault)
    }

    private func undo(_ fault: Fault) throws(SimulationFailure) {
        switch fault.kind {
        case .loss, .duplication, .reordering, .delay, .bandwidth, .cut, .flapping:
            applyLinkFaults()
        case .pause:
            for number in fault.nodes.numbers where number < nodes.count { resume(number) }
        case .diskFull:
            for number in fault.nodes.numbers where number < nodes.count {
                guard !isFull(number) else { continue }
                disks[number].setCapacity(nil)
                hasDiskFault[number] = false
                try findRoom(number)
            }
        case .drift:
            setDrift(fault.nodes, 0)
        case .lyingSync:
            for number in fault.nodes.numbers where number < nodes.count && !isLying(number) {
                disks[number].setPlan(nil)
            }
        case .secondProcess:
            for number in fault.nodes.numbers where number < nodes.count { endSecond(number) }
        case .damage, .lostWrite, .misdirectedWrite, .wipe, .rollBack, .reset, .crash, .crashAtOperation,
            .syncFailure, .syncStall, .addMember, .removeMember, .promoteMember, .demoteMember,
            .changeMembers,
            .setPriority, .transfer, .gracefulRestart:
            break
        }
    }

    /// The faults stop, and what they broke starts again.
    func endAllFaults() throws(SimulationFailure) {
        world.faults.stop()
        let lasting = activeFaults.compactMap(\.self)
        for position in activeFaults.indices { activeFaults[position] = nil }
        oldDisks.removeAll()
        for fault in lasting { try undo(fault) }
        applyLinkFaults()
        for number in nodes.indices {
            world.syncStalledUntil[number] = .zero
            disks[number].setPlan(nil)
            disks[number].setCapacity(nil)
            disks[number].cancelInjections()
            hasDiskFault[number] = false
            restartTimes[number] = .zero
            resume(number)
            if nodes[number] == nil { retire(number) }
            if nodes[number] == nil, places[number] != .absent { try start(number) }
            try findRoom(number)
        }
        for number in nodes.indices { connectPeers(of: number) }
    }

    // MARK: Links

    /// Makes of all faults that last what is wrong with each link.
    private func applyLinkFaults() {
        for from in nodes.indices {
            for to in nodes.indices where to != from {
                var condition = SimulatedNetwork.Condition()
                for case let fault? in activeFaults { condition.add(fault, from: from, to: to) }
                world.network.setCondition(from: from, to: to, condition)
            }
        }
    }

    private func reset(_ links: LinkSet) {
        for from in nodes.indices {
            for to in nodes.indices where to != from && links.contains(from: from, to: to) {
                world.network.reset(from: from, to: to)
                world.network.reset(from: to, to: from)
                for (one, other) in [(from, to), (to, from)] where world.isLinked(one, other) {
                    world.add(
                        .peerDisconnected(one, about: other),
                        afterMicroseconds: world.random.next(below: 1_000))
                    world.add(
                        .peerConnected(one, about: other),
                        afterMicroseconds: 1_000 + world.random.next(below: 50_000))
                }
            }
        }
    }

    // MARK: Processes

    func downUntil(_ microseconds: UInt64) -> Instant {
        world.now + Interval(nanoseconds: 1_000 * max(microseconds, 1_000))
    }

    func crash(_ number: Int, _ manner: CrashManner, downMicroseconds: UInt64) {
        guard let node = nodes[number] else { return }
        restartTimes[number] = downUntil(downMicroseconds)
        if manner.isWithinWrite {
            // The process dies within one of the disk operations that it has begun.
            world.counts.tornWrites += 1
            let disk = disks[number]
            let last = disk.operationCount + Int(world.random.next(below: 4))
            disk.setPlan { $0.number >= last ? .crash : .none }
            node.dieWriting()
        }
        stop(number, losesPower: manner.losesPower)
    }

    /// An operation on the disk was the last thing that the process did.
    func crashed(_ number: Int) {
        world.counts.tornWrites += 1
        stop(number, losesPower: world.random.chance(1, outOf: 2))
    }

    /// Whether the error is of a fault that was injected: then the node has stopped, as its production code
    /// does, and starts again some time later.
    func diskFailed(_ number: Int, _ error: WriteAheadLogError) -> Bool {
        timeline.add(world.now, .note("node \(number): \(error)"))
        switch error {
        case .fileSystem(let error) where error.code == .ioError || error.isNoSpace: break
        case .noSpace: break
        default: guard mayBeDamaged[number] else { return false }
        }
        restartTimes[number] = max(restartTimes[number], downUntil(500_000))
        stop(number, losesPower: false)
        return true
    }

    /// The node's process ended by itself.
    func ended(_ number: Int, _ ending: NodeEnding) throws(SimulationFailure) {
        timeline.add(world.now, .note("node \(number) ends: \(ending)"))
        switch ending {
        case .restart:
            lacksPast[number] = true
            restartTimes[number] = max(restartTimes[number], downUntil(10_000))
            stop(number, losesPower: false)
        case .removed: removed(number)
        case .copy(let reason):
            guard world.counts[.rollBack] > 0 else {
                throw SimulationFailure("admission", "node \(number) takes itself for a copy: \(reason)")
            }
            // An operator does what the node says.
            restartTimes[number] = max(restartTimes[number], downUntil(500_000))
            stop(number, losesPower: false)
            disks[number].wipe()
            mayHaveForgotten[number] = true
        case .failed(let error):
            try diskEnded(number, "node \(number) cannot take part: \(error)")
        case .cannotRemember(let error):
            try diskEnded(number, "node \(number) cannot remember its peers: \(error)")
        }
    }

    /// The process ended because of its disk. That may be, if the disk was made to fail; then somebody starts
    /// it again.
    private func diskEnded(_ number: Int, _ reason: String) throws(SimulationFailure) {
        // A failed sync may come after the fault that made the disk fail has ended.
        guard hasDiskFault[number] || mayBeDamaged[number] || world.counts[.syncFailure] > 0 else {
            throw SimulationFailure("recovery", reason)
        }
        restartTimes[number] = max(restartTimes[number], downUntil(500_000))
        stop(number, losesPower: false)
    }

    /// A node that was starting died of a fault.
    func recoveryWasInterrupted(_ number: Int) -> Bool {
        let disk = disks[number]
        guard disk.isCrashed || hasDiskFault[number] || mayBeDamaged[number] else { return false }
        if !disk.isCrashed, !hasDiskFault[number] {
            // Peers cannot help, as where a write to the node's identity was lost. An operator does what the
            // error says: the node comes back with an empty directory.
            disk.wipe()
            mayHaveForgotten[number] = true
        }
        if !isFull(number) { hasDiskFault[number] = false }
        disk.setPlan(nil)
        hasLostPower[number] = world.random.chance(1, outOf: 2)
        if hasLostPower[number] { keepAnchor(number) }
        disk.restart(after: hasLostPower[number] ? .power : .process)
        restartTimes[number] = downUntil(300_000)
        world.queue.add(.restart(number), at: restartTimes[number])
        return true
    }

    func stop(_ number: Int, losesPower: Bool) {
        guard let node = nodes[number] else { return }
        noteRarePaths(of: node)
        if node.machine != nil { service.nodeStopped(number, in: self) }
        nodes[number] = nil
        endingNodes.remove(number)
        if changing?.number == number { changing = nil }
        world.sessions[number] = 0
        disks[number].setPlan(nil)
        hasDiskFault[number] = isFull(number)
        // What says how far the log was durable is written without a sync: where the power fails as well, a
        // write that was lost shortly before is lost without a trace (decision 4 says so).
        let losesPower = losesPower && !hasLostWrite[number]
        hasLostWrite[number] = false
        if losesPower { keepAnchor(number) }
        hasDamagedLog[number] = false
        hasLied[number] = false
        hasLostPower[number] = losesPower
        disks[number].restart(after: losesPower ? .power : .process)
        for other in nodes.indices
        where other != number && world.network.canReach(from: number, to: other)
            && world.isLinked(number, other)
        {
            world.add(
                .peerStopped(other, about: number), afterMicroseconds: 100 + world.random.next(below: 2_000))
        }
        if world.leader == number { world.leader = nil }
        if world.changesMembers { endLinks(of: number) }
        world.queue.add(.restart(number), at: max(restartTimes[number], world.now))
    }

    func restart(_ number: Int) throws(SimulationFailure) {
        // A later fault may have asked for a later start.
        guard nodes[number] == nil, world.now >= restartTimes[number], places[number] != .absent else {
            return
        }
        try start(number)
    }

    private func resume(_ number: Int) {
        guard let node = nodes[number], let waiting = node.backlog else { return }
        node.backlog = nil
        for event in waiting { world.queue.add(event, at: world.now) }
    }

    // MARK: Disks and clocks

    /// A log that ran out of room finds it again.
    ///
    /// `false`: the disk failed, and the node stopped.
    @discardableResult
    func findRoom(_ number: Int) throws(SimulationFailure) -> Bool {
        guard let node = nodes[number] else { return false }
        do throws(WriteAheadLogError) {
            try node.lookForRoom()
            return true
        } catch {
            if disks[number].isCrashed {
                crashed(number)
            } else if !diskFailed(number, error) {
                throw SimulationFailure("log", "node \(number): \(error)")
            }
            return false
        }
    }

    private func isFull(_ number: Int) -> Bool {
        activeFaults.contains { $0?.kind == .diskFull && $0?.nodes.contains(number) == true }
    }

    private func setDrift(_ set: NodeSet, _ partsPerMillion: Int64) {
        for number in set.numbers where number < nodes.count {
            world.clocks[number].setDrift(partsPerMillion, at: world.now)
            nodes[number]?.resetTimer()
        }
        world.fastestDrift = max(world.fastestDrift, partsPerMillion)
        world.slowestDrift = min(world.slowestDrift, partsPerMillion)
    }
}

extension SimulatedNetwork.Condition {
    /// Adds what a fault does to the link.
    mutating func add(_ fault: Fault, from: Int, to: Int) {
        switch fault.kind {
        case .cut:
            if LinkSet(bits: fault.amount).contains(from: from, to: to) { isCut = true }
            return
        case .flapping:
            // Which nodes it names tells whether its links work at the moment.
            if fault.nodes.isEmpty, LinkSet(bits: fault.amount).contains(from: from, to: to) { isCut = true }
            return
        default:
            break
        }
        guard fault.nodes.isEmpty || fault.nodes.contains(from),
            fault.peers.isEmpty || fault.peers.contains(to)
        else { return }
        switch fault.kind {
        case .loss: lossPerThousand = max(lossPerThousand, fault.amount)
        case .duplication: duplicationPerThousand = max(duplicationPerThousand, fault.amount)
        case .reordering: reorderingPerThousand = max(reorderingPerThousand, fault.amount)
        case .delay: extraDelayMicroseconds += fault.amount
        case .bandwidth:
            bytesPerSecond = bytesPerSecond == 0 ? fault.amount : min(bytesPerSecond, fault.amount)
        default: break
        }
    }
}
