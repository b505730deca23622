import ConsensusTypes

extension FaultPlan {
    /// A random subset of the faults with random rates, so that some runs are gentle and some are harsh, and
    /// no fault always hides another ("swarm testing", Groce and others 2012).
    public static func swarm(_ random: inout SeededRandom) -> FaultPlan {
        var plan = FaultPlan()
        plan.world = WorldSettings.swarm(&random)
        plan.maximumDelayMicroseconds = 100 + random.next(below: 20_000)
        plan.hasOrderedLinks = random.chance(1, outOf: 2)
        plan.hasStaleMessages = random.chance(1, outOf: 2)
        plan.maximumSyncMicroseconds = 100 + random.next(below: 10_000)
        plan.turnMicroseconds = random.chance(1, outOf: 2) ? 0 : random.next(below: 500)
        plan.addConstantFaults(&random)
        // Faults come as often as things happen: in a run where clients pause for seconds, rarely.
        let pace = 300 + plan.world.clientPauseMicroseconds / 100
        plan.addLinkFaults(pace, &random)
        plan.addProcessFaults(pace, &random)
        plan.addDiskFaults(pace, &random)
        return plan
    }

    private mutating func addConstantFaults(_ random: inout SeededRandom) {
        if random.chance(1, outOf: 3) { constant.append(Fault(.loss, amount: 1 + random.next(below: 150))) }
        if random.chance(1, outOf: 3) {
            constant.append(Fault(.duplication, amount: 1 + random.next(below: 100)))
        }
        if random.chance(1, outOf: 3) {
            constant.append(Fault(.reordering, amount: 1 + random.next(below: 100)))
        }
        if random.chance(1, outOf: 8) {
            constant.append(Fault(.bandwidth, amount: 20_000 + random.next(below: 2_000_000)))
        }
    }

    private mutating func add(
        _ kind: FaultKind, _ chances: (UInt64, UInt64), _ pace: UInt64, duration: UInt64 = 0,
        amount: UInt64 = 0, target: FaultTarget = .anyNode, _ random: inout SeededRandom
    ) {
        let interval = pace + random.next(below: pace * 16)
        guard random.chance(chances.0, outOf: chances.1) else { return }
        rates.append(
            FaultRate(
                kind, everyMilliseconds: interval, forMilliseconds: duration, amount: amount, target: target))
    }

    private mutating func addLinkFaults(_ pace: UInt64, _ random: inout SeededRandom) {
        add(.cut, (1, 2), pace, duration: 4_000, &random)
        add(.flapping, (1, 8), pace, duration: 4_000, &random)
        add(.reset, (1, 4), pace, &random)
        add(.loss, (1, 8), pace, duration: 4_000, amount: 1_000, &random)
        add(.delay, (1, 6), pace, duration: 4_000, amount: 1_000_000, &random)
        add(.bandwidth, (1, 8), pace, duration: 4_000, amount: 200_000, &random)
    }

    private mutating func addProcessFaults(_ pace: UInt64, _ random: inout SeededRandom) {
        add(.crash, (1, 2), pace, duration: 3_000, &random)
        add(.crash, (1, 6), pace, duration: 3_000, target: .leader, &random)
        add(.crash, (1, 6), 4 * pace, duration: 2_000, target: .allNodes, &random)
        add(.crashAtOperation, (1, 3), pace, duration: 3_000, amount: 30, &random)
        add(.pause, (1, 3), pace, duration: 5_000, &random)
        add(.pause, (1, 6), pace, duration: 5_000, target: .leader, &random)
        // Both within the 500 parts per million of a poor clock and far beyond.
        add(.drift, (1, 4), 2 * pace, duration: 20_000, amount: 500, &random)
        add(.drift, (1, 8), 2 * pace, duration: 20_000, amount: 200_000, &random)
    }

    private mutating func addDiskFaults(_ pace: UInt64, _ random: inout SeededRandom) {
        add(.syncFailure, (1, 6), 2 * pace, duration: 3_000, &random)
        add(.syncStall, (1, 4), pace, duration: 5_000, &random)
        add(.syncStall, (1, 8), pace, duration: 5_000, target: .leader, &random)
        add(.diskFull, (1, 6), 2 * pace, duration: 5_000, amount: 200_000, &random)
        // What a disk loses or garbles, a quorum still has.
        add(.damage, (1, 4), 2 * pace, duration: 2_000, target: .victim, &random)
        add(.lostWrite, (1, 8), 2 * pace, target: .victim, &random)
        add(.misdirectedWrite, (1, 8), 2 * pace, target: .victim, &random)
        add(.wipe, (1, 8), 3 * pace, duration: 2_000, target: .victim, &random)
        add(.lyingSync, (1, 8), 2 * pace, duration: 5_000, target: .victim, &random)
        add(.secondProcess, (1, 8), 3 * pace, duration: 5_000, target: .victim, &random)
    }
}

extension WorldSettings {
    /// Dense runs, in which much happens in a second, and sparse ones, which see hours.
    static func swarm(_ random: inout SeededRandom) -> WorldSettings {
        var world = WorldSettings()
        // From 1 ms to 32 s, each power of two as likely.
        world.clientPauseMicroseconds = 1_000 << random.next(below: 16)
        switch random.next(below: 6) {
        case 0:
            world.electionTimeoutMilliseconds = 200
            world.heartbeatIntervalMilliseconds = 20
        case 1, 2:
            world.electionTimeoutMilliseconds = 5_000
            world.heartbeatIntervalMilliseconds = 1_000
        default:
            break
        }
        world.requestTimeoutMilliseconds = 500 + 2 * world.electionTimeoutMilliseconds
        world.clientPatienceMilliseconds = 50 + random.next(below: 6_000)
        world.snapshotEntryCount = 10 << Int(random.next(below: 6))
        world.trailingEntryCount = 1 << Int(random.next(below: 6))
        world.segmentSizeBytes = (16 << 10) << Int(random.next(below: 3))
        world.snapshotChunkSizeBytes = 2_048 << Int(random.next(below: 8) / 2)
        world.maximumAppendSizeBytes = 512 << Int(random.next(below: 8))
        if random.chance(1, outOf: 8) { world.quotaBytes = 20_000 + Int(random.next(below: 40_000)) }
        world.mixture = ClientMixture.swarm(&random)
        return world
    }
}

extension ClientMixture {
    static func swarm(_ random: inout SeededRandom) -> ClientMixture {
        var mixture = ClientMixture()
        mixture.put = 1 + random.next(below: 20)
        mixture.delete = random.next(below: 6)
        mixture.transaction = random.next(below: 10)
        mixture.read = random.next(below: 12)
        mixture.serializableRead = random.next(below: 3)
        mixture.pastRead = random.next(below: 3)
        mixture.compaction = random.next(below: 2)
        mixture.leaseHolders = random.next(below: 3)
        mixture.keyCount = 1 + random.next(below: 30)
        mixture.valueSizeBytes = 16 << random.next(below: 6)
        mixture.timeToLiveSeconds = 1 + random.next(below: 8)
        return mixture
    }
}

extension FaultPlan {
    /// Adds operators who change the members and move the leadership, in some runs leases, and leaders that evict.
    mutating func addMemberChanges(_ random: inout SeededRandom) {
        changesMembers = true
        // On connections, which a process that starts anew does not share with the one before.
        hasStaleMessages = false
        // A second process is found out by what all others remember, and those that join remember nothing.
        rates.removeAll { $0.kind == .secondProcess || $0.kind == .rollBack }
        let pace = 300 + world.clientPauseMicroseconds / 100
        add(.addMember, (3, 4), pace, &random)
        add(.removeMember, (1, 2), pace, &random)
        add(.removeMember, (1, 4), 2 * pace, target: .leader, &random)
        add(.promoteMember, (1, 2), pace, &random)
        add(.demoteMember, (1, 2), pace, &random)
        add(.changeMembers, (1, 2), pace, &random)
        add(.setPriority, (1, 3), pace, &random)
        add(.transfer, (1, 2), pace, &random)
        add(.gracefulRestart, (1, 3), pace, duration: 2_000, target: .leader, &random)
        add(.gracefulRestart, (1, 4), pace, duration: 2_000, &random)
        if random.chance(1, outOf: 2) {
            world.promisesLeases = true
            // Longer timeouts must not make leases wrong.
            world.adaptsToRoundTrips = true
            world.mixture.leaseRead = 1 + random.next(below: 12)
            // Leases are as certain as the bound: no clock is beyond it.
            let fastest = rates.filter { $0.kind == .drift }.map(\.amount).max() ?? 0
            world.maximumClockDriftPartsPerMillion = max(10_000, Int(fastest))
        }
        if random.chance(1, outOf: 2) {
            world.evictAfterMilliseconds =
                world.electionTimeoutMilliseconds * (2 + Int(random.next(below: 4)))
            add(.crash, (1, 2), pace, duration: 4 * UInt64(world.evictAfterMilliseconds ?? 0), &random)
            add(.cut, (1, 2), pace, duration: 4 * UInt64(world.evictAfterMilliseconds ?? 0), &random)
        }
    }
}
