import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// How a node comes by what it lacks: exactly what it had, or what a leader gives it.
@Suite struct NodeRepairTests {
    // MARK: Exact restoration

    @Test func aHoleInTheMiddleIsFilled() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        let original = world[2].entries
        let left = world.left(of: 2, without: 5...8)
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 2)
        expectExact(world[2], original)
        #expect(world[2].admission?.rarePaths.contains(.restoredExactly) == true)
    }

    @Test func aLostEndIsFilled() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        let original = world[2].entries
        let left = world.left(of: 2, without: 15...20)
        // No leader: none is needed.
        for number in 1...3 { world.stop(number) }
        world.start(2, left: left)
        world.settle(seconds: 8)
        #expect(!world[2].isActive)
        #expect(world[2].reports.contains { $0.contains("lacks entries 15 to 20") })
        world.start(1)
        world.settle(seconds: 2)
        expectExact(world[2], original)
    }

    /// Three disks with a bad block each, in different places: each node has what the others lack.
    @Test func allNodesAreDamagedAtDifferentPlaces() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 30)
        let original = world[1].entries
        let lefts = [(1, 3...7), (2, 12...18), (3, 25...30)].map { ($0, world.left(of: $0, without: $1)) }
        for number in 1...3 { world.stop(number) }
        for (number, left) in lefts { world.start(number, left: left) }
        world.settle(seconds: 5)
        for number in 1...3 { expectExact(world[number], original) }
    }

    /// Node 1 lacks the boundary of node 2's hole: node 2 helps node 1 first.
    @Test func nodesUnderRepairHelpEachOtherInTurn() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 30)
        let original = world[1].entries
        let lefts = [(1, 9...9), (2, 5...8)].map { ($0, world.left(of: $0, without: $1)) }
        for number in 1...3 { world.stop(number) }
        for (number, left) in lefts { world.start(number, left: left) }
        world.settle(seconds: 5)
        for number in 1...2 { expectExact(world[number], original) }
    }

    /// Damage with no intact copy anywhere: it is said, and nothing is served.
    @Test func whatNobodyHasIsWaitedFor() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 30)
        let lefts = (1...3).map { ($0, world.left(of: $0, without: 10...12)) }
        for number in 1...3 { world.stop(number) }
        for (number, left) in lefts { world.start(number, left: left) }
        world.settle(seconds: 60)
        for number in 1...3 {
            #expect(!world[number].isActive)
            #expect(world[number].outcome == nil)
            #expect(world[number].reports.contains { $0.contains("lacks entries 10 to 12") })
        }
    }

    @Test func aDamagedSnapshotIsTakenFromAPeer() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 40)
        let snapshot = compact(world, at: 25)
        let tail = world[2].entries
        let left = SalvagedState(
            hardState: world[2].hardState, base: nil, lostSnapshot: snapshot.position, runs: [tail],
            isEndTrusted: true)
        world.stop(2)
        world[2].snapshots = []
        world.start(2, left: left)
        world.settle(seconds: 2)
        #expect(world[2].isActive)
        #expect(world[2].base == snapshot)
        #expect(world[2].entries == tail)
    }

    /// The peers have dropped what the hole held: their snapshot covers it.
    @Test func aSnapshotStandsForAHoleThatItCovers() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 40)
        let left = world.left(of: 2, without: 5...8)
        let end = world[2].entries.last
        let original = world[2].entries
        let snapshot = compact(world, at: 25, of: [1, 3])
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 2)
        #expect(world[2].isActive)
        #expect(world[2].base == snapshot)
        #expect(world[2].entries == original.filter { $0.index > snapshot.index })
        #expect(world[2].entries.last == end)
    }

    /// A peer whose own snapshot cannot be read is left for another.
    @Test func anUnreadableSnapshotIsHadElsewhere() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 40)
        let left = world.left(of: 2, without: 5...8)
        let snapshot = compact(world, at: 25, of: [1, 3])
        world[1].hasUnreadableSnapshots = true
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 4)
        #expect(world[2].isActive)
        #expect(world[2].base == snapshot)
    }

    /// The repair begins anew after a crash, and ends as it would have.
    @Test func aCrashDuringTheRepairLosesNothing() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 40)
        let original = world[2].entries
        let left = world.left(of: 2, without: 5...30)
        world.stop(2)
        world.setLink(2, 3, isUp: false)
        world.start(2, left: left)
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 2)
        expectExact(world[2], original)
    }

    // MARK: Adoption

    /// The end that was lost was acknowledged by nobody else: no peer has the entry, so a leader adopts.
    @Test func aSuffixThatNobodyElseHasIsGivenUpForAdoption() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        let committed = world[1].entries
        var left = world.left(of: 2, without: 21...21)
        left.lostEnd = LogPosition(term: Term(1), index: LogIndex(23))
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 5)
        expectAdopted(world, 2, committed)
    }

    @Test func aWipedNodeIsAdopted() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        let committed = world[1].entries
        world.wipe(2)
        world.start(2)
        world.settle(seconds: 5)
        expectAdopted(world, 2, committed)
        #expect(world[2].admission?.rarePaths.contains(.wipedNodeReturned) == true)
    }

    @Test func aWipedNodeWaitsWithoutAQuorumOfTheOthers() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        world.wipe(2)
        world.stop(1)
        world.stop(3)
        // Only node 3 comes back: it can elect nobody without node 2, and says that it knew another directory.
        world.start(3)
        world.start(2)
        world.settle(seconds: 30)
        #expect(!world[2].isActive)
        world.start(1)
        world.lead(1, term: 2)
        world.settle(seconds: 5)
        #expect(world[2].isActive)
        #expect(world[2].entries.count >= 20)
    }

    @Test func aWipedNodeTakesALeadersSnapshot() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 60)
        let snapshot = compact(world, at: 50)
        world.wipe(3)
        world.start(3)
        world.settle(seconds: 5)
        #expect(world[3].isActive)
        #expect(world[3].base == snapshot)
        #expect(world[3].entries == world[1].entries)
        let fetched = world.delivered.filter {
            if case .entriesRequest = $0.message, $0.from == world[3].id { true } else { false }
        }
        #expect(fetched.count < 8)
    }

    @Test func whatCannotBeToldIsAdopted() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        let committed = world[1].entries
        let left = world.left(of: 2, without: 15...20, isEndTrusted: false)
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 5)
        expectAdopted(world, 2, committed)
        #expect(world[2].hardState.votedFor == NodeID(1))
    }

    /// The vote that is remembered of a later term stays.
    @Test func aRememberedVoteSurvivesAdoption() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        var left = world.left(of: 2, without: 21...21)
        left.lostEnd = LogPosition(term: Term(1), index: LogIndex(23))
        left.hardState = HardState(term: Term(7), votedFor: NodeID(3))
        world.stop(2)
        world.start(2, left: left)
        world.settle(seconds: 5)
        #expect(world[2].isActive)
        #expect(world[2].hardState.term == Term(7))
        #expect(world[2].hardState.votedFor == NodeID(3))
    }

    /// The entry must be committed, and while its leader leads.
    @Test func aLeaderThatLosesItsTermAdoptsNobody() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        world.commits = false
        world.wipe(2)
        world.start(2)
        world.settle(seconds: 3)
        #expect(world[1].group!.barrierCount > 0)
        #expect(!world[2].isActive)
        // Another leader, without the barrier, commits entries of its own in its place.
        world[3].group!.entries += (21...25).map {
            Entry(index: LogIndex(UInt64($0)), term: Term(2), kind: .command)
        }
        world.lead(3, term: 2)
        world.commits = true
        world.settle(seconds: 5)
        #expect(world[2].isActive)
        #expect(world[2].entries.filter { $0.term == Term(2) && $0.kind == .command }.count == 5)
        #expect(world[2].entries == world[3].entries)
    }

    /// The entry is appended after the request: what was committed before it cannot be missed.
    @Test func theBarrierComesAfterTheRequest() throws {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 20)
        world.wipe(2)
        world.start(2)
        world.settle(seconds: 3)
        guard case .restored(_, let adoptedAt) = world[2].outcome else {
            Issue.record("\(String(describing: world[2].outcome))")
            return
        }
        #expect(try #require(adoptedAt) > LogIndex(20))
    }

    /// What an earlier start of the node asked says nothing of this one, which may have taken part in between.
    @Test func aRequestOfAnotherStartIsRefused() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 5)
        world.wipe(2)
        world.setLink(2, 1, isUp: false)
        world.start(2)
        world.settle(seconds: 1)
        let leader = world[1].admission!
        let introduction = Introduction(
            directory: world[2].directory, startCount: 1, incarnation: 77, stage: .underRepair)
        leader.receive(.introduction(introduction), from: world[2].id, now: world.now)
        leader.receive(
            .adoptionRequest(number: 76 << 32 + 1, group: GroupID(1)), from: world[2].id, now: world.now)
        #expect(world[1].group!.barrierCount == 0)
        leader.receive(
            .adoptionRequest(number: 77 << 32 + 1, group: GroupID(1)), from: world[2].id, now: world.now)
        #expect(world[1].group!.barrierCount == 1)
    }
}
