import Testing

@testable import Holdfast

/// A node with an election and two states.
private struct Groups: Sendable {
    let node: HoldfastNode
    let election: LeaderElection
    let first: ReplicatedStateMachine<TallyState>
    let second: ReplicatedStateMachine<TallyState>

    init(_ configuration: NodeConfiguration) throws {
        node = try HoldfastNode(configuration)
        election = try node.election("signer")
        first = try node.stateMachine("first", TallyState.self)
        second = try node.stateMachine("second", TallyState.self)
    }
}

private func whileRunning<Value: Sendable>(
    _ groups: [Groups], expecting expected: NodeRunError? = nil,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        for group in groups {
            tasks.addTask {
                do {
                    try await group.node.run()
                } catch {
                    guard error as? NodeRunError == expected else { throw error }
                }
            }
        }
        let value = try await body()
        tasks.cancelAll()
        try await tasks.waitForAll()
        return value
    }
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct HoldfastNodeTests {
    @Test func groupsOfANodeAreApart() async throws {
        let members = TestMembers()
        let groups = try TestMembers.names.map { try Groups(members.configuration($0)) }
        try await whileRunning(groups) {
            #expect(try await groups[0].first.submit(5) == 5)
            #expect(try await groups[1].second.submit(70) == 70)
            #expect(try await groups[2].first.submit(1) == 6)
            #expect(try await groups[2].second.read(false) == 70)
            // One leads the election, another the state, as is wanted.
            try await eventually("different leaders") {
                let certain = groups.firstIndex { $0.election.leadership.leadership?.isCertain == true }
                guard let leader = certain else { return false }
                for (number, group) in groups.enumerated() where group.first.leadership.leadership != nil {
                    if number != leader { return true }
                    try? await group.first.transferLeadership(to: TestMembers.names[(leader + 1) % 3])
                }
                return false
            }
            #expect(try await groups[0].first.submit(1) == 7)
        }
        await #expect(throws: ElectionEndedError.self) {
            try await groups[0].election.withLeadership { _ in }
        }
        await #expect(throws: SubmitError.stopped) { try await groups[0].second.submit(1) }
    }

    /// What a node held is there again when it starts anew, in every group.
    @Test func groupsOutliveTheirNodes() async throws {
        let members = TestMembers()
        let groups = try TestMembers.names.map { try Groups(members.configuration($0)) }
        let token = try await whileRunning(groups) {
            _ = try await groups[0].first.submit(5)
            _ = try await groups[0].second.submit(70)
            return try await groups.map(\.election).leader().leadership.fencingToken
        }
        let again = try TestMembers.names.map { try Groups(members.configuration($0)) }
        try await whileRunning(again) {
            let first = try await again[1].first.read(false)
            let second = try await again[2].second.read(false)
            let leadership = try await again.map(\.election).leader().leadership
            #expect(first == 5)
            #expect(second == 70)
            #expect(leadership.fencingToken > token)
        }
    }

    /// The members are those of all groups: a node that is added joins each, and one that is removed leaves each.
    @Test func membersAreThoseOfAllGroups() async throws {
        let members = TestMembers()
        let groups = try TestMembers.names.map { try Groups(members.configuration($0)) }
        let joining = try Groups(members.joining("d"))
        try await whileRunning(groups, expecting: .removed) {
            _ = try await groups[0].first.submit(5)
            _ = try await groups[0].second.submit(70)
            let membership = groups[1].node.membership
            try await membership.add(Peer(name: "d", address: ""))
            let node = Task { try await joining.node.run() }
            try await eventually("a vote for the new member") {
                try await ClusterMembershipTests.roles(membership)["d"] == .voter
            }
            #expect(try await joining.first.read(false) == 5)
            #expect(try await joining.second.submit(1) == 71)
            try await membership.remove("a")
            let names = try await membership.list().map(\.name)
            #expect(names == ["b", "c", "d"])
            try await membership.remove("d")
            await #expect(throws: NodeRunError.removed) { try await node.value }
            #expect(try await groups[1].first.submit(1) == 6)
            #expect(try await groups[2].second.submit(1) == 72)
            try await eventually("the end of the first node") { groups[0].first.group.hasEnded }
        }
    }

    @Test func aGroupRunsWithItsNode() async throws {
        let groups = try Groups(TestMembers().configuration("a"))
        await #expect(throws: NodeRunError.runsWithItsNode) { try await groups.election.run() }
        await #expect(throws: NodeRunError.runsWithItsNode) { try await groups.first.run() }
    }

    @Test func groupsAreToldApart() throws {
        let node = try HoldfastNode(TestMembers().configuration("a"))
        _ = try node.election("signer", number: 9)
        #expect(throws: HoldfastNodeError.nameTaken("signer")) {
            try node.stateMachine("signer", TallyState.self)
        }
        #expect(throws: HoldfastNodeError.numberTaken(9, by: "signer")) {
            try node.stateMachine("ledger", TallyState.self, number: 9)
        }
        #expect(throws: HoldfastNodeError.numberReserved(1)) { try node.election("other", number: 1) }
        #expect(throws: HoldfastNodeError.self) { try node.election("not a name") }
        for number in 2..<HoldfastNode.maximumGroups { _ = try node.election("e\(number)") }
        #expect(throws: HoldfastNodeError.tooManyGroups(HoldfastNode.maximumGroups - 1)) {
            try node.election("last")
        }
    }

    /// The numbers are in logs: they must not change.
    @Test func numbersFollowFromNames() {
        #expect(StableHash.group("election signer") == 17_644_970_877_414_528_540)
        #expect(StableHash.group("state ledger") == 1_778_650_072_457_796_781)
    }
}
