// Changes of the membership, transfers of the leadership, leases and evictions.
extension Scenario {
    static let members: [Scenario] = [
        Scenario(
            "membership-in-different-terms", row: 1, "two changes of members make disjoint quorums",
            .simulated { setup in
                setup.setChanges(voters: 4, nodes: 6)
                // A leader appends a change that nobody gets; the next one appends another; the first comes back.
                setup.plan.reactions = [
                    FaultReaction(
                        after: .elected, perThousand: 900, withinMicroseconds: 40_000, .changeMembers,
                        target: .others),
                    FaultReaction(
                        after: .elected, perThousand: 500, withinMicroseconds: 40_000, .removeMember,
                        target: .others),
                    FaultReaction(
                        after: .membershipChanged, perThousand: 300, withinMicroseconds: 3_000, .cut,
                        forMilliseconds: 900, target: .leader),
                ]
                setup.plan.rates = [FaultRate(.addMember, everyMilliseconds: 700)]
            }),
        Scenario(
            "leader-removes-itself", row: 11, "a leader that removed itself crashes, and the group is stuck",
            .simulated { setup in
                setup.setChanges(voters: 4, nodes: 6)
                setup.plan.rates = [
                    FaultRate(.removeMember, everyMilliseconds: 600, target: .leader),
                    FaultRate(.addMember, everyMilliseconds: 400, amount: 3),
                ]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .membershipChanged, perThousand: 150, withinMicroseconds: 20_000, .crash,
                        forMilliseconds: 700, target: .leader),
                    FaultReaction(
                        after: .membershipChanged, perThousand: 80, withinMicroseconds: 20_000, .pause,
                        forMilliseconds: 700, target: .leader),
                ]
            }),
        Scenario(
            "membership-at-commit", row: 12, "a change of members that counts from its commit on",
            .simulated { setup in
                setup.setChanges(voters: 3, nodes: 5)
                setup.plan.rates = [
                    FaultRate(.addMember, everyMilliseconds: 400, amount: 3),
                    FaultRate(.removeMember, everyMilliseconds: 400),
                ]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .membershipChanged, perThousand: 150, withinMicroseconds: 2_000, .crash,
                        forMilliseconds: 600),
                    FaultReaction(
                        after: .membershipChanged, perThousand: 150, withinMicroseconds: 5_000, .cut,
                        forMilliseconds: 600),
                    FaultReaction(
                        after: .membershipChanged, perThousand: 40, withinMicroseconds: 5_000, .crash,
                        forMilliseconds: 600, target: .allNodes),
                ]
            }),
        Scenario(
            "transferred-lease", row: 5, "a leader keeps its lease when it hands over",
            .simulated { setup in
                setup.setChanges(voters: 3, nodes: 3)
                setup.setLeaseReads()
                setup.plan.rates = [
                    FaultRate(.transfer, everyMilliseconds: 250),
                    FaultRate(.drift, everyMilliseconds: 2_000, forMilliseconds: 5_000, amount: 10_000),
                    FaultRate(
                        .gracefulRestart, everyMilliseconds: 3_000, forMilliseconds: 300, target: .leader),
                ]
                setup.plan.reactions = [
                    // What the old leader is told of its successor comes late, and it goes on to serve.
                    FaultReaction(
                        after: .transferBegun, perThousand: 600, withinMicroseconds: 10_000, .cut,
                        forMilliseconds: 400),
                    FaultReaction(
                        after: .transferBegun, perThousand: 200, withinMicroseconds: 10_000, .pause,
                        forMilliseconds: 300),
                ]
            }),
        Scenario(
            "interrupted-transfer", row: 14, "a transfer that was interrupted stays in progress for ever",
            .simulated { setup in
                setup.setChanges(voters: 5, nodes: 5)
                setup.plan.rates = [
                    FaultRate(.transfer, everyMilliseconds: 500),
                    FaultRate(.setPriority, everyMilliseconds: 2_000),
                ]
                setup.plan.reactions = [
                    FaultReaction(
                        after: .transferBegun, perThousand: 400, withinMicroseconds: 3_000, .cut,
                        forMilliseconds: 800, target: .others),
                    FaultReaction(
                        after: .transferBegun, perThousand: 300, withinMicroseconds: 3_000, .crash,
                        forMilliseconds: 500, target: .others),
                ]
            }),
        Scenario(
            "membership-amid-faults", row: 38, "a change of members comes in the middle of everything else",
            .simulated { setup in
                setup.setChanges(voters: 3, nodes: 5)
                setup.setTinySnapshots()
                setup.setLeaseReads()
                setup.plan.world.mixture.leaseHolders = 1
                setup.plan.world.mixture.compaction = 4
                setup.plan.constant = [Fault(.loss, amount: 30), Fault(.reordering, amount: 30)]
                setup.plan.rates = [
                    FaultRate(.addMember, everyMilliseconds: 600),
                    FaultRate(.removeMember, everyMilliseconds: 900),
                    FaultRate(.promoteMember, everyMilliseconds: 800),
                    FaultRate(.demoteMember, everyMilliseconds: 1_500),
                    FaultRate(.changeMembers, everyMilliseconds: 900),
                    FaultRate(.transfer, everyMilliseconds: 1_500),
                    FaultRate(
                        .gracefulRestart, everyMilliseconds: 2_000, forMilliseconds: 500, target: .leader),
                    FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 800),
                    FaultRate(.cut, everyMilliseconds: 2_000, forMilliseconds: 1_000),
                    FaultRate(.pause, everyMilliseconds: 3_000, forMilliseconds: 1_000),
                    FaultRate(.syncStall, everyMilliseconds: 4_000, forMilliseconds: 1_000),
                    FaultRate(.wipe, everyMilliseconds: 5_000, forMilliseconds: 500, target: .victim),
                ]
            }),
        Scenario(
            "evict-and-return", row: 0,
            "dead nodes cost the cluster its tolerance, or come back only with an operator's help",
            .simulated { setup in
                setup.setChanges(voters: 5, nodes: 5)
                setup.stepCount = 40_000
                setup.plan.world.clientPauseMicroseconds = 100_000
                setup.plan.world.evictAfterMilliseconds = 1_000
                setup.plan.constant = [
                    Fault(
                        .crash, atMicroseconds: 3_000_000, durationMicroseconds: 15_000_000, nodes: NodeSet(0)
                    ),
                    Fault(
                        .crash, atMicroseconds: 3_500_000, durationMicroseconds: 15_000_000, nodes: NodeSet(3)
                    ),
                    Fault(
                        .crash, atMicroseconds: 9_000_000, durationMicroseconds: 8_000_000, nodes: NodeSet(4)),
                ]
                setup.plan.demands = [
                    ProgressDemand(fromMilliseconds: 5_000, toMilliseconds: 9_000, entryCount: 20),
                    // Two of the three that are left.
                    ProgressDemand(fromMilliseconds: 10_500, toMilliseconds: 16_000, entryCount: 20),
                    ProgressDemand(fromMilliseconds: 20_000, toMilliseconds: 22_000, entryCount: 10),
                ]
            }),
        Scenario(
            "witness", row: 0, "a witness is taken for a member with data, or stands in the way of one",
            seeds: 1...10,
            .simulated { setup in
                setup.setWitnesses(1, of: 3)
                setup.plan.rates += [
                    FaultRate(.wipe, everyMilliseconds: 4_000, forMilliseconds: 500, target: .victim),
                    FaultRate(.damage, everyMilliseconds: 4_000, forMilliseconds: 500, target: .victim),
                ]
            }),
        Scenario(
            "two-witnesses", row: 0, "what is committed with two witnesses of five is lost with two nodes",
            seeds: 1...10,
            .simulated { setup in
                setup.setWitnesses(2, of: 5)
                // The leader is lost soon after an entry was committed with only so many others.
                setup.plan.reactions = [
                    FaultReaction(
                        after: .committed, perThousand: 3, withinMicroseconds: 2_000, .crash,
                        forMilliseconds: 2_000, target: .leader),
                    FaultReaction(
                        after: .elected, perThousand: 300, withinMicroseconds: 30_000, .cut,
                        forMilliseconds: 800, target: .others),
                ]
            }),
        Scenario(
            "witness-amid-changes", row: 0,
            "a witness that was evicted, removed or wiped comes back as something else",
            seeds: 1...10,
            .simulated { setup in
                setup.setChanges(voters: 5, nodes: 6)
                setup.setTinySnapshots()
                setup.witnessCount = 2
                setup.plan.world.evictAfterMilliseconds = 1_000
                setup.plan.rates = [
                    FaultRate(.addMember, everyMilliseconds: 600, amount: 3),
                    FaultRate(.removeMember, everyMilliseconds: 900),
                    FaultRate(.changeMembers, everyMilliseconds: 1_200),
                    FaultRate(.transfer, everyMilliseconds: 2_000),
                    FaultRate(.crash, everyMilliseconds: 1_500, forMilliseconds: 3_000),
                    FaultRate(.cut, everyMilliseconds: 2_000, forMilliseconds: 1_000),
                    FaultRate(.wipe, everyMilliseconds: 5_000, forMilliseconds: 500, target: .victim),
                ]
            }),
        Scenario(
            "flapping-links", row: 0,
            "links that come and go take the leadership from a leader with a quorum",
            .simulated { setup in
                setup.stepCount = 40_000
                setup.plan.world.clientPauseMicroseconds = 400_000
                setup.plan.keepsLeader = true
                // Each pair in its turn: connected for a second or two, and not for as long.
                let pairs = [(0, 1), (1, 2), (0, 2)]
                setup.plan.constant = (0..<12).map { turn in
                    var links = LinkSet()
                    links.insertBoth(pairs[turn % 3].0, pairs[turn % 3].1)
                    return Fault(
                        .flapping, atMicroseconds: 5_000_000 + UInt64(turn) * 21_000_000,
                        durationMicroseconds: turn % 2 == 0 ? 20_000_000 : 10_000_000, amount: links.bits)
                }
            }),
    ]
}

extension ScenarioSetup {
    /// Nodes join and leave, and elections take a fraction of a second.
    mutating func setChanges(voters: Int, nodes: Int) {
        voterCount = voters
        nodeCount = nodes
        plan.changesMembers = true
        setFastElections()
    }

    /// Witnesses among the members, snapshots every few entries, and faults of every process and link.
    mutating func setWitnesses(_ count: Int, of nodes: Int) {
        nodeCount = nodes
        witnessCount = count
        setFastElections()
        setTinySnapshots()
        plan.rates = [
            FaultRate(.crash, everyMilliseconds: 1_000, forMilliseconds: 800),
            FaultRate(.crash, everyMilliseconds: 2_500, forMilliseconds: 800, target: .leader),
            FaultRate(.cut, everyMilliseconds: 1_500, forMilliseconds: 1_000),
            FaultRate(.pause, everyMilliseconds: 3_000, forMilliseconds: 1_000),
            FaultRate(.syncStall, everyMilliseconds: 3_000, forMilliseconds: 1_000),
        ]
    }

    /// Leaders hold leases, and clients read under them.
    mutating func setLeaseReads() {
        plan.world.promisesLeases = true
        plan.world.mixture.leaseRead = 12
        plan.world.clientPauseMicroseconds = 20_000
    }
}
