import ConsensusTypes
import ReplicaRuntime
import WriteAheadLog

extension SimulationRun {
    /// A process that runs with a copy of a node's directory, beside the node.
    struct Second {
        let node: Node
        let disk: SimulatedFileSystem
    }

    /// Whether a node may lose what it remembers of others: while a second process runs under another one's
    /// name, its peers' memory is what keeps it out.
    func canForget(_ number: Int) -> Bool {
        seconds.indices.allSatisfy { $0 == number || seconds[$0] == nil }
    }

    func beginSecond(_ fault: Fault) {
        guard let number = fault.nodes.numbers.first, number < nodes.count, nodes.count > 1,
            nodes[number] != nil, !isBeingCopied(number)
        else { return }
        oldDisks[activeFaults.count] = disks[number].copy()
        // A start later than the copy is what the peers know the copy by.
        crash(number, CrashManner(losesPower: false, isWithinWrite: false), downMicroseconds: 1_000)
        keep(fault)
    }

    private func isBeingCopied(_ number: Int) -> Bool {
        activeFaults.contains { $0?.kind == .secondProcess && $0?.nodes.contains(number) == true }
    }

    /// Starts the second process as soon as it can be told from the first, and later gives each connection to
    /// the one or the other.
    func advanceSecond(_ fault: Fault, _ faultNumber: Int) {
        guard let number = fault.nodes.numbers.first else { return }
        if seconds[number] == nil {
            guard let copy = oldDisks[faultNumber] else { return }
            guard let second = makeSecond(number, copy.copy()) else { return }
            oldDisks[faultNumber] = nil
            world.counts.secondProcesses += 1
            seconds[number] = second
            world.secondSessions[number] = second.node.session
            second.node.start()
            settleSecond(number)
        }
        for peer in nodes.indices where peer != number && world.random.chance(1, outOf: 2) {
            giveConnection(number, peer, toSecond: !world.heldBySecond[number].contains(peer))
        }
    }

    /// `nil` where not all others know of a later start of the node, or one that ran under this start count, or
    /// might have forgotten it.
    private func makeSecond(_ number: Int, _ disk: SimulatedFileSystem) -> Second? {
        let others = nodes.indices.filter { $0 != number }
        guard others.allSatisfy({ nodes[$0] != nil && !mayHaveForgotten[$0] && seconds[$0] == nil }) else {
            return nil
        }
        guard let node = try? makeNode(number, on: disk) else { return nil }
        for other in others {
            let record = nodes[other]!.opened.memory.records.first { $0.node == node.nodeID }
            guard let record, record.directory == node.opened.directory.directoryID,
                record.startCount >= node.admission.startCount
            else { return nil }
        }
        node.isSecond = true
        node.onReport = { [unowned self] in
            timeline.add(world.now, .note("second process of node \(number): \($0)"))
        }
        return Second(node: node, disk: disk)
    }

    /// A new connection takes the place of the other process's.
    private func giveConnection(_ number: Int, _ peer: Int, toSecond: Bool) {
        guard let second = seconds[number]?.node, let other = nodes[peer],
            world.network.canReach(from: number, to: peer)
        else { return }
        if toSecond {
            world.heldBySecond[number].insert(peer)
            world.add(.peerDisconnected(number, about: peer), afterMicroseconds: 1)
            second.peerConnected(peer, session: other.session)
        } else {
            world.heldBySecond[number].remove(peer)
            second.peerDisconnected(peer, hasStopped: false)
            world.add(.peerConnected(number, about: peer), afterMicroseconds: 1)
        }
        world.add(.peerDisconnected(peer, about: number), afterMicroseconds: 1)
        world.add(.peerConnected(peer, about: number), afterMicroseconds: 2)
        settleSecond(number)
    }

    /// What happens to a second process.
    func handleSecond(_ second: Second, _ event: SimulationEvent) {
        let node = second.node
        switch event {
        case .deliver(let from, let to, let epoch, let session, let receiver, let message):
            guard epoch == world.network.epoch(from: from, to: to),
                isConnected(node, to: from, session: session, receiver: receiver, message)
            else { return }
            node.deliver(message, from: from)
        case .turn: node.runTurn()
        case .timer(_, _, let timerNumber): node.reachDeadline(timerNumber)
        case .syncDone:
            do throws(WriteAheadLogError) {
                try node.finishSync()
            } catch {
                return endSecond(node.number)
            }
        case .snapshotTask(let task, _, _): node.run(task)
        case .lookForRoom, .peerStopped, .peerConnected, .peerDisconnected, .call, .client, .restart,
            .faultEnds, .operate, .knock:
            return
        }
        settleSecond(node.number)
    }

    private func settleSecond(_ number: Int) {
        guard let node = seconds[number]?.node else { return }
        node.endEvent()
        guard let ending = node.ending else { return }
        timeline.add(world.now, .note("second process of node \(number) ends: \(ending)"))
        world.counts.refusedSecondProcesses += 1
        // An operator does what it says; that it might be started again as another life of the node would be
        // a second fault.
        endSecond(number)
    }

    func endSecond(_ number: Int) {
        guard let second = seconds[number] else { return }
        noteRarePaths(of: second.node)
        seconds[number] = nil
        endedSeconds.insert(second.node.session)
        let held = world.heldBySecond[number]
        world.heldBySecond[number] = NodeSet()
        world.secondSessions[number] = 0
        for peer in held.numbers {
            world.add(.peerDisconnected(peer, about: number), afterMicroseconds: 1)
            world.add(.peerConnected(peer, about: number), afterMicroseconds: 1_000)
            world.add(.peerConnected(number, about: peer), afterMicroseconds: 1_000)
        }
    }
}
