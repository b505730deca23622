import ConsensusTypes
import Testing

@testable import Holdfast

/// Two members with data and a witness.
@Suite(.serialized, .timeLimit(.minutes(10))) struct WitnessTests {
    /// It counts, and sends everybody to the others; whoever leads may be lost.
    @Test func aWitnessCountsAndAnswersNobody() async throws {
        let members = TestMembers(witnesses: ["c"])
        let machines = try members.machines()
        try await whileRunning(machines) {
            #expect(try await machines[0].submit(10) == 10)
            #expect(try await machines[1].submit(1) == 11)
            await #expect(throws: SubmitError.witness) { try await machines[2].submit(1) }
            for consistency in [ReadConsistency.linearizable, .lease, .stale] {
                await #expect(throws: ReadError.witness) {
                    try await machines[2].read(false, consistency: consistency)
                }
            }
            let roles = try await ClusterMembershipTests.roles(machines[2].membership)
            #expect(roles == ["a": .voter, "b": .voter, "c": .witness])
            // The one that leads is cut off: the other goes on with the witness.
            let old = machines[..<2].firstIndex { $0.leadership.leadership != nil } ?? 0
            members.memory.isolate(TestMembers.names[old])
            #expect(try await machines[1 - old].submit(1) == 12)
            #expect(machines[2].leadership.leadership == nil)
        }
    }

    /// It joins as a learner, and votes by itself once it has caught up.
    @Test func aWitnessIsAdded() async throws {
        let members = TestMembers()
        let machines = try members.machines()
        let joining = try ReplicatedStateMachine(TallyState.self, members.joining("d"))
        try await whileRunning(machines + [joining]) {
            _ = try await machines[0].submit(7)
            let membership = machines[1].membership
            try await membership.add(Peer(name: "d", address: ""), as: .witness)
            try await eventually("that it knows what it is") {
                do {
                    _ = try await joining.read(false, timeout: .seconds(1))
                    return false
                } catch {
                    return error as? ReadError == .witness
                }
            }
            #expect(try await ClusterMembershipTests.roles(membership)["d"] == .witness)
            // It stays one.
            await #expect(throws: ClusterMembershipError.self) {
                try await membership.replace("d", by: Peer(name: "d", address: ""))
            }
            await #expect(throws: ClusterMembershipError.self) {
                try await membership.add(Peer(name: "e", address: ""), as: .evicted)
            }
            #expect(try await machines[2].submit(1) == 8)
        }
    }

    /// A witness elects, and is never elected.
    @Test func aWitnessElectsOthers() async throws {
        let elections = try TestMembers(witnesses: ["b"]).elections()
        try await whileRunning(elections) {
            let (first, _) = try await elections.leader()
            #expect(first != 1)
            await elections[first].resign()
            let (second, _) = try await elections.leader(except: first)
            #expect(second != 1)
        }
    }
}
