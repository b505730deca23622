import ConsensusTypes
import KeyValueCore

// Watches pull: applying a command only marks whom it concerns, and each stream fetches events from the
// store's history when it can send them. So no queue grows, and a slow watcher loses nothing.
extension KeyValueGroup {
    /// Starts a watch. `onPending` is called, on the loop, when there may be something to pull; it is not
    /// called again before the next ``pull(_:maximumSizeBytes:)``.
    public func watch(_ request: WatchRequest, onPending: @escaping () -> Void) -> WatchID {
        let id = watches.create(request, store: store)
        watchHandlers[id] = onPending
        environment.scheduleTurn()
        return id
    }

    /// The next events of a watch, all those of a revision together unless they exceed the size.
    ///
    /// Throws ``KeyValueError/compacted`` where what the watch needs next is gone.
    public func pull(_ id: WatchID, maximumSizeBytes: Int) throws(KeyValueError) -> WatchBatch {
        try watches.nextEvents(for: id, store: store, maximumSizeBytes: maximumSizeBytes)
    }

    public func cancelWatch(_ id: WatchID) {
        watches.cancel(id)
        watchHandlers[id] = nil
    }

    /// The revision up to which the watch has been given everything.
    public func watchProgress(_ id: WatchID) -> Int64 {
        watches.progress(for: id, store: store)
    }

    func tellWatchers() {
        for id in watches.takePending() {
            watchHandlers[id]?()
        }
    }
}
