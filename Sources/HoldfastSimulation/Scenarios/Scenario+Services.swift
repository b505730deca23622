// Leases, watches, retries.
extension Scenario {
    static let services: [Scenario] = [
        Scenario(
            "stale-leader-revokes", row: 27, "a leader that was paused ends leases that were renewed since",
            .simulated { setup in
                setup.setFastElections()
                setup.setLeases()
                setup.plan.reactions = [
                    FaultReaction(
                        after: .leaseAlive, perThousand: 60, withinMicroseconds: 1_000_000, .pause,
                        forMilliseconds: 2_500, target: .leader),
                    FaultReaction(
                        after: .leaseAlive, perThousand: 30, withinMicroseconds: 1_000_000, .cut,
                        forMilliseconds: 2_500, target: .leader),
                ]
            }),
        Scenario(
            "slow-leader-renews", row: 27,
            "a leader whose clock is slow renews leases that its successor does not know of",
            .simulated { setup in
                setup.nodeCount = 5
                setup.clientCount = 9
                setup.setFastElections()
                setup.setLeases()
                setup.plan.world.mixture.leaseHolders = 8
                setup.plan.world.mixture.timeToLiveSeconds = 2
                setup.plan.constant = slowLeader
            }),
        Scenario(
            "lock-after-expiry", row: 28, "a lock is granted after its session ended",
            .simulated { setup in
                setup.setFastElections()
                setup.setLeases()
                setup.plan.world.mixture.leaseHolders = 5
                setup.plan.rates = [
                    FaultRate(.pause, everyMilliseconds: 2_000, forMilliseconds: 4_000),
                    FaultRate(.crash, everyMilliseconds: 3_000, forMilliseconds: 1_500, target: .leader),
                ]
            }),
        Scenario(
            "watch-and-compaction", row: 29, "a slow watcher misses what is deleted and compacted",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.mixture.compaction = 4
                setup.plan.world.mixture.delete = 8
                setup.plan.world.mixture.keyCount = 4
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 2_000, forMilliseconds: 1_000),
                    FaultRate(.pause, everyMilliseconds: 2_000, forMilliseconds: 1_000),
                ]
            }),
        Scenario(
            "watch-goes-back", row: 30,
            "a watch that resumes goes back in time, or claims what it did not show",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.world.clientPauseMicroseconds = 5_000
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 700, forMilliseconds: 500),
                    FaultRate(.pause, everyMilliseconds: 1_000, forMilliseconds: 1_000, target: .follower),
                    FaultRate(.cut, everyMilliseconds: 1_500, forMilliseconds: 1_500),
                ]
            }),
        Scenario(
            "retried-transaction", row: 34, "a write whose answer was lost is executed again",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.maximumDelayMicroseconds = 20_000
                setup.plan.world.mixture.transaction = 20
                setup.plan.constant = [Fault(.loss, amount: 100), Fault(.duplication, amount: 300)]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .elected, perThousand: 800, withinMicroseconds: 700_000, .crash,
                        forMilliseconds: 500),
                    FaultReaction(
                        after: .elected, perThousand: 300, withinMicroseconds: 700_000, .cut,
                        forMilliseconds: 700),
                ]
            }),
        Scenario(
            "authentication-toggled", row: 35, "replicas differ about who may do what",
            .waiting(
                "needs authentication; transactions at a compacted revision: Tests/KeyValueCoreTests")),
        Scenario(
            "compaction-amid-faults", row: 38, "a compaction comes in the middle of everything else",
            .simulated { setup in
                setup.nodeCount = 5
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.world.mixture.compaction = 8
                setup.plan.world.mixture.pastRead = 4
                setup.plan.constant = [Fault(.loss, amount: 50), Fault(.reordering, amount: 50)]
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 800),
                    FaultRate(.cut, everyMilliseconds: 1_500, forMilliseconds: 1_000),
                    FaultRate(.pause, everyMilliseconds: 2_000, forMilliseconds: 1_000),
                    FaultRate(.syncStall, everyMilliseconds: 3_000, forMilliseconds: 1_000),
                ]
            }),
        Scenario(
            "paused-holder", row: 40, "a lock's holder is paused past its time to live, and writes late",
            .simulated { setup in
                setup.setFastElections()
                setup.setLeases()
                setup.plan.world.mixture.timeToLiveSeconds = 1
                setup.plan.world.mixture.leaseHolders = 4
                setup.plan.rates = [
                    FaultRate(.pause, everyMilliseconds: 700, forMilliseconds: 4_000),
                    FaultRate(.crash, everyMilliseconds: 4_000, forMilliseconds: 1_000),
                ]
            }),
    ]

    /// Again and again the first of five nodes is the only one that a majority can hear, so that it leads; then
    /// it is cut off and its clock slows down, so that it takes long to notice.
    private static let slowLeader = (0..<8).flatMap { round in
        let start = 1_000_000 + 6_000_000 * UInt64(round)
        let leader = NodeSet(0)
        return [
            Fault(
                .cut, atMicroseconds: start, durationMicroseconds: 1_200_000,
                amount: LinkSet.star(hub: 0, nodeCount: 5).bits),
            Fault(
                .cut, atMicroseconds: start + 2_000_000, durationMicroseconds: 3_000_000,
                amount: LinkSet.between(leader, nodeCount: 5).bits),
            Fault(
                .drift, atMicroseconds: start + 2_000_000, durationMicroseconds: 3_000_000, nodes: leader,
                amount: 1_900_001),
        ]
    }
}

extension ScenarioSetup {
    /// Short leases, and little else to do.
    mutating func setLeases() {
        plan.world.mixture.leaseHolders = 3
        plan.world.mixture.timeToLiveSeconds = 3
        plan.world.clientPauseMicroseconds = 300_000
    }
}
