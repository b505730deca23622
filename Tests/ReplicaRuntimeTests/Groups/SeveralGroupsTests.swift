import ConsensusTypes
import NIOCore
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// Nodes that host several groups each.
@Suite struct SeveralGroupsTests {
    /// Each group has a leader and a state of its own, and all are in one directory with one log.
    @Test func groupsAreApart() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startGroups([1, 2])
        // A machine that is busy with other things may bring about another election in between.
        var leads: [Bool] = []
        for _ in 0..<100 where leads != [true, false, false, true] {
            try await nodes.lead(1, by: 1)
            try await nodes.lead(2, by: 2)
            leads = try await nodes[0].run { [$0.leads(1), $0.leads(2)] }
            leads += try await nodes[1].run { [$0.leads(1), $0.leads(2)] }
        }
        #expect(leads == [true, false, false, true])
        #expect(try await nodes[2].add(5, to: 1) == 5)
        #expect(try await nodes[2].add(700, to: 2) == 700)
        for number in 0..<3 {
            let id = nodes[number].id
            await nodes[number].stop()
            nodes[number] = try await cluster.start(id, groups: [1, 2])
            // What the restarted node answers was in its log, or came from the leader of the right group.
            for group: UInt64 in [1, 2] {
                try await nodes[number].waitForLeader(of: group)
                let value: Int64 = group == 1 ? 1 : 100
                let expected: Int64 = (group == 1 ? 5 : 700) + value * Int64(number + 1)
                #expect(try await nodes[number].add(value, to: group) == expected)
            }
        }
        for node in nodes {
            #expect(try await node.sum(of: 1) == 8)
            #expect(try await node.sum(of: 2) == 1_000)
            #expect(try await node.run { $0.node.strayMessageCount } == 0)
            #expect(node.endings.all.isEmpty)
        }
        await nodes.stopAll()
        let names = cluster.disk(1).files(under: "/node").map { $0.path.string }
        #expect(names.contains("/node/MEMBERS"))
        #expect(names.contains("/node/MEMBERS-0000000000000002"))
        #expect(names.filter { $0.hasSuffix("ANCHOR") } == ["/node/log/ANCHOR"])
    }

    /// What several groups write in one turn is one batch of the log, so that one sync makes it durable.
    @Test func groupsShareSyncs() async throws {
        let cluster = TestCluster()
        let node = try await cluster.start(1, groups: [1, 2, 3], members: [1])
        for group: UInt64 in 1...3 {
            try await node.waitForLeader(of: group)
            _ = try await node.add(1, to: group)
        }
        let counts = try await [[1], [1, 2, 3]].mapAsync { (groups: [UInt64]) in
            let before = try await node.run { $0.node.lastLogSequence }
            let promises = groups.map { _ in node.loop.makePromise(of: [UInt8].self) }
            try await node.run { node in
                for (group, promise) in zip(groups, promises) {
                    try node.host(group).group.propose(TallyMachine.bytes(1)) {
                        promise.completeWith($0.mapError { $0 })
                    }
                }
            }
            for promise in promises { _ = try await promise.futureResult.get() }
            return try await node.run { $0.node.lastLogSequence } - before
        }
        #expect(counts[0] >= 1)
        #expect(counts[1] == counts[0])
        await node.stop()
    }

    /// A node that is told to stop hands over every group that it leads.
    @Test func aStopHandsOverAllGroups() async throws {
        let cluster = TestCluster()
        // Nobody would campaign by itself for a minute.
        let nodes = try await cluster.startGroups([1, 2, 3]) { options in
            options.replicaSettings.raft.electionTimeoutMilliseconds = 2_000
        }
        for group: UInt64 in 1...3 { try await nodes.lead(group, by: 1) }
        for group: UInt64 in 1...3 { _ = try await nodes[0].add(1, to: group) }
        await nodes[0].node.shutDown()
        for group: UInt64 in 1...3 {
            // It knew another leader of each group when it stopped, or had told one to take over.
            #expect(nodes[0].host(group).replica.core.role != .leader)
        }
        for node in nodes[1...] {
            for group: UInt64 in 1...3 {
                try await node.wait("another leader") {
                    $0.leader(of: group).map { $0 != NodeID(1) } ?? false
                }
            }
        }
        await Array(nodes[1...]).stopAll()
    }

    /// Messages for a group that is not hosted are counted and harm nobody.
    @Test func strayMessagesAreDropped() async throws {
        let cluster = TestCluster()
        let nodes = [
            try await cluster.start(1, groups: [1, 2]), try await cluster.start(2, groups: [1, 2]),
            try await cluster.start(3, groups: [1]),
        ]
        for node in nodes { try await node.waitForLeader(of: 1) }
        try await nodes[2].wait("a message for group 2") { $0.node.strayMessageCount > 0 }
        #expect(try await nodes[2].add(1, to: 1) == 1)
        // Two of three do not know of each other's past in group 2: the third must say that it does not either.
        #expect(try await nodes[0].run { $0.host(2).isRunning } == false)
        await nodes.stopAll()
    }

    /// A group that a later version of a service has comes to running nodes, one after the other.
    @Test func aGroupIsAddedLater() async throws {
        let cluster = TestCluster()
        var nodes = try await cluster.startGroups([1])
        #expect(try await nodes[0].add(5, to: 1) == 5)
        for number in 0..<3 {
            let id = nodes[number].id
            await nodes[number].stop()
            nodes[number] = try await cluster.start(id, groups: [1, 7])
            // The first group does not wait for the new one.
            try await nodes[number].waitForLeader(of: 1)
            #expect(try await nodes[number].add(1, to: 1) == 6 + Int64(number))
        }
        for node in nodes { try await node.waitForLeader(of: 7) }
        #expect(try await nodes[1].add(40, to: 7) == 40)
        for node in nodes { #expect(try await node.sum(of: 7) == 40) }
        await nodes.stopAll()
    }

    /// A group that is not hosted for a while is as it was when it is hosted again, also where the log was used up
    /// and begun anew meanwhile.
    @Test func aGroupThatIsNotHostedIsKept() async throws {
        let cluster = TestCluster()
        func change(_ options: inout ReplicaNodeOptions) {
            options.logOptions = WriteAheadLogOptions(segmentSizeBytes: 8_192)
            options.replicaSettings.snapshotEntryCount = 50
            options.replicaSettings.trailingEntryCount = 5
        }
        var nodes = try await cluster.startGroups([1, 2], change: change)
        #expect(try await nodes[0].add(9, to: 2) == 9)
        await nodes.stopAll()
        nodes = try await cluster.startGroups([1], change: change)
        for number in 1...600 { _ = try await nodes[number % 3].add(1, to: 1) }
        let segments = cluster.disk(1).files(under: "/node/log").filter {
            $0.path.string.hasSuffix(".segment")
        }
        #expect(segments.count < 12)
        await nodes.stopAll()
        nodes = try await cluster.startGroups([1, 2], change: change)
        for node in nodes {
            #expect(try await node.sum(of: 1) == 600)
            #expect(try await node.sum(of: 2) == 9)
        }
        await nodes.stopAll()
    }
}

extension Array {
    fileprivate func mapAsync<Value>(_ body: (Element) async throws -> Value) async rethrows -> [Value] {
        var result: [Value] = []
        for element in self { result.append(try await body(element)) }
        return result
    }
}
