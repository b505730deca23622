import ConsensusTypes
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// Logs that obey Log Matching, damaged at random, are put together again from other such logs: what comes out
/// is what was there, or nothing does.
@Suite struct LogRepairTests {
    @Test(arguments: 0..<1_000) func whatIsRestoredIsWhatWasThere(seed: Int) throws {
        var world = LogWorld(seed: UInt64(seed))
        world.live(termCount: 8)
        let victim = Int(world.random.next(below: 3))
        let original = world.logs[victim].entries
        let left = world.damage(victim)
        var repair = LogRepair(left, membership: LogWorld.membership)
        let peers = (0..<3).filter { $0 != victim }
        world.feed(&repair, from: peers)
        if repair.isComplete {
            #expect(repair.base?.index == .zero)
            #expect(Array(repair.upper) == original, "seed \(seed)")
        } else {
            // Then the entry is in no other log.
            let boundary = try #require(repair.boundary)
            #expect(
                !peers.contains { world.logs[$0].entries.contains { $0.position == boundary } },
                "seed \(seed)")
        }
    }

    /// With snapshots the result agrees with all that is committed and keeps what was after it.
    @Test(arguments: 0..<1_000) func snapshotsStandForWhatIsCommitted(seed: Int) throws {
        var world = LogWorld(seed: UInt64(seed) + 10_000)
        world.live(termCount: 8)
        let victim = Int(world.random.next(below: 3))
        let original = world.logs[victim].entries
        let committed = world.committed
        guard committed.count > 2 else { return }
        let left = world.damage(victim)
        var repair = LogRepair(left, membership: LogWorld.membership)
        let peers = (0..<3).filter { $0 != victim }
        let snapshot = world.snapshot(at: 1 + Int(world.random.next(below: UInt64(committed.count - 1))))
        let isEarly = world.random.chance(1, outOf: 2)
        if isEarly, repair.isHelped(by: snapshot.position) { repair.install(snapshot) }
        world.feed(&repair, from: peers)
        if !isEarly, repair.isHelped(by: snapshot.position) {
            repair.install(snapshot)
            world.feed(&repair, from: peers)
        }
        guard repair.isComplete, let base = repair.base else { return }
        let result = committed.prefix(base.index - .zero) + Array(repair.upper)
        // Every committed entry that the node had is there.
        for (mine, theirs) in zip(original, committed) where mine == theirs {
            #expect(result.count >= mine.index - .zero)
            #expect(result[mine.index - .zero - 1] == mine, "seed \(seed)")
        }
        #expect(LogRepair.isContiguous(Array(result)))
        // Nothing came in that is neither committed nor was there.
        for entry in repair.upper {
            #expect(original.contains(entry) || committed.contains(entry), "seed \(seed): \(entry.position)")
        }
        // And nothing that might still be committed was dropped.
        let agrees = zip(original, committed).allSatisfy { $0 == $1 }
        if agrees, original.count > committed.count {
            #expect(Array(result) == original, "seed \(seed)")
        }
    }

    /// Towards a leader's entry: whatever was there before, the result is the leader's log up to there.
    @Test(arguments: 0..<1_000) func adoptionEndsWithTheLeadersLog(seed: Int) {
        var world = LogWorld(seed: UInt64(seed) + 20_000)
        world.live(termCount: 8)
        let victim = Int(world.random.next(below: 3))
        let left = world.damage(victim)
        let leader = (0..<3).filter { $0 != victim }.max { world.logs[$0].end < world.logs[$1].end }!
        world.lead(leader, count: 1)
        let log = world.logs[leader].entries
        var repair = LogRepair(
            left, target: log[log.count - 1].position, membership: LogWorld.membership)
        world.feed(&repair, from: [leader])
        #expect(repair.isComplete)
        #expect(Array(repair.upper) == log, "seed \(seed)")
    }

    /// Own entries below a hole that were replaced by what is lost do not come back.
    @Test func replacedEntriesStayReplaced() {
        let old = LogWorld.entries(1...20, term: 1)
        let new = LogWorld.entries(15...20, term: 2)
        let left = SalvagedState(
            hardState: HardState(term: Term(2)), base: LogWorld.base,
            runs: [old, LogWorld.entries(19...20, term: 2)].map { Array($0) }.enumerated().map {
                $0.offset == 0 ? Array($0.element.prefix(18)) : $0.element
            }, isEndTrusted: true)
        var repair = LogRepair(left, membership: LogWorld.membership)
        #expect(!repair.isComplete)
        let whole = Array(old.prefix(14)) + new
        while !repair.isComplete {
            let request = LogWorld.request(repair)
            guard repair.add(LogWorld.excerpt(of: whole, request)) else { break }
        }
        #expect(repair.isComplete)
        #expect(Array(repair.upper) == whole)
    }

    /// Own entries that a committed snapshot contradicts were never committed, and go.
    @Test func aSnapshotOverrulesOwnEntries() {
        let log = LogWorld.entries(1...10, term: 1)
        let left = SalvagedState(
            hardState: HardState(term: Term(2)), base: LogWorld.base,
            runs: [Array(log.prefix(3)), Array(log.suffix(5))], isEndTrusted: true)
        var repair = LogRepair(left, membership: LogWorld.membership)
        repair.install(
            SnapshotMetadata(index: LogIndex(8), term: Term(2), membership: LogWorld.membership))
        #expect(repair.isComplete)
        #expect(repair.upper.isEmpty)
        repair = LogRepair(left, membership: LogWorld.membership)
        repair.install(
            SnapshotMetadata(index: LogIndex(8), term: Term(1), membership: LogWorld.membership))
        #expect(repair.isComplete)
        #expect(Array(repair.upper) == Array(log.suffix(2)))
    }

    @Test func whatDoesNotFitIsRefused() {
        let log = LogWorld.entries(1...10, term: 1)
        let left = SalvagedState(
            hardState: HardState(term: Term(1)), base: LogWorld.base,
            runs: [Array(log.prefix(3)), Array(log.suffix(3))], isEndTrusted: true)
        let repair = LogRepair(left, membership: LogWorld.membership)
        let good = LogWorld.excerpt(of: log, LogWorld.request(repair))
        func isRefused(_ change: (inout LogExcerpt) -> Void) -> Bool {
            var bad = good
            change(&bad)
            var copy = repair
            return !copy.add(bad)
        }
        #expect(isRefused { $0.holdsBoundary = false })
        #expect(isRefused { $0.entries.removeLast() })
        #expect(isRefused { $0.entries.remove(at: 1) })
        #expect(isRefused { $0.entries = LogWorld.entries(5...7, term: 2) })
        #expect(isRefused { $0.previous = LogPosition(term: Term(1), index: LogIndex(1)) })
        #expect(isRefused { $0.entries = [] })
        var copy = repair
        let fits = copy.add(good)
        #expect(fits)
        #expect(copy.isComplete)
    }
}
