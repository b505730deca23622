// Linearizable reads.
extension Scenario {
    static let reads: [Scenario] = [
        Scenario(
            "read-before-own-term", row: 3,
            "a new leader answers reads from a commit index that is behind its predecessor's",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.maximumSyncMicroseconds = 20_000
                setup.plan.maximumDelayMicroseconds = 5_000
                setup.plan.world.clientPauseMicroseconds = 4_000
                setup.plan.world.mixture.read = 20
                setup.plan.constant = [Fault(.loss, amount: 100)]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .elected, perThousand: 900, withinMicroseconds: 500_000, .crash,
                        forMilliseconds: 300)
                ]
            }),
        Scenario(
            "read-after-pause", row: 4,
            "a leader that was paused answers reads without asking whether it still leads",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.maximumDelayMicroseconds = 20_000
                setup.plan.world.clientPauseMicroseconds = 4_000
                setup.plan.world.clientPatienceMilliseconds = 3_000
                setup.plan.world.mixture.read = 20
                setup.plan.reactions = [
                    FaultReaction(
                        after: .readBegun, perThousand: 10, withinMicroseconds: 20_000, .pause,
                        forMilliseconds: 1_500, target: .leader),
                    FaultReaction(
                        after: .readBegun, perThousand: 5, withinMicroseconds: 20_000, .cut,
                        forMilliseconds: 1_500, target: .leader),
                ]
            }),
        Scenario(
            "clocks", row: 6, "a lease outlives an election because clocks differ",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.clientPauseMicroseconds = 20_000
                setup.plan.world.mixture.read = 20
                setup.plan.rates = [
                    FaultRate(
                        .drift, everyMilliseconds: 500, forMilliseconds: 5_000, amount: 300_000),
                    FaultRate(.pause, everyMilliseconds: 2_000, forMilliseconds: 1_500, target: .leader),
                    FaultRate(.cut, everyMilliseconds: 2_000, forMilliseconds: 1_500, target: .leader),
                ]
            }),
        Scenario(
            "stale-leader-cut-off", row: 4, "a leader on the smaller side goes on answering reads",
            .simulated { setup in
                setup.nodeCount = 5
                setup.setFastElections()
                setup.plan.world.clientPauseMicroseconds = 3_000
                setup.plan.world.mixture.read = 20
                // The old leader's clock is slow, so that it steps down late.
                setup.plan.constant = [
                    Fault(.drift, nodes: NodeSet(0), amount: 1_600_001),
                    Fault(.drift, nodes: NodeSet(1), amount: 1_200_001),
                ]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .readBegun, perThousand: 4, withinMicroseconds: 20_000, .cut,
                        forMilliseconds: 2_000, target: .leader)
                ]
            }),
    ]
}
