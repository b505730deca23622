// The log: replication, truncation and snapshots.
extension Scenario {
    static let logs: [Scenario] = [
        Scenario(
            "heartbeats-race-appends", row: 13, "heartbeats that overtake appends make logs differ",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.maximumAppendSizeBytes = 200
                setup.plan.maximumDelayMicroseconds = 30_000
                setup.plan.constant = [
                    Fault(.reordering, amount: 300), Fault(.duplication, amount: 200),
                    Fault(.loss, amount: 50),
                ]
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 500, target: .leader),
                    FaultRate(.cut, everyMilliseconds: 1_500, forMilliseconds: 1_000),
                ]
            }),
        Scenario(
            "snapshot-keeps-conflict", row: 15,
            "a snapshot is installed over a suffix that conflicts with it, which stays",
            .simulated { setup in
                setup.setFastElections()
                setup.clientCount = 12
                setup.plan.world.clientPauseMicroseconds = 10_000
                setup.plan.world.clientPatienceMilliseconds = 500
                setup.plan.world.snapshotEntryCount = 3
                setup.plan.world.trailingEntryCount = 0
                setup.plan.reactions = [
                    // The old leader gathers entries that nobody else has, and is back as soon as its
                    // successor has a snapshot that ends among them.
                    FaultReaction(
                        after: .elected, perThousand: 900, withinMicroseconds: 300_000, .cut,
                        forMilliseconds: 900),
                    FaultReaction(
                        after: .truncated, perThousand: 700, withinMicroseconds: 200_000, .crash,
                        forMilliseconds: 300),
                ]
            }),
        Scenario(
            "late-snapshot", row: 16, "a snapshot that is behind the log deletes what was acknowledged",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.maximumDelayMicroseconds = 20_000
                setup.plan.constant = [
                    Fault(.reordering, amount: 200), Fault(.duplication, amount: 200),
                ]
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 800, forMilliseconds: 800),
                    FaultRate(.pause, everyMilliseconds: 1_500, forMilliseconds: 800, target: .follower),
                ]
            }),
        Scenario(
            "append-amid-snapshot", row: 16,
            "entries that arrive while a snapshot is being stored are lost, or stand twice", seeds: 1...30,
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.world.snapshotChunkSizeBytes = 64 << 10
                setup.plan.world.maximumAppendSizeBytes = 300
                setup.plan.world.clientPauseMicroseconds = 4_000
                setup.plan.maximumDelayMicroseconds = 2_000
                setup.plan.hasStaleMessages = true
                setup.plan.constant = [Fault(.reordering, amount: 200)]
                setup.plan.rates = [
                    FaultRate(.pause, everyMilliseconds: 300, forMilliseconds: 100, target: .follower),
                    FaultRate(.syncStall, everyMilliseconds: 100, forMilliseconds: 100, target: .follower),
                    FaultRate(.loss, everyMilliseconds: 300, forMilliseconds: 100, amount: 500),
                ]
            }),
        Scenario(
            "two-snapshots", row: 17, "two snapshots one after the other, then a restart",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.reactions = [
                    FaultReaction(
                        after: .snapshotStored, perThousand: 60, withinMicroseconds: 5_000, .crash,
                        forMilliseconds: 600),
                    FaultReaction(
                        after: .snapshotBegun, perThousand: 60, withinMicroseconds: 3_000, .crashAtOperation,
                        forMilliseconds: 600, amount: 12),
                ]
            }),
        Scenario(
            "crash-after-snapshot", row: 22, "a crash of all nodes while a snapshot takes the log's place",
            .simulated { setup in
                setup.setFastElections()
                setup.setTinySnapshots()
                setup.plan.world.segmentSizeBytes = 8 << 10
                setup.plan.world.mixture.valueSizeBytes = 400
                setup.plan.maximumSyncMicroseconds = 20_000
                setup.plan.reactions = [
                    FaultReaction(
                        after: .snapshotStored, perThousand: 40, withinMicroseconds: 30_000, .crash,
                        forMilliseconds: 200, target: .allNodes)
                ]
            }),
        Scenario(
            "commit-beyond-log", row: 18, "a heartbeat's commit index is beyond what the follower holds",
            .simulated { setup in
                setup.setFastElections()
                setup.plan.world.maximumAppendSizeBytes = 100
                setup.plan.maximumSyncMicroseconds = 30_000
                setup.plan.constant = [Fault(.loss, amount: 200), Fault(.reordering, amount: 200)]
                setup.plan.rates = [
                    FaultRate(.crash, everyMilliseconds: 700, forMilliseconds: 400, target: .follower),
                    FaultRate(.syncStall, everyMilliseconds: 1_500, forMilliseconds: 1_000),
                    FaultRate(.cut, everyMilliseconds: 1_500, forMilliseconds: 800, target: .leader),
                ]
            }),
        Scenario(
            "crash-in-truncation", row: 19, "a crash while a suffix is replaced leaves a hole",
            .simulated { setup in
                setup.nodeCount = 5
                setup.setFastElections()
                setup.plan.maximumSyncMicroseconds = 10_000
                setup.plan.reactions = [
                    FaultReaction(
                        after: .truncated, perThousand: 600, withinMicroseconds: 12_000, .crash,
                        forMilliseconds: 500),
                    FaultReaction(
                        after: .truncated, perThousand: 300, withinMicroseconds: 1, .crashAtOperation,
                        forMilliseconds: 500, amount: 4),
                    FaultReaction(
                        after: .elected, perThousand: 800, withinMicroseconds: 400_000, .cut,
                        forMilliseconds: 900),
                ]
            }),
        Scenario(
            "snapshot-read-error", row: 32, "an error while the leader reads its log becomes a bad append",
            .elsewhere(
                "the leader's log is in memory; snapshots that cannot be read: Tests/ReplicaRuntimeTests, and "
                    + "the scenario damaged-snapshot")),
    ]
}

extension ScenarioSetup {
    /// A snapshot after every few entries, sent in small pieces.
    mutating func setTinySnapshots() {
        plan.world.snapshotEntryCount = 5
        plan.world.trailingEntryCount = 1
        plan.world.snapshotChunkSizeBytes = 300
    }
}
