/// What clients did with a queue of keys: items are taken by deleting the key with the smallest create
/// revision.
public struct QueueHistory: Sendable {
    public struct Addition: Hashable, Sendable {
        public let item: [UInt8]
        /// The create revision of the item's key; `nil` where the outcome is unknown.
        public let revision: Int64?

        public init(item: [UInt8], revision: Int64?) {
            self.item = item
            self.revision = revision
        }
    }

    public struct Removal: Hashable, Sendable {
        public let client: Int
        public let item: [UInt8]
        /// The create revision of the item's key, as the client was shown it.
        public let createRevision: Int64
        /// The revision of the deletion, which was acknowledged to this client.
        public let revision: Int64

        public init(client: Int, item: [UInt8], createRevision: Int64, revision: Int64) {
            self.client = client
            self.item = item
            self.createRevision = createRevision
            self.revision = revision
        }
    }

    public var additions: [Addition] = []
    public var removals: [Removal] = []
    /// How many removals have an unknown outcome.
    public var unknownRemovalCount = 0
    /// Whether the queue was empty at the end.
    public var isDrained = false

    public init() {}
}

/// Checks that a queue gives each item to one client, in the order in which they were added, and loses none.
/// Items must be unique.
public enum QueueChecker {
    public static func check(_ queue: QueueHistory) -> HistoryViolation? {
        var added: [[UInt8]: Int64?] = [:]
        for addition in queue.additions {
            added[addition.item] = addition.revision
        }
        var removed: [[UInt8]: QueueHistory.Removal] = [:]
        var last: QueueHistory.Removal?
        for removal in queue.removals.sorted(by: { $0.revision < $1.revision }) {
            let item = KeyValueText.text(removal.item)
            guard let addition = added[removal.item] else {
                return HistoryViolation("items come from somewhere", "\(item) was taken, and never added")
            }
            if let addition, addition != removal.createRevision {
                return HistoryViolation(
                    "items are added once",
                    "\(item) was added at \(addition), and taken as added at \(removal.createRevision)")
            }
            if let other = removed[removal.item] {
                return HistoryViolation(
                    "items are taken once",
                    "\(item) was given to client \(other.client) at \(other.revision) and to client "
                        + "\(removal.client) at \(removal.revision)")
            }
            if let last, last.createRevision > removal.createRevision {
                return HistoryViolation(
                    "items come in order",
                    "\(item), added at \(removal.createRevision), was taken at \(removal.revision), after "
                        + "one that was added at \(last.createRevision)")
            }
            removed[removal.item] = removal
            last = removal
        }
        guard queue.isDrained else { return nil }
        let lost = queue.additions.filter { $0.revision != nil && removed[$0.item] == nil }
        guard lost.count > queue.unknownRemovalCount else { return nil }
        return HistoryViolation(
            "no item is lost",
            "\(lost.count) items were added and never taken, the first is "
                + "\(KeyValueText.text(lost[0].item)); \(queue.unknownRemovalCount) removals are unknown")
    }
}
