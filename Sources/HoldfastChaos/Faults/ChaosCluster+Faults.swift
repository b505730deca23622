import ConsensusTypes

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ChaosCluster: FaultTarget {
    var nodeCount: Int { nodes.count }

    func inject(_ fault: ScheduledFault, at node: Int, context: FaultContext) async throws(ChaosFailure) {
        switch fault.kind {
        case .kill: try await kill([node], fault, context)
        case .killAll: try await kill(Array(nodes.indices), fault, context)
        case .pause: await suspend(node, fault, context)
        case .restart: try await restart(node, fault, context)
        case .slowDisk: try await slowDown(node, fault, context)
        case .diskFull: try await fillDisk(node, fault, context)
        case .cut, .oneWay, .reset, .refuse, .delay, .slowLink, .flap:
            await disturbLinks(of: node, fault, context)
        }
    }

    func restartFallen() async throws(ChaosFailure) -> [String] {
        var fallen: [String] = []
        for node in nodes {
            guard let ending = node.unexpectedEnding() else { continue }
            fallen.append("\(node.name) (\(ending)): \(node.lastWords)")
            await mesh.setRunning(false, node: node.index)
            try await node.start()
        }
        return fallen
    }

    // MARK: Processes

    private func kill(_ victims: [Int], _ fault: ScheduledFault, _ context: FaultContext)
        async throws(ChaosFailure)
    {
        let number = context.log.begin(fault.kind, nodes: victims)
        await withTaskGroup(of: Void.self) { group in
            for victim in victims { group.addTask { await self.nodes[victim].kill() } }
        }
        await context.wait(fault)
        for victim in victims { try await nodes[victim].start() }
        context.log.end(number)
    }

    private func suspend(_ node: Int, _ fault: ScheduledFault, _ context: FaultContext) async {
        let number = context.log.begin(fault.kind, nodes: [node])
        nodes[node].send(SIGSTOP)
        await context.wait(fault)
        nodes[node].send(SIGCONT)
        context.log.end(number)
    }

    private func restart(_ node: Int, _ fault: ScheduledFault, _ context: FaultContext)
        async throws(ChaosFailure)
    {
        let number = context.log.begin(fault.kind, nodes: [node])
        let ending = await nodes[node].stop()
        if ending != .code(0) {
            context.log.violate(
                "\(nodes[node].name) ended with \(ending.map { "\($0)" } ?? "nothing") on SIGTERM: "
                    + nodes[node].lastWords)
        }
        await context.wait(fault)
        try await nodes[node].start()
        context.log.end(number)
    }

    // MARK: Disks

    private func slowDown(_ node: Int, _ fault: ScheduledFault, _ context: FaultContext)
        async throws(ChaosFailure)
    {
        guard let process = nodes[node].process, process.ending == nil else {
            context.log.skip(fault.kind)
            return
        }
        let disk = try SlowDisk(
            processID: process.processID, delayMilliseconds: fault.delayMilliseconds,
            outputPath: "\(layout.directory)/strace.log", processGuard: processGuard)
        let number = context.log.begin(fault.kind, nodes: [node])
        await context.wait(fault)
        await disk.end()
        context.log.end(number)
    }

    private func fillDisk(_ node: Int, _ fault: ScheduledFault, _ context: FaultContext)
        async throws(ChaosFailure)
    {
        // Another node than the one drawn where that has no small disk.
        guard let full = disks.nodes.contains(node) ? node : disks.nodes.first else {
            context.log.skip(fault.kind)
            return
        }
        try disks.fill(full)
        let number = context.log.begin(fault.kind, nodes: [full])
        await context.wait(fault)
        disks.empty(full)
        context.log.end(number)
    }

    // MARK: Links

    private func disturbLinks(of node: Int, _ fault: ScheduledFault, _ context: FaultContext) async {
        let peers =
            fault.isWholeNode
            ? nodes.indices.filter { $0 != node } : [(node + fault.peerDistance) % nodeCount]
        // A node that is cut off serves nobody who is connected to it; of one link's ends, whichever does not lead
        // may be cut off from the leader.
        let isCut = [.cut, .oneWay, .flap, .refuse].contains(fault.kind)
        let number = context.log.begin(
            fault.kind, nodes: isCut ? (fault.isWholeNode ? [node] : [node] + peers) : [])
        switch fault.kind {
        case .reset:
            await repeating(fault, context) {
                for peer in peers { await self.mesh.reset(between: node, and: peer) }
            }
        case .flap:
            var isCut = false
            await repeating(fault, context) {
                isCut.toggle()
                if isCut {
                    await self.set(Self.conditions(of: fault), fault, node, peers)
                } else {
                    await self.mesh.lift(layer: fault.number)
                }
            }
        case .refuse:
            await set(Self.conditions(of: fault), fault, node, peers)
            for peer in peers { await mesh.reset(between: node, and: peer) }
            await context.wait(fault)
        default:
            await set(Self.conditions(of: fault), fault, node, peers)
            await context.wait(fault)
        }
        await mesh.lift(layer: fault.number)
        context.log.end(number)
    }

    private func repeating(
        _ fault: ScheduledFault, _ context: FaultContext, _ body: () async -> Void
    ) async {
        let end = context.end(of: fault)
        repeat {
            await body()
            let next = ChaosClock.now() + .milliseconds(fault.periodMilliseconds)
            await context.control.sleep(until: min(next, end))
        } while ChaosClock.now() < end && !context.control.isEnding
    }

    private func set(
        _ conditions: LinkConditions, _ fault: ScheduledFault, _ node: Int, _ peers: [Int]
    ) async {
        let isBothWays = fault.kind != .oneWay
        for peer in peers {
            if isBothWays || fault.isOutgoing {
                await mesh.set(conditions, layer: fault.number, from: node, to: peer)
            }
            if isBothWays || !fault.isOutgoing {
                await mesh.set(conditions, layer: fault.number, from: peer, to: node)
            }
        }
    }

    static func conditions(of fault: ScheduledFault) -> LinkConditions {
        var conditions = LinkConditions()
        switch fault.kind {
        case .cut, .oneWay, .flap:
            conditions.cut = fault.losesBytes ? .swallow : .hold
        case .delay:
            conditions.delayMilliseconds = fault.delayMilliseconds / 2
            conditions.jitterMilliseconds = fault.delayMilliseconds
        case .slowLink:
            conditions.bytesPerSecond = fault.bytesPerSecond
        case .refuse:
            conditions.isRefusing = true
        case .kill, .killAll, .pause, .restart, .reset, .slowDisk, .diskFull:
            break
        }
        return conditions
    }
}
