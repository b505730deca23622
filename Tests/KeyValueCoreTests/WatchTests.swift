import ConsensusTypes
import Testing

@testable import KeyValueCore

@Suite struct WatchTests {
    private func summaries(_ batch: WatchBatch) -> [String] {
        batch.events.map {
            ($0.kind == .put ? "+" : "-") + text($0.keyValue.key) + "@\($0.keyValue.modRevision)"
        }
    }

    private func pull(
        _ registry: inout WatchRegistry, _ id: WatchID, _ store: KeyValueStore,
        limits: EventLimits = EventLimits()
    ) throws -> [String] {
        summaries(try registry.nextEvents(for: id, store: store, limits: limits))
    }

    @Test func onlyTheWatchesConcernedArePending() throws {
        var store = KeyValueStore()
        var registry = WatchRegistry(store: store)
        let key = try registry.create(WatchRequest(range: range("b")))
        let span = try registry.create(WatchRequest(range: range("a..c")))
        let rest = try registry.create(WatchRequest(range: range("c..")))
        #expect(!registry.hasPending)
        try store.put("b")
        registry.noteApplied(store)
        #expect(registry.takePending(limit: 9) == [key, span])
        #expect(registry.takePending(limit: 9).isEmpty)
        #expect(try pull(&registry, key, store) == ["+b@2"])
        #expect(try pull(&registry, span, store) == ["+b@2"])
        #expect(try pull(&registry, rest, store) == [])
        try store.put("z")
        registry.noteApplied(store)
        #expect(registry.takePending(limit: 9) == [rest])
        #expect(registry.progress(of: rest) == 2)
        #expect(registry.progress(of: key) == 3)
        let cancellations = [registry.cancel(rest), registry.cancel(rest)]
        #expect(cancellations == [true, false])
        #expect(throws: WatchError.unknownWatch) { try registry.nextEvents(for: rest, store: store) }
        #expect(registry.count == 2)
    }

    @Test func historyFromAStartRevision() throws {
        var store = KeyValueStore()
        for key in ["a", "b", "a"] { try store.put(key) }
        try store.delete("a")
        var registry = WatchRegistry(store: store)
        let id = try registry.create(
            WatchRequest(range: range("a"), startRevision: 3, previousKeyValues: true))
        #expect(registry.progress(of: id) == 2)
        #expect(registry.takePending(limit: 1) == [id])
        let batch = try registry.nextEvents(for: id, store: store)
        #expect(summaries(batch) == ["+a@4", "-a@5"])
        #expect(batch.events.map { $0.previous?.version } == [1, 2])
        #expect(batch.events[1].keyValue.summary == "a= c0 m5 v0 l0")
        #expect(batch.throughRevision == 5 && !batch.hasMore)
        #expect(registry.progress(of: id) == 5)
    }

    @Test func filters() throws {
        var store = KeyValueStore()
        try store.put("a")
        try store.delete("a")
        var registry = WatchRegistry(store: store)
        let deletes = try registry.create(
            WatchRequest(range: range(".."), startRevision: 1, filtersPuts: true))
        let puts = try registry.create(
            WatchRequest(range: range("a"), startRevision: 1, filtersDeletes: true))
        #expect(try pull(&registry, deletes, store) == ["-a@3"])
        #expect(try pull(&registry, puts, store) == ["+a@2"])
    }

    @Test func aFutureStartIsWaitedFor() throws {
        var store = KeyValueStore()
        var registry = WatchRegistry(store: store)
        let id = try registry.create(WatchRequest(range: range("a"), startRevision: 4))
        for _ in 0..<2 {
            try store.put("a")
            registry.noteApplied(store)
            #expect(!registry.hasPending)
        }
        #expect(registry.progress(of: id) == 3)
        try store.put("a")
        registry.noteApplied(store)
        #expect(registry.takePending(limit: 9) == [id])
        #expect(try pull(&registry, id, store) == ["+a@4"])
    }

    @Test func compactedStartsAreTold() throws {
        var store = KeyValueStore()
        for _ in 0..<4 { try store.put("a") }
        try store.compact(to: 4)
        var registry = WatchRegistry(store: store)
        let before = try registry.create(WatchRequest(range: range("a"), startRevision: 3))
        let at = try registry.create(
            WatchRequest(range: range("a"), startRevision: 4, previousKeyValues: true))
        #expect(throws: WatchError.compacted(revision: 4)) {
            try registry.nextEvents(for: before, store: store)
        }
        // As in etcd the compact revision itself may be watched from; what came before it is unknown.
        let batch = try registry.nextEvents(for: at, store: store)
        #expect(summaries(batch) == ["+a@4", "+a@5"])
        #expect(batch.events.map { $0.previous?.version } == [nil, 3])
        // A watch that is up to date does not mind compaction.
        try store.put("b")
        registry.noteApplied(store)
        try store.compact(to: 6)
        registry.noteApplied(store)
        try store.put("a")
        registry.noteApplied(store)
        #expect(try pull(&registry, at, store) == ["+a@7"])
    }

    @Test func aSlowWatchIsToldWhatItLost() throws {
        var store = KeyValueStore()
        var registry = WatchRegistry(store: store)
        let id = try registry.create(WatchRequest(range: range("a")))
        for _ in 0..<3 {
            try store.put("a")
            registry.noteApplied(store)
        }
        try store.compact(to: 2)
        #expect(registry.progress(of: id) == 1)
        #expect(try registry.nextEvents(for: id, store: store, limits: EventLimits(maximumEvents: 1)).hasMore)
        try store.compact(to: 4)
        #expect(throws: WatchError.compacted(revision: 4)) { try registry.nextEvents(for: id, store: store) }
    }

    /// A snapshot replaces the store and leaves a gap that nobody can fill.
    @Test func aGapInHistoryIsTold() throws {
        var store = KeyValueStore()
        var registry = WatchRegistry(store: store)
        let idle = try registry.create(WatchRequest(range: range("x")))
        let future = try registry.create(WatchRequest(range: range("a"), startRevision: 9))
        let later = try registry.create(WatchRequest(range: range("a"), startRevision: 40))
        for _ in 0..<10 { try store.put("a") }
        try store.compact(to: 7)
        registry.noteApplied(store)
        #expect(registry.takePending(limit: 9) == [idle, future])
        #expect(throws: WatchError.compacted(revision: 7)) {
            try registry.nextEvents(for: idle, store: store)
        }
        #expect(try pull(&registry, future, store) == ["+a@9", "+a@10", "+a@11"])
        #expect(registry.nextRevision(of: later) == 40)
    }

    @Test func oneRevisionStaysTogetherUnlessFragmented() throws {
        var store = KeyValueStore()
        let many = TransactionRequest(success: (0..<5).map { .put(put("k\($0)")) })
        _ = try store.apply(.transaction(many)).get()
        try store.put("k9")
        var registry = WatchRegistry(store: store)
        let id = try registry.create(WatchRequest(range: range(".."), startRevision: 1))
        let whole = try registry.nextEvents(for: id, store: store, limits: EventLimits(maximumEvents: 2))
        #expect(whole.events.count == 5 && whole.throughRevision == 2 && !whole.isFragment && whole.hasMore)
        let other = try registry.create(WatchRequest(range: range(".."), startRevision: 1))
        let limits = EventLimits(maximumEvents: 2, mayFragment: true)
        var seen: [(Int, Int64, Bool)] = []
        var hasMore = true
        while hasMore {
            let batch = try registry.nextEvents(for: other, store: store, limits: limits)
            seen.append((batch.events.count, batch.throughRevision, batch.isFragment))
            #expect(registry.progress(of: other)! <= batch.throughRevision)
            hasMore = batch.hasMore && seen.count < 9
        }
        #expect(seen.map(\.0) == [2, 2, 2])
        #expect(seen.map(\.1) == [1, 1, 3])
        #expect(seen.map(\.2) == [true, true, false])
    }

    @Test func pausedWatchesAreNotListed() throws {
        var store = KeyValueStore()
        var registry = WatchRegistry(store: store)
        let id = try registry.create(WatchRequest(range: range("a")))
        registry.setPaused(true, for: id)
        try store.put("a")
        registry.noteApplied(store)
        #expect(registry.takePending(limit: 9).isEmpty)
        registry.setPaused(false, for: id)
        #expect(registry.takePending(limit: 9) == [id])
        registry.setPaused(true, for: id)
        try store.put("a")
        registry.noteApplied(store)
        registry.setPaused(false, for: id)
        #expect(registry.takePending(limit: 9) == [id])
        #expect(try pull(&registry, id, store) == ["+a@2", "+a@3"])
    }

    @Test func boundsOnWatches() throws {
        let store = KeyValueStore()
        var registry = WatchRegistry(store: store, maximumWatches: 2)
        #expect(throws: WatchError.emptyRange) { try registry.create(WatchRequest(range: range("b..a"))) }
        #expect(throws: WatchError.emptyRange) { try registry.create(WatchRequest(range: range("b..b"))) }
        let first = try registry.create(WatchRequest(range: range("a")))
        _ = try registry.create(WatchRequest(range: range("a")))
        #expect(throws: WatchError.tooManyWatches) { try registry.create(WatchRequest(range: range("a"))) }
        registry.cancel(first)
        #expect(try registry.create(WatchRequest(range: range("a"))) != first)
    }

    private struct Reader {
        var id: WatchID
        var request: WatchRequest
        var start: Int64
        var received: [WatchEvent] = []
        /// What has been compared and was compacted since.
        var isOver = false
    }

    /// Many watches that pull at random moments and in random portions, are cancelled and resume where they
    /// were: each sees exactly the events of the model, in order, none twice, none missing; and its progress
    /// never runs ahead.
    @Test(arguments: 0..<25)
    func everyEventOnceAndInOrder(seed: Int) throws {
        var generator = CommandGenerator(seed: UInt64(seed) + 77)
        var store = KeyValueStore()
        var reference = ReferenceStore()
        var registry = WatchRegistry(store: store)
        var readers: [Reader] = []
        for step in 0..<250 {
            generator.observe(store)
            let command = generator.command()
            _ = store.apply(command)
            _ = reference.apply(command)
            registry.noteApplied(store)
            if generator.pick(25) == 0 {
                // As on a member that is sent a snapshot.
                store = try store.restored()
                registry.noteApplied(store)
            }
            if generator.pick(4) == 0, readers.count < 30 {
                try addReader(&readers, &registry, &generator)
            }
            for id in registry.takePending(limit: generator.pick(5)) {
                let position = readers.firstIndex { $0.id == id }!
                try pull(&readers[position], &registry, store, reference, &generator)
            }
            if step % 10 == 0, !readers.isEmpty {
                try resume(&readers[generator.pick(readers.count)], &registry, &generator)
            }
        }
        var rounds = 0
        while registry.hasPending {
            rounds += 1
            try #require(rounds < 10_000)
            for id in registry.takePending(limit: 3) {
                let position = readers.firstIndex { $0.id == id }!
                try pull(&readers[position], &registry, store, reference, &generator)
            }
        }
        #expect(readers.contains { $0.received.count > 5 })
        for reader in readers where !reader.isOver {
            expectComplete(reader, through: store.revision, reference)
            #expect(registry.progress(of: reader.id) == store.revision)
        }
    }

    private func addReader(
        _ readers: inout [Reader], _ registry: inout WatchRegistry, _ generator: inout CommandGenerator
    ) throws {
        let past = generator.pick(3) == 0 ? max(1, generator.revision - Int64(generator.pick(10))) : 0
        let start = generator.pick(6) == 0 ? registry.notedRevision + Int64(generator.pick(5)) : past
        let request = WatchRequest(
            range: generator.range(), startRevision: start, filtersPuts: generator.pick(6) == 0,
            filtersDeletes: generator.pick(6) == 0)
        guard let id = try? registry.create(request) else { return }
        readers.append(
            Reader(id: id, request: request, start: start > 0 ? start : registry.notedRevision + 1))
    }

    private func pull(
        _ reader: inout Reader, _ registry: inout WatchRegistry, _ store: KeyValueStore,
        _ reference: ReferenceStore, _ generator: inout CommandGenerator
    ) throws {
        let limits = EventLimits(
            maximumEvents: 1 + generator.pick(4), maximumSizeBytes: 1 + generator.pick(300),
            maximumExamined: 1 + generator.pick(6), mayFragment: generator.pick(2) == 0)
        do throws(WatchError) {
            let batch = try registry.nextEvents(for: reader.id, store: store, limits: limits)
            reader.received += batch.events
            #expect(batch.throughRevision <= store.revision)
            #expect(
                batch.events.isEmpty || batch.events.last!.keyValue.modRevision <= batch.throughRevision + 1)
            expectComplete(reader, through: registry.progress(of: reader.id)!, reference)
        } catch {
            #expect(error == .compacted(revision: store.compactRevision))
            #expect(registry.nextRevision(of: reader.id)! < store.compactRevision)
            registry.cancel(reader.id)
            reader.isOver = true
        }
    }

    /// As a client that reconnects: from the revision after the last one that is complete.
    private func resume(
        _ reader: inout Reader, _ registry: inout WatchRegistry, _ generator: inout CommandGenerator
    ) throws {
        guard !reader.isOver, let progress = registry.progress(of: reader.id) else { return }
        registry.cancel(reader.id)
        reader.received.removeAll { $0.keyValue.modRevision > progress }
        reader.request.startRevision = max(progress + 1, reader.start)
        reader.id = try registry.create(reader.request)
    }

    private func expectComplete(_ reader: Reader, through revision: Int64, _ reference: ReferenceStore) {
        let selection = EventSelection(
            range: reader.request.range, includesPuts: !reader.request.filtersPuts,
            includesDeletes: !reader.request.filtersDeletes)
        let expected = reference.events(from: reader.start, matching: selection)
        let complete = expected.filter { $0.keyValue.modRevision <= revision }
        #expect(Array(reader.received.prefix(complete.count)) == complete)
        #expect(reader.received == Array(expected.prefix(reader.received.count)))
    }
}
