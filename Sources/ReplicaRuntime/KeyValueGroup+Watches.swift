import ConsensusTypes
import KeyValueCore

// Watches pull: applying a command only marks whom it concerns, and each stream fetches events from the
// store's history when it can send them. So no queue grows, and a slow watcher loses nothing.
extension KeyValueGroup {
    /// How many watches are told of news in one turn; the rest is told in the next.
    private static let maximumWatchesToldAtOnce = 10_000

    /// Starts a watch. `onPending` is called, on the loop, when there may be something to pull, and may be
    /// called again before that was done.
    public func watch(
        _ request: WatchRequest, onPending: @escaping () -> Void
    ) throws(WatchError) -> WatchID {
        let id = try watches.create(request)
        watchHandlers[id] = onPending
        environment.scheduleTurn()
        return id
    }

    /// The next events of a watch. Where there are more, `onPending` is called again.
    public func pull(_ id: WatchID, limits: EventLimits) throws(WatchError) -> WatchBatch {
        let batch = try watches.nextEvents(for: id, store: store, limits: limits)
        if batch.hasMore { environment.scheduleTurn() }
        return batch
    }

    public func cancelWatch(_ id: WatchID) {
        watches.cancel(id)
        watchHandlers[id] = nil
    }

    /// The revision up to which the watch has been given everything; `nil` where there is no such watch.
    public func watchProgress(_ id: WatchID) -> Int64? {
        watches.progress(of: id)
    }

    func tellWatchers() {
        guard watches.hasPending else { return }
        for id in watches.takePending(limit: KeyValueGroup.maximumWatchesToldAtOnce) {
            watchHandlers[id]?()
        }
        if watches.hasPending { environment.scheduleTurn() }
    }
}
