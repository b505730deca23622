// Elections and topologies.
extension Scenario {
    static let elections: [Scenario] = [
        Scenario(
            "earlier-term-by-counting", row: 2,
            "an entry of an earlier term counts as committed because a majority holds it (figure 8)",
            .simulated { setup in
                setup.nodeCount = 5
                setup.stepCount = 30_000
                setup.setFastElections()
                setup.plan.maximumDelayMicroseconds = 10_000
                setup.plan.maximumSyncMicroseconds = 2_000
                setup.plan.world.snapshotEntryCount = 100_000
                // Each entry travels alone, so that old ones arrive without the new leader's own.
                setup.plan.world.maximumAppendSizeBytes = 1
                setup.plan.constant = [Fault(.loss, amount: 250)]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .elected, perThousand: 700, withinMicroseconds: 60_000, .crash,
                        forMilliseconds: 500),
                    FaultReaction(
                        after: .elected, perThousand: 300, withinMicroseconds: 40_000, .cut,
                        forMilliseconds: 600),
                    FaultReaction(
                        after: .committed, perThousand: 60, withinMicroseconds: 3_000, .crash,
                        forMilliseconds: 700, target: .leader),
                ]
            }),
        Scenario(
            "slow-links", row: 0,
            "round trips that are longer than the election timeout, so that no leader stays",
            .simulated { setup in
                setup.stepCount = 40_000
                setup.plan.world.adaptsToRoundTrips = true
                setup.plan.world.clientPauseMicroseconds = 400_000
                setup.plan.world.requestTimeoutMilliseconds = 10_000
                setup.plan.world.clientPatienceMilliseconds = 12_000
                // 1.1 s there and back, and up to 1.6 s.
                setup.plan.minimumDelayMicroseconds = 300_000
                setup.plan.maximumDelayMicroseconds = 500_000
                setup.plan.keepsLeader = true
                setup.plan.demands = [
                    ProgressDemand(fromMilliseconds: 60_000, toMilliseconds: 120_000, entryCount: 25)
                ]
            }),
        Scenario(
            "mixed-pre-vote", row: 7, "nobody can win where some nodes ask for pre-votes and some do not",
            .elsewhere("every node asks for pre-votes; Tests/RaftCoreTests/Scenarios")),
        Scenario(
            "pre-vote-spreads-terms", row: 8, "a node with a higher term keeps the others from a leader",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.clientPauseMicroseconds = 50_000
                setup.plan.maximumSyncMicroseconds = 30_000
                setup.plan.constant = [Fault(.loss, amount: 200)]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .voted, perThousand: 400, withinMicroseconds: 30_000, .cut,
                        forMilliseconds: 1_500),
                    FaultReaction(
                        after: .elected, perThousand: 700, withinMicroseconds: 400_000, .crash,
                        forMilliseconds: 800),
                ]
            }),
        Scenario(
            "ex-leader-returns", row: 9, "a leader that stepped down can never be elected again",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.reactions = [
                    FaultReaction(
                        after: .elected, perThousand: 900, withinMicroseconds: 800_000, .cut,
                        forMilliseconds: 1_000)
                ]
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 2_000, forMilliseconds: 1_500, target: .follower)
                ]
            }),
        Scenario(
            "bridge", row: 10, "an old leader's heartbeats over a shared node keep a quorum from a new one",
            .simulated { setup in
                setup.nodeCount = 5
                setup.plan.lasting = [
                    Fault(.cut, amount: LinkSet.bridge(over: 2, nodeCount: 5).bits)
                ]
                setup.plan.rates = [FaultRate(.cut, everyMilliseconds: 4_000, forMilliseconds: 4_000)]
            }),
        Scenario(
            "forgotten-vote", row: 33, "a candidate that steps down within its term forgets its vote",
            .simulated { setup in
                setup.nodeCount = 5
                setup.setFastElections()
                setup.plan.maximumDelayMicroseconds = 60_000
                setup.plan.world.clientPauseMicroseconds = 100_000
                setup.plan.constant = [
                    Fault(.loss, amount: 100), Fault(.duplication, amount: 200),
                    Fault(.reordering, amount: 200),
                ]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .elected, perThousand: 900, withinMicroseconds: 50_000, .crash,
                        forMilliseconds: 400),
                    FaultReaction(
                        after: .elected, perThousand: 300, withinMicroseconds: 100_000, .pause,
                        forMilliseconds: 600),
                ]
            }),
        Scenario(
            "one-way", row: 36, "A hears B, B does not hear A: no leader for as long as that lasts",
            .simulated { setup in
                setup.plan.lasting = [
                    Fault(
                        .cut,
                        amount: LinkSet.between(NodeSet(0), nodeCount: 3, isOneWay: true).bits)
                ]
                setup.plan.rates = [
                    FaultRate(.cut, everyMilliseconds: 2_000, forMilliseconds: 4_000),
                    FaultRate(.loss, everyMilliseconds: 2_000, forMilliseconds: 4_000, amount: 1_000),
                ]
            }),
        Scenario(
            "star", row: 37, "five nodes that see each other over one only: storms of elections",
            .simulated { setup in
                setup.nodeCount = 5
                setup.plan.lasting = [Fault(.cut, amount: LinkSet.star(hub: 3, nodeCount: 5).bits)]
                setup.plan.rates = [FaultRate(.cut, everyMilliseconds: 5_000, forMilliseconds: 5_000)]
            }),
        Scenario(
            "chain", row: 37, "five nodes in a row: storms of elections",
            .simulated { setup in
                setup.nodeCount = 5
                setup.plan.lasting = [Fault(.cut, amount: LinkSet.chain([0, 1, 2, 3, 4]).bits)]
                setup.plan.rates = [FaultRate(.flapping, everyMilliseconds: 5_000, forMilliseconds: 5_000)]
            }),
    ]
}
