import ConsensusTypes
import Testing

@testable import KeyValueCore

@Suite struct ModelTests {
    /// Random commands on the store and on a plain model; every answer and everything that can be read must
    /// agree. A second store passes through snapshots and prunes at other times, and must stay equal.
    @Test(arguments: 0..<60)
    func agreesWithReference(seed: Int) throws {
        var generator = CommandGenerator(seed: UInt64(seed))
        var store = KeyValueStore()
        var twin = KeyValueStore()
        var reference = ReferenceStore()
        var frozen: [(KeyValueStore, [String])] = []
        for step in 0..<160 {
            generator.observe(store)
            let command = try roundTripped(generator.command())
            let result = store.apply(command)
            #expect(result == reference.apply(command), "step \(step): \(command)")
            #expect(twin.apply(command) == result)
            if generator.pick(12) == 0 { twin = try twin.restored(chunkSize: 1 + generator.pick(300)) }
            if generator.pick(12) == 0 { _ = twin.prune(maximumRecords: 1 + generator.pick(20)) }
            for _ in 0..<4 {
                let request = generator.rangeRequest()
                expectSame(store, reference, request)
            }
            if step % 40 == 39 {
                #expect(store.problem == nil)
                #expect(twin.problem == nil)
                #expect(twin.observation == store.observation)
                expectSameEvents(store, reference, &generator)
                frozen.append((store, store.observation))
            }
        }
        for (copy, observation) in frozen { #expect(copy.observation == observation) }
        for lease in store.leaseIDs {
            let keys = reference.pairs(.all, at: reference.revision).filter { $0.lease == lease }.map(\.key)
            #expect(store.lease(lease)?.keys == keys)
        }
        #expect(store.leaseIDs.map(\.rawValue) == reference.leases.keys.sorted())
        while store.prune(maximumRecords: 7) {}
        #expect(store.observation == twin.observation)
        #expect(store.problem == nil)
        #expect(!store.hasHistoryToPrune)
    }

    private func roundTripped(_ command: Command) throws -> Command {
        let decoded = try Command.decode(ByteSlice(command.encode()))
        #expect(decoded == command)
        return decoded
    }

    private func expectSame(_ store: KeyValueStore, _ reference: ReferenceStore, _ request: RangeRequest) {
        let expected: Result<RangeResponse, KeyValueError>
        let found: Result<RangeResponse, KeyValueError>
        do throws(KeyValueError) { expected = .success(try reference.range(request)) } catch {
            expected = .failure(error)
        }
        do throws(KeyValueError) { found = .success(try store.range(request)) } catch {
            found = .failure(error)
        }
        #expect(found == expected, "\(request)")
    }

    private func expectSameEvents(
        _ store: KeyValueStore, _ reference: ReferenceStore, _ generator: inout CommandGenerator
    ) {
        for _ in 0..<10 {
            let selection = EventSelection(
                range: generator.range(), includesPuts: generator.pick(4) != 0,
                includesDeletes: generator.pick(4) != 0, previousKeyValues: generator.pick(2) == 0)
            let first = max(store.revision - Int64(generator.pick(40)), store.compactRevision, 1)
            let limits = EventLimits(
                maximumEvents: .max, maximumSizeBytes: .max, maximumExamined: .max)
            let page = try? store.events(
                from: first, through: store.revision, matching: selection, limits: limits)
            #expect(page?.events == reference.events(from: first, matching: selection))
        }
    }

    /// Compaction frees what no reader can reach: exactly the versions that remain observable are kept.
    @Test(arguments: 0..<20)
    func compactionLeavesNothingBehind(seed: Int) throws {
        var generator = CommandGenerator(seed: UInt64(seed) + 1_000)
        var store = KeyValueStore()
        for _ in 0..<300 {
            generator.observe(store)
            _ = store.apply(generator.command())
        }
        let target = store.revision
        if store.compactRevision < target { try store.compact(to: target) }
        while store.prune(maximumRecords: 3) {}
        let unlimited = EventLimits(maximumEvents: .max, maximumSizeBytes: .max, maximumExamined: .max)
        let atTarget = try store.events(
            from: target, through: target, matching: EventSelection(range: .all), limits: unlimited)
        let olderKeys = try store.range(RangeRequest(range: .all)).keyValues.filter {
            $0.modRevision < target
        }
        #expect(store.versionCount == olderKeys.count + atTarget.events.count)
        // One more change and compaction, and the deletions of the last one are gone as well.
        try store.put("zz")
        try store.compact(to: store.revision)
        while store.prune(maximumRecords: 1_000) {}
        #expect(store.versionCount == store.keyCount)
        #expect(store.problem == nil)
    }

    /// However far pruning has come, what can be observed is the same, also after a second compaction in its
    /// middle.
    @Test func pruningIsNotObservable() throws {
        var store = KeyValueStore()
        for step in 0..<9_000 {
            try store.put("k\(step % 700)", "\(step)")
            if step % 5 == 0 { try store.delete("k\(step % 350)") }
        }
        try store.compact(to: store.revision - 200)
        #expect(store.hasHistoryToPrune)
        var eager = store
        while eager.prune(maximumRecords: 100) {}
        #expect(eager.versionCount < store.versionCount)
        #expect(try eager.hash(atRevision: 0) == store.hash(atRevision: 0))
        #expect(
            try eager.hash(atRevision: store.revision - 100) == store.hash(atRevision: store.revision - 100))
        #expect(
            try eager.hash(atRevision: store.compactRevision) == store.hash(atRevision: store.compactRevision)
        )
        for target in [150, 149, 148, 147, 146, 145, 1].map({ store.revision - $0 }) {
            try store.compact(to: target)
            try eager.compact(to: target)
            while eager.prune(maximumRecords: 100) {}
            // Also where the pair before an event is compacted, but not freed yet.
            let all = EventSelection(range: .all, previousKeyValues: true)
            let events = try store.events(from: target, through: store.revision, matching: all)
            #expect(try events == eager.events(from: target, through: store.revision, matching: all))
            #expect(events.events[0].previous == nil)
            #expect(try eager.hash(atRevision: 0) == store.hash(atRevision: 0))
            #expect(eager.keyCount == store.keyCount)
        }
        let restored = try store.restored()
        #expect(restored.hasHistoryToPrune)
        #expect(restored.sizeBytes == store.sizeBytes)
        while store.prune(maximumRecords: 100) {}
        #expect(store.sizeBytes == eager.sizeBytes)
        #expect(store.versionCount == eager.versionCount)
        #expect(store.problem == nil)
    }

    /// Deletions that were kept because they happened at the compact revision go with the next compaction,
    /// even if freeing was in the middle of them.
    @Test(arguments: [0, 1, 1_500, 2_999, 3_000, 3_500, 4_500, 6_000])
    func compactingInTheMiddleOfFreeing(freedBefore: Int) throws {
        var store = KeyValueStore()
        for step in 0..<3_000 { try store.put("k\(step)") }
        try store.delete("..")
        try store.compact(to: store.revision)
        if freedBefore > 0 { _ = store.prune(maximumRecords: freedBefore) }
        try store.put("a")
        try store.compact(to: store.revision)
        while store.prune(maximumRecords: 1_000) {}
        #expect(store.versionCount == 1)
        #expect(store.index.count == 1)
        #expect(store.problem == nil)
    }

    /// A frozen copy is read by another thread while this one writes.
    @Test func frozenCopiesAreReadWhileWritesGoOn() async throws {
        var store = KeyValueStore()
        for step in 0..<3_000 { try store.put("k\(step % 900)", "\(step)") }
        let expected = try store.hash(atRevision: 0)
        let copy = store
        let reader = Task.detached {
            try (0..<5).map { _ in try copy.restored().hash(atRevision: 0) }
        }
        for step in 0..<20_000 {
            try store.put("k\(step % 900)", "new \(step)")
            if step % 1_000 == 999 { try store.compact(to: store.revision) }
        }
        #expect(try await reader.value.allSatisfy { $0 == expected })
        #expect(try copy.hash(atRevision: 0) == expected)
    }
}
