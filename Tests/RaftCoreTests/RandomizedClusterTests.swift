import ConsensusTypes
import Foundation
import Testing

@testable import RaftCore

/// Whole clusters under random faults, checked from outside after each step (Raft paper, figure 3).
@Suite struct RandomizedClusterTests {
    static let memberships: [Membership] = [
        Membership(voters: [1].map(NodeID.init)),
        Membership(voters: [1, 2, 3].map(NodeID.init)),
        Membership(voters: [1, 2, 3, 4, 5].map(NodeID.init)),
        Membership(voters: [1, 2, 3].map(NodeID.init), learners: [4].map(NodeID.init)),
        Membership(voters: [1, 2, 3].map(NodeID.init), outgoingVoters: [3, 4, 5].map(NodeID.init)),
    ]

    static let faults: [WorldFaults] = [
        WorldFaults(maximumDelayMilliseconds: 5),
        WorldFaults(loss: 100, duplication: 100, maximumDelayMilliseconds: 20, snapshot: 40),
        WorldFaults(
            loss: 20, duplication: 50, maximumDelayMilliseconds: 10, maximumDiskDelayMilliseconds: 20,
            partition: 40, heal: 20, linkBreak: 40, snapshot: 60),
        WorldFaults(
            loss: 20, duplication: 20, maximumDelayMilliseconds: 10, maximumDiskDelayMilliseconds: 20,
            partition: 10, heal: 40, crash: 20, restart: 80, linkBreak: 20, snapshot: 60),
        WorldFaults(
            loss: 50, duplication: 50, maximumDelayMilliseconds: 25, maximumDiskDelayMilliseconds: 40,
            partition: 20, heal: 30, crash: 10, restart: 60, linkBreak: 20, snapshot: 100, diskFull: 15),
    ]

    /// How many seeds each combination gets; more when `HOLDFAST_SEEDS` says so.
    static let seeds: UInt64 =
        ProcessInfo.processInfo.environment["HOLDFAST_SEEDS"].flatMap(UInt64.init) ?? 12

    @Test(arguments: 0..<25)
    func figure3HoldsAndProgressResumes(combination: Int) {
        var answeredReads = 0
        var committed: UInt64 = 0
        var leaders = 0
        var restores = 0
        for seed in 0..<Self.seeds {
            let world = Self.run(combination: combination, seed: seed, traces: false)
            if let failure = world.checker.failure {
                Issue.record("combination \(combination), seed \(seed), at \(world.now): \(failure)")
                return
            }
            answeredReads += world.answeredReadCount
            committed += world.checker.commitIndex.rawValue
            leaders += world.checker.leaderCount
            restores += world.restoreCount
        }
        // A world in which nothing happens would prove nothing. Few worlds may be quiet by chance.
        guard Self.seeds >= 12 else { return }
        #expect(committed > 30 * Self.seeds)
        #expect(answeredReads > 5 * Int(Self.seeds))
        let faults = Self.faults[combination / 5]
        if faults.crash > 0 || (faults.partition > 0 && combination % 5 != 0) {
            #expect(2 * leaders >= 3 * Int(Self.seeds))
        }
        if faults.snapshot > 0, combination % 5 != 0 { #expect(restores > 0) }
    }

    /// The last ones depend on a witness for every decision.
    static let witnessMemberships: [Membership] = [
        (3, [3]), (5, [1, 5]), (2, [1]), (4, [2, 3]),
    ].map { (count: UInt64, witnesses: [UInt64]) in
        Membership(
            voters: (1...count).map(NodeID.init),
            descriptions: witnesses.map { MemberDescription(node: NodeID($0), isWitness: true) })
    }

    /// Witnesses never lead, and what is committed is never on witnesses alone. Where they depend on them, the
    /// others can always win their votes again.
    @Test(arguments: 0..<20)
    func figure3HoldsWithWitnesses(combination: Int) {
        var reached = RarePathSet()
        var committed: UInt64 = 0
        for seed in 0..<Self.seeds {
            let world = Self.runWithWitnesses(combination: combination, seed: seed, traces: false)
            if let failure = world.checker.failure {
                Issue.record("witnesses \(combination), seed \(seed), at \(world.now): \(failure)")
                return
            }
            reached.formUnion(world.reached)
            committed += world.checker.commitIndex.rawValue
        }
        guard Self.seeds >= 12 else { return }
        #expect(committed > 15 * Self.seeds)
        // One of two is needed for every decision, so its log is never too short.
        if Self.faults[combination / 4].snapshot > 0, combination % 4 != 2 {
            #expect(reached.contains(.withheldSnapshotSent))
        }
        if combination >= 4 { #expect(reached.contains(.witnessWithTooFewData)) }
    }

    static func runWithWitnesses(combination: Int, seed: UInt64, traces: Bool) -> World {
        var world = World(
            membership: witnessMemberships[combination % 4], faults: faults[combination / 4],
            seed: seed &* 1_000 &+ UInt64(combination) &+ 700)
        world.traces = traces
        world.run(for: .milliseconds(1_200))
        return end(world, healing: .milliseconds(800))
    }

    static let churn: [WorldFaults] = [
        WorldFaults(maximumDelayMilliseconds: 5, change: 100, transfer: 40),
        WorldFaults(
            loss: 20, duplication: 50, maximumDelayMilliseconds: 10, maximumDiskDelayMilliseconds: 10,
            partition: 40, heal: 40, linkBreak: 40, snapshot: 60, change: 150, transfer: 40, stall: 20),
        WorldFaults(
            loss: 20, duplication: 20, maximumDelayMilliseconds: 10, maximumDiskDelayMilliseconds: 20,
            partition: 10, heal: 40, crash: 20, restart: 80, linkBreak: 20, snapshot: 60, change: 150,
            transfer: 20, pause: 10),
        WorldFaults(
            loss: 30, duplication: 30, maximumDelayMilliseconds: 20, maximumDiskDelayMilliseconds: 30,
            partition: 20, heal: 40, crash: 10, restart: 100, linkBreak: 20, snapshot: 100, diskFull: 5,
            change: 200, transfer: 30, stall: 10, pause: 20),
        // Leaders that stand still, and voters that are back before a lease is over.
        WorldFaults(
            loss: 10, maximumDelayMilliseconds: 4, maximumDiskDelayMilliseconds: 3, partition: 10, heal: 60,
            crash: 4, restart: 700, change: 10, leaderPause: 25),
    ]

    /// Members come and go, from three to seven voters, joiners with empty logs among them; the leadership is
    /// handed around; processes stand still, and clocks go as wrong as the settings allow.
    @Test(arguments: 0..<10)
    func figure3AndLeasesHoldUnderChurn(combination: Int) {
        var reached = RarePathSet()
        var committed: UInt64 = 0
        var leaseReads = 0
        var leaders = 0
        for seed in 0..<max(1, Self.seeds / 3) {
            let world = Self.runChurn(combination: combination, seed: seed, traces: false)
            if let failure = world.checker.failure {
                Issue.record("churn \(combination), seed \(seed), at \(world.now): \(failure)")
                return
            }
            reached.formUnion(world.reached)
            committed += world.checker.commitIndex.rawValue
            leaseReads += world.leaseReadCount
            leaders += world.checker.leaderCount
        }
        guard Self.seeds >= 12 else { return }
        #expect(committed > 20 * Self.seeds)
        #expect(leaders > Int(Self.seeds) / 2)
        if combination % 2 == 1 { #expect(leaseReads > 5 * Int(Self.seeds)) }
        guard combination < 2 else { return }
        for path in [
            RarePath.jointMembershipLeft, .membershipChangeRefused, .leavingMemberTold,
            .transferVoteDespiteLoyalty, .removedLeaderHandedOver, .priorityTransferStarted, .steppedAside,
        ] {
            #expect(reached.contains(path), "\(path)")
        }
    }

    static func runChurn(combination: Int, seed: UInt64, traces: Bool) -> World {
        let hasLeases = combination % 2 == 1
        var world = World(
            membership: Membership(voters: (1...(seed % 2 == 0 ? 3 : 5)).map(NodeID.init)),
            strangers: (seed % 2 == 0 ? 4...7 : 6...7).map(NodeID.init), faults: churn[combination / 2],
            promisesLeases: hasLeases, maximumDriftPartsPerMillion: hasLeases ? 10_000 : 0,
            seed: seed &* 1_000 &+ UInt64(combination) &+ 500)
        world.traces = traces
        world.run(for: .milliseconds(2_000))
        return end(world, healing: .milliseconds(3_000))
    }

    /// One world, with everything that happens: `HOLDFAST_WORLD=combination:seed`, and `:churn` or `:witnesses`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["HOLDFAST_WORLD"] != nil))
    func tracedWorld() throws {
        let words = ProcessInfo.processInfo.environment["HOLDFAST_WORLD"]!.split(separator: ":")
        let combination = try #require(Int(words[0]))
        let seed = try #require(UInt64(words[1]))
        let world =
            switch words.dropFirst(2).first {
            case "churn": Self.runChurn(combination: combination, seed: seed, traces: true)
            case "witnesses": Self.runWithWitnesses(combination: combination, seed: seed, traces: true)
            default: Self.run(combination: combination, seed: seed, traces: true)
            }
        #expect(world.checker.failure == nil)
    }

    static func run(combination: Int, seed: UInt64, traces: Bool) -> World {
        var world = World(
            membership: memberships[combination % 5], faults: faults[combination / 5],
            seed: seed &* 1_000 &+ UInt64(combination))
        world.traces = traces
        world.run(for: .milliseconds(1_200))
        return end(world, healing: .milliseconds(800))
    }

    private static func end(_ running: World, healing: Interval) -> World {
        var world = running
        guard world.checker.failure == nil else { return world }
        world.heal()
        world.run(for: healing)
        guard world.checker.failure == nil else { return world }
        // The last requests, at every node.
        for position in world.nodes.indices {
            world.addCommand(position)
            world.requestRead(position)
        }
        world.areClientsActive = false
        world.run(for: .milliseconds(400))
        if let problem = world.problemAfterHealing() { world.checker.fail(problem) }
        return world
    }
}
