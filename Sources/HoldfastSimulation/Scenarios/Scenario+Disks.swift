// Disks: crashes within operations, lost writes, failures.
extension Scenario {
    static let disks: [Scenario] = [
        Scenario(
            "torn-tail", row: 20, "a torn or reordered tail of the log is taken for entries, or for damage",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.maximumSyncMicroseconds = 5_000
                setup.plan.world.segmentSizeBytes = 8 << 10
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 300, forMilliseconds: 300),
                    FaultRate(.crashAtOperation, everyMilliseconds: 300, forMilliseconds: 300, amount: 20),
                    FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 300, target: .allNodes),
                ]
            }),
        Scenario(
            "snapshot-and-log", row: 21, "what is applied and what says so are not stored as one",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.rates = [
                    FaultRate(.crashAtOperation, everyMilliseconds: 200, forMilliseconds: 300, amount: 40),
                    FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 300, target: .allNodes),
                ]
            }),
        Scenario(
            "crash-in-compaction", row: 22, "a crash while history is compacted",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.world.mixture.compaction = 6
                setup.plan.world.mixture.pastRead = 4
                setup.plan.world.mixture.delete = 6
                setup.plan.reactions = [
                    FaultReaction(
                        after: .compacted, perThousand: 100, withinMicroseconds: 3_000, .crash,
                        forMilliseconds: 400),
                    FaultReaction(
                        after: .compacted, perThousand: 50, withinMicroseconds: 3_000, .crashAtOperation,
                        forMilliseconds: 400, amount: 10),
                ]
            }),
        Scenario(
            "single-node-sync", row: 23, "a single node answers before its log is synced",
            .simulated { setup in
                setup.nodeCount = 1
                setup.plan.maximumSyncMicroseconds = 20_000
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 200, forMilliseconds: 100),
                    FaultRate(.crashAtOperation, everyMilliseconds: 500, forMilliseconds: 100, amount: 10),
                ]
            }),
        Scenario(
            "lost-vote", row: 24, "a vote that was not synced is lost, and cast a second time",
            .simulated { setup in
                setup.nodeCount = 5
                setup.setFastElections()
                setup.plan.maximumSyncMicroseconds = 20_000
                setup.plan.world.clientPauseMicroseconds = 100_000
                setup.plan.reactions = [
                    FaultReaction(
                        after: .voted, perThousand: 500, withinMicroseconds: 20_000, .crash,
                        forMilliseconds: 60),
                    FaultReaction(
                        after: .elected, perThousand: 800, withinMicroseconds: 200_000, .crash,
                        forMilliseconds: 400),
                ]
            }),
        Scenario(
            "stalled-leader", row: 26, "the leader's disk stands still while its heartbeats go on",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(.syncStall, everyMilliseconds: 1_500, forMilliseconds: 4_000, target: .leader),
                    FaultRate(.crash, everyMilliseconds: 4_000, forMilliseconds: 1_000),
                ]
            }),
        Scenario(
            "failed-sync", row: 20, "a sync that failed is tried again, and taken for a success",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(.syncFailure, everyMilliseconds: 700, forMilliseconds: 500),
                    FaultRate(.crash, everyMilliseconds: 2_000, forMilliseconds: 500),
                ]
            }),
        Scenario(
            "lying-sync", row: 20, "a disk says that it has synced what a power cut then takes away",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(.lyingSync, everyMilliseconds: 600, forMilliseconds: 1_000, target: .victim),
                    FaultRate(.crash, everyMilliseconds: 400, forMilliseconds: 300, target: .victim),
                    FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 500),
                ]
            }),
        Scenario(
            "full-disk", row: 26, "a full disk ends the service, or loses what was acknowledged",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.segmentSizeBytes = 16 << 10
                setup.plan.rates = [
                    FaultRate(.diskFull, everyMilliseconds: 1_000, forMilliseconds: 3_000, amount: 60_000),
                    FaultRate(.crash, everyMilliseconds: 4_000, forMilliseconds: 1_000),
                ]
            }),
        Scenario(
            "damaged-log", row: 25, "damage on a minority of disks loses data",
            .simulated { setup in
                setup.nodeCount = 5
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(.damage, everyMilliseconds: 1_000, forMilliseconds: 500, target: .victim),
                    FaultRate(.lostWrite, everyMilliseconds: 2_000, target: .victim),
                    FaultRate(.misdirectedWrite, everyMilliseconds: 2_000, target: .victim),
                    FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 500),
                ]
            }),
        Scenario(
            "damaged-voter", row: 25,
            "what is left of a damaged log votes for a node that lacks what was lost",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.constant = damagedVoter
            }),
        Scenario(
            "damaged-snapshot", row: 25, "a damaged snapshot is served, or keeps a node away for ever",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.rates = [
                    FaultRate(
                        .damage, everyMilliseconds: 700, forMilliseconds: 400,
                        amount: DiskDamage(.snapshot, .flippedBit).amount + 1, target: .victim),
                    FaultRate(
                        .damage, everyMilliseconds: 700,
                        amount: DiskDamage(.snapshot, .zeroedBlock).amount + 1, target: .victim),
                    FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 800),
                ]
            }),
        Scenario(
            "damaged-anchor", row: 25, "damage to what says how far the log was durable goes unnoticed",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(
                        .damage, everyMilliseconds: 700, forMilliseconds: 400,
                        amount: DiskDamage(.anchor, .zeroedSector).amount + 1, target: .victim),
                    FaultRate(
                        .damage, everyMilliseconds: 1_500, forMilliseconds: 400,
                        amount: DiskDamage(.members, .flippedBit).amount + 1, target: .victim),
                    FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 800),
                ]
            }),
        Scenario(
            "wiped-node", row: 31, "a node that lost its disk comes back as the voter that it was",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(.wipe, everyMilliseconds: 1_500, forMilliseconds: 300, target: .victim),
                    FaultRate(.crash, everyMilliseconds: 800, forMilliseconds: 800),
                    FaultRate(.cut, everyMilliseconds: 1_500, forMilliseconds: 1_000),
                ]
            }),
        Scenario(
            "rolled-back-node", row: 31, "a node whose disk was put back to an older state votes again",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    // Nothing else goes wrong meanwhile: who was put back is found out by peers that are there.
                    FaultRate(.rollBack, everyMilliseconds: 6_000, forMilliseconds: 2_500, target: .victim)
                ]
            }),
        Scenario(
            "unreadable-blocks", row: 25,
            "a block that cannot be read keeps a node away, or is taken for empty",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = DiskDamage.Place.allCases.map { place in
                    FaultRate(
                        .damage, everyMilliseconds: 1_500, forMilliseconds: 400,
                        amount: DiskDamage(place, .unreadableBlock).amount + 1, target: .victim)
                }
                setup.plan.rates.append(FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 400))
            }),
        Scenario(
            "second-process", row: 31, "a copy of a node runs beside it, and both vote",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.rates = [
                    FaultRate(.secondProcess, everyMilliseconds: 1_500, forMilliseconds: 2_000),
                    FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 300),
                    FaultRate(.cut, everyMilliseconds: 2_500, forMilliseconds: 600),
                ]
            }),
        Scenario(
            "helix", row: 39, "every disk is damaged, each in another place, and the cluster is lost",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.snapshotEntryCount = 5_000
                setup.plan.world.segmentSizeBytes = 256 << 10
                setup.plan.constant = [
                    Fault(
                        .damage, atMicroseconds: 1_500_000, durationMicroseconds: 400_000,
                        nodes: NodeSet(count: 3),
                        amount: DiskDamage(.log, .flippedBit, isHelix: true).amount)
                ]
            }),
    ]

    /// The last of three nodes is away while the others go on; they stop, the second one's log is damaged, and
    /// it comes back with the last one, before the first.
    private static let damagedVoter = [
        Fault(.crash, atMicroseconds: 1_500_000, durationMicroseconds: 2_000_000, nodes: NodeSet(2)),
        Fault(.crash, atMicroseconds: 3_000_000, durationMicroseconds: 6_000_000, nodes: NodeSet(0)),
        Fault(.crash, atMicroseconds: 3_000_000, durationMicroseconds: 300_000, nodes: NodeSet(1)),
        Fault(
            .damage, atMicroseconds: 3_100_000, nodes: NodeSet(1),
            amount: DiskDamage(.log, .zeroedBlock).amount),
    ]
}
