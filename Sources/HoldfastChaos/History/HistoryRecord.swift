import ConsensusTypes

/// One operation of a client: what it asked, when, and what it was told.
public struct HistoryRecord: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        case get
        case put(String)
        case delete
        /// Puts the value where the key has the expected one; `nil` expects that it does not exist.
        case compareAndSwap(expected: String?, value: String)
    }

    public struct Answer: Hashable, Sendable {
        /// The store's revision in the answer's header.
        public var revision: Int64
        /// Whether a delete deleted something or a swap was made; true for puts.
        public var hasChanged: Bool
        /// What a get, or a swap that was not made, read; `nil` where the key did not exist.
        public var pair: HistoryPair?

        public init(revision: Int64, hasChanged: Bool, pair: HistoryPair? = nil) {
            self.revision = revision
            self.hasChanged = hasChanged
            self.pair = pair
        }

        var value: String? { pair?.value }
    }

    public enum Outcome: Hashable, Sendable {
        case acknowledged(Answer)
        /// Refused for certain: it was not executed and never will be.
        case refused
        /// It may have been executed, may be later, or never.
        case unknown
    }

    public let client: Int
    /// The position of the node that was asked.
    public let node: Int
    public let key: String
    public let action: Action
    public let invokedAt: Instant
    /// When the answer came, or when the client gave up.
    public let endedAt: Instant
    public let outcome: Outcome

    public init(
        client: Int, node: Int, key: String, action: Action, invokedAt: Instant, endedAt: Instant,
        outcome: Outcome
    ) {
        self.client = client
        self.node = node
        self.key = key
        self.action = action
        self.invokedAt = invokedAt
        self.endedAt = endedAt
        self.outcome = outcome
    }

    /// What the operation would write.
    var newValue: String? {
        switch action {
        case .put(let value), .compareAndSwap(_, let value): value
        case .get, .delete: nil
        }
    }

    /// Whether it was acknowledged that the operation changed the store.
    var acknowledgedChange: Answer? {
        guard case .acknowledged(let answer) = outcome, action != .get, answer.hasChanged else { return nil }
        return answer
    }
}
