import Testing

@testable import Holdfast

@Suite(.serialized, .timeLimit(.minutes(10))) struct ClusterMembershipTests {
    static func roles(_ membership: ClusterMembership) async throws -> [String: ClusterMember.Role] {
        Dictionary(uniqueKeysWithValues: try await membership.list().map { ($0.name, $0.role) })
    }

    @Test func aMemberIsAddedCatchesUpAndIsRemoved() async throws {
        let members = TestMembers()
        let machines = try members.machines()
        let joining = try ReplicatedStateMachine(TallyState.self, members.joining("d"))
        try await whileRunning(machines) {
            _ = try await machines[0].submit(7)
            let membership = machines[1].membership
            #expect(try await Self.roles(membership) == ["a": .voter, "b": .voter, "c": .voter])
            try await membership.add(Peer(name: "d", address: ""))
            let node = Task { try await joining.run() }
            try await eventually("a vote for the new member") {
                try await Self.roles(membership)["d"] == .voter
            }
            #expect(try await joining.read(false) == 7)
            #expect(try await joining.submit(1) == 8)
            await #expect(throws: ClusterMembershipError.self) {
                try await membership.add(Peer(name: "d", address: ""))
            }
            try await membership.remove("d")
            await #expect(throws: NodeRunError.removed) { try await node.value }
            #expect(try await Self.roles(membership).count == 3)
            #expect(try await machines[0].submit(1) == 9)
        }
    }

    @Test func aLearnerIsPromotedAndDemoted() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        let joining = try LeaderElection(named: "test", members.joining("d"))
        try await whileRunning(elections + [joining]) {
            let membership = elections[0].membership
            try await membership.add(Peer(name: "d", address: ""), as: .learner)
            #expect(try await Self.roles(membership)["d"] == .learner)
            try await membership.promote("d")
            #expect(try await Self.roles(membership)["d"] == .voter)
            try await eventually("following") {
                if case .follower = joining.leadership { true } else { false }
            }
            try await membership.demote("d")
            #expect(try await Self.roles(membership)["d"] == .learner)
            await #expect(throws: ClusterMembershipError.self) { try await membership.remove("nobody") }
            await #expect(throws: ClusterMembershipError.self) {
                try await membership.add(Peer(name: "not a name", address: ""))
            }
        }
        await #expect(throws: ClusterMembershipError.stopped) { try await elections[0].membership.list() }
    }

    /// A leader that is removed hands over, and its own election ends.
    @Test func aLeaderIsRemoved() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        try await whileRunning(Array(elections[1...])) {
            let first = Task { try await elections[0].run() }
            let found = Box<Leadership>()
            try await eventually("its leadership") {
                for election in elections[1...] where election.leadership.leadership != nil {
                    await election.resign()
                }
                found.value = elections[0].leadership.leadership
                return found.value != nil
            }
            let leadership = found.value!
            try await elections[1].membership.remove("a", timeout: .seconds(90))
            let new = try await elections.leader(except: 0).leadership
            #expect(new.fencingToken > leadership.fencingToken)
            #expect(!leadership.isCertain)
            await #expect(throws: NodeRunError.removed) { try await first.value }
        }
    }

    /// Two that were removed while they were down come back together, and have each other: both are told, although
    /// whoever removed them leads no more.
    @Test func nodesThatWereRemovedTogetherAreTold() async throws {
        var members = TestMembers()
        members.names = ["a", "b", "c", "d", "e"]
        let elections = try members.elections()
        let back = try members.elections()
        try await whileRunning(Array(elections[..<3])) {
            let gone = elections[3...].map { election in Task { try await election.run() } }
            try await eventually("five that have a leader") {
                elections.allSatisfy { $0.leadership != .unknown }
            }
            for task in gone {
                task.cancel()
                try await task.value
            }
            let membership = elections[0].membership
            try await membership.remove("d", timeout: .seconds(90))
            try await membership.remove("e", timeout: .seconds(90))
            let (leader, _) = try await elections.leader()
            await elections[leader].resign()
            // Longer than links to those that leave are kept; they come back to peers that refuse them.
            try await Task.sleep(for: .milliseconds(2_000))
            let returned = back[3...].map { election in Task { try await election.run() } }
            for task in returned {
                await #expect(throws: NodeRunError.removed) { try await task.value }
            }
        }
    }

    /// Five that lose two become three, which can lose another; and five again, by themselves.
    @Test func silentMembersAreEvictedAndComeBack() async throws {
        var members = TestMembers()
        members.names = ["a", "b", "c", "d", "e"]
        members.evictAfterMilliseconds = 1_000
        let elections = try members.elections()
        let back = try members.elections()
        try await whileRunning(Array(elections[2...])) {
            let gone = elections[..<2].map { election in Task { try await election.run() } }
            try await eventually("five voters that have a leader") {
                elections.allSatisfy { $0.leadership != .unknown }
            }
            for task in gone {
                task.cancel()
                try await task.value
            }
            let membership = elections[2].membership
            try await eventually("two evicted members") {
                let roles = try await Self.roles(membership)
                return roles["a"] == .evicted && roles["b"] == .evicted
            }
            _ = try await elections.leader()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for election in back[..<2] { group.addTask { try await election.run() } }
                try await eventually("five voters again") {
                    try await Self.roles(membership).values.allSatisfy { $0 == .voter }
                }
                group.cancelAll()
            }
        }
    }
}
