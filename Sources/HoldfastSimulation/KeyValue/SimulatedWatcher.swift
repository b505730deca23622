import ConsensusTypes
import KeyValueCore
import ReplicaRuntime

/// A client that watches at one node and resumes where it was when the node comes back, or at another one.
struct SimulatedWatcher {
    /// What the node showed, as long as the model has not said whether that is right.
    private enum Shown {
        case batch([WatchEvent], through: Int64)
        case progress(Int64)
        case compacted(Int64)
    }

    var home: Int
    let isWandering: Bool
    private var id: WatchID?
    /// Counts the watches that it began, gave up or lost: says which one a request belongs to.
    private(set) var watchNumber = 0
    private var checker = WatchAudit(WatchRequest(range: .all, startRevision: 2))
    /// Where the next watch starts: after what was shown.
    private var nextRevision: Int64 = 2
    private var shown: [Shown] = []
    private(set) var eventCount = 0

    init(home: Int, isWandering: Bool) {
        self.home = home
        self.isWandering = isWandering
    }

    mutating func begin(on machine: KeyValueGroup) {
        watchNumber += 1
        var request = checker.request
        request.startRevision = nextRevision
        // It pulls when it has time for it; that there is something to pull says nothing to it.
        id = try? machine.watch(request) {}
    }

    mutating func leave(_ machine: KeyValueGroup) {
        watchNumber += 1
        if let id { machine.cancelWatch(id) }
        id = nil
    }

    mutating func end() {
        watchNumber += 1
        id = nil
    }

    /// Watches other keys or other kinds of events, from some revision in the past, present or future.
    mutating func chooseAnew(
        _ mixture: ClientMixture, _ revision: Int64, _ random: inout SeededRandom
    ) {
        guard shown.isEmpty else { return }
        let start = max(2, revision - 20 + Int64(random.next(below: 30)))
        let range: KeyRange
        switch random.next(below: 3) {
        case 0: range = .all
        case 1: range = KeyRange(key: Array("key\(random.next(below: mixture.keyCount))".utf8))
        default: range = KeyRange(key: Array("key1".utf8), rangeEnd: Array("key7".utf8))
        }
        checker = WatchAudit(
            WatchRequest(
                range: range, startRevision: start, filtersPuts: random.chance(1, outOf: 8),
                filtersDeletes: random.chance(1, outOf: 8)))
        nextRevision = start
    }

    mutating func pull(_ machine: KeyValueGroup, asksForProgress: Bool) {
        guard let id else { return }
        do throws(WatchError) {
            let batch = try machine.pull(id, limits: EventLimits(maximumEvents: 16))
            shown.append(.batch(batch.events, through: batch.throughRevision))
            if batch.throughRevision + 1 > nextRevision { nextRevision = batch.throughRevision + 1 }
            if asksForProgress, let progress = machine.watchProgress(id) { shown.append(.progress(progress)) }
        } catch {
            guard case .compacted(let revision) = error else { return }
            // As a client does: it takes up the watch after what is gone.
            machine.cancelWatch(id)
            shown.append(.compacted(revision))
            nextRevision = max(nextRevision, revision)
            begin(on: machine)
        }
    }

    mutating func verify(_ model: ReferenceStore) throws(SimulationFailure) {
        for item in shown {
            var problem: String?
            switch item {
            case .batch(let events, let through):
                eventCount += events.count
                problem = checker.check(events: events, through: through, model)
            case .progress(let revision):
                problem = checker.checkProgress(revision, model)
            case .compacted(let revision):
                checker.resume(after: revision)
            }
            if let problem { throw SimulationFailure("watches", "a watch on node \(home) \(problem)") }
        }
        shown.removeAll(keepingCapacity: true)
    }
}
