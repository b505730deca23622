import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// Nodes 1 and 2 have the data, node 3 is a witness.
@Suite struct WitnessRepairTests {
    private let world = AdmissionWorld(3, witnesses: [3])

    private func bootstrap() -> [Entry] {
        world.bootstrap(entryCount: 9)
        return world[1].entries
    }

    /// A witness cannot make up for what a node with data lost; only another node with data can.
    @Test func aWitnessIsNoSourceOfData() {
        let original = bootstrap()
        let left = world.left(of: 2, without: 4...6)
        world.stop(1)
        world.stop(2)
        world.start(2, left: left)
        world.settle()
        #expect(!world[2].isActive)
        let given = world.delivered.contains { delivered in
            guard case .entries(let answer) = delivered.message else { return false }
            return answer.excerpt.holdsBoundary
        }
        #expect(!given)
        world.start(1)
        world.settle()
        expectExact(world[2], original)
        #expect(world[2].entries.allSatisfy { $0.kind == .command })
    }

    /// Should one say otherwise, what comes without data is not taken for the real thing.
    @Test func withheldEntriesAreNotTakenForReal() {
        let original = bootstrap()
        world[3].group?.isWitness = false
        let left = world.left(of: 2, without: 4...6)
        world.stop(1)
        world.stop(2)
        world.start(2, left: left)
        world.settle()
        let given = world.delivered.contains { delivered in
            guard case .entries(let answer) = delivered.message else { return false }
            return answer.excerpt.entries.contains { $0.kind == .withheld }
        }
        #expect(given)
        #expect(!world[2].isActive)
        #expect(world[2].admission?.rarePaths.contains(.withheldRefusedByDataMember) == true)
        world.start(1)
        world.settle()
        expectExact(world[2], original)
        #expect(world[2].entries.allSatisfy { $0.kind == .command })
    }

    /// A node with data that is under repair itself helps others as far as it can; a witness does not.
    @Test func aWitnessUnderRepairGivesNothing() {
        _ = bootstrap()
        let left = world.left(of: 3, without: 8...9)
        let other = world.left(of: 2, without: 4...6)
        for number in 1...3 { world.stop(number) }
        world.start(3, left: left)
        world.start(2, left: other)
        world.settle()
        // The witness lacked nothing that the other still has.
        #expect(world[3].isActive && !world[2].isActive)
        for delivered in world.delivered where delivered.from == NodeID(3) {
            guard case .entries(let answer) = delivered.message else { continue }
            #expect(answer.excerpt == LogExcerpt())
        }
    }

    /// A damaged witness is restored exactly, from nodes with data, and keeps none of it.
    @Test func aWitnessIsRestoredWithoutData() {
        let original = bootstrap().map(\.asWithheld)
        let left = world.left(of: 3, without: 4...6)
        world.stop(3)
        world.start(3, left: left)
        world.settle()
        expectExact(world[3], original)
        #expect(world[3].entries.allSatisfy { $0.kind == .withheld })
    }

    /// A wiped witness is adopted, and of a snapshot it learns only what it is of.
    @Test func aWipedWitnessIsAdoptedWithoutData() {
        _ = bootstrap()
        let snapshot = compact(world, at: 7, of: [1, 2])
        world.wipe(3)
        world.start(3)
        world.settle()
        #expect(world[3].isActive)
        #expect(world[3].base == snapshot.asWithheld)
        #expect(world[3].entries.map(\.index.rawValue) == [8, 9, 10])
        #expect(world[3].entries.prefix(2).allSatisfy { $0.kind == .withheld })
        var asked = 0
        for delivered in world.delivered {
            guard case .snapshotRequest(let request) = delivered.message else { continue }
            asked += 1
            #expect(request.maximumSizeBytes == 1)
        }
        #expect(asked == 1)
        // As a leader it never adopts, and to others it has no snapshot.
        world.wipe(2)
        world.stop(1)
        world.start(2)
        world.settle()
        #expect(!world[2].isActive)
        world.start(1)
        world.lead(1, term: 2)
        world.settle()
        #expect(world[2].isActive && world[2].base == snapshot)
    }
}
