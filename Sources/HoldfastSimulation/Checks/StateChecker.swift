import ConsensusTypes
import KeyValueCore

/// Compares each node's store with the model: what changed after every step, everything now and then.
struct StateChecker {
    private static let selection = EventSelection(range: .all)
    private static let limits = EventLimits(
        maximumEvents: 1 << 20, maximumSizeBytes: 1 << 30, maximumExamined: 1 << 20)
    /// After so many changes of the applied index everything is compared.
    private static let fullInterval = 64

    private struct NodeView {
        /// The store was compared up to here.
        var revision: Int64 = 1
        var appliedIndex = LogIndex.zero
        var changesUntilFull = 1
    }

    private var views: [NodeView]

    init(nodeCount: Int) {
        views = Array(repeating: NodeView(), count: nodeCount)
    }

    /// The node started anew, from what its disk holds.
    mutating func noteStart(_ node: Int) {
        views[node] = NodeView()
    }

    /// `modelIndex` is the entry that the model applied last.
    mutating func check(
        _ node: Int, _ store: KeyValueStore, appliedIndex: LogIndex, _ model: ReferenceStore,
        modelIndex: LogIndex
    ) throws(SimulationFailure) {
        guard appliedIndex != views[node].appliedIndex else { return }
        views[node].appliedIndex = appliedIndex
        views[node].changesUntilFull -= 1
        guard store.revision <= model.revision else {
            throw fail(node, "is at revision \(store.revision), the model at \(model.revision)")
        }
        if store.revision < views[node].revision {
            throw fail(node, "went back from revision \(views[node].revision) to \(store.revision)")
        }
        if store.revision > views[node].revision {
            try checkChanges(node, store, model)
            views[node].revision = store.revision
        }
        if views[node].changesUntilFull <= 0, appliedIndex == modelIndex {
            views[node].changesUntilFull = StateChecker.fullInterval
            try checkAll(node, store, model)
        }
    }

    private func fail(_ node: Int, _ text: String) -> SimulationFailure {
        SimulationFailure("applied state", "node \(node) \(text)")
    }

    private func checkChanges(
        _ node: Int, _ store: KeyValueStore, _ model: ReferenceStore
    ) throws(SimulationFailure) {
        let from = views[node].revision + 1
        guard from >= store.compactRevision else {
            // A snapshot brought a compaction with it: the whole must do.
            return try checkPairs(node, store, model)
        }
        guard
            let page = try? store.events(
                from: Revision(main: from, sub: 0), through: store.revision,
                matching: StateChecker.selection, limits: StateChecker.limits)
        else {
            throw fail(node, "has no history from revision \(from)")
        }
        var position = 0
        for revision in from...store.revision {
            for change in model.changes[Int(revision)] {
                guard position < page.events.count else { throw fail(node, "lacks \(change.text)") }
                let event = page.events[position]
                guard event.keyValue == change, (event.kind == .delete) == (change.version == 0) else {
                    throw fail(node, "has \(event.keyValue.text) for \(change.text)")
                }
                position += 1
            }
        }
        guard position == page.events.count else {
            throw fail(node, "has \(page.events[position].keyValue.text), which nobody wrote")
        }
    }

    private func checkPairs(
        _ node: Int, _ store: KeyValueStore, _ model: ReferenceStore
    ) throws(SimulationFailure) {
        guard let found = try? store.range(RangeRequest(range: .all)) else {
            throw fail(node, "cannot be read")
        }
        let expected = model.range(.all, at: store.revision)
        guard found.keyValues == expected else {
            let difference = zip(found.keyValues, expected).first { $0 != $1 }
            throw fail(
                node,
                "holds \(found.keyValues.count) keys at revision \(store.revision), the model "
                    + "\(expected.count); first difference: "
                    + (difference.map { "\($0.text) for \($1.text)" } ?? "the end"))
        }
    }

    /// Pairs, leases and the compaction; the node has applied exactly what the model has.
    func checkAll(
        _ node: Int, _ store: KeyValueStore, _ model: ReferenceStore
    ) throws(SimulationFailure) {
        guard store.revision == model.revision, store.compactRevision == model.compactRevision else {
            throw fail(
                node,
                "is at revision \(store.revision), compacted to \(store.compactRevision); the model at "
                    + "\(model.revision) and \(model.compactRevision)")
        }
        try checkPairs(node, store, model)
        guard store.leaseCount == model.leases.count else {
            throw fail(node, "has \(store.leaseCount) leases, the model \(model.leases.count)")
        }
        for id in store.leaseIDs {
            guard let lease = store.lease(id), let expected = model.leases[id],
                lease.keys == expected.keys, lease.timeToLiveSeconds == expected.timeToLiveSeconds,
                lease.generation == expected.generation
            else { throw fail(node, "has another lease \(id.rawValue) than the model") }
        }
    }
}
