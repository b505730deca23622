/// A lease as it was granted; all replicas know it. How much of its time is left only the leader knows:
/// ``LeaseClock``.
public struct LeaseGrant: Hashable, Sendable {
    public let id: LeaseID
    /// The time to live that was granted.
    public let timeToLiveSeconds: Int64
    /// Grows with every lease granted, so that a lease differs from an earlier one of the same id.
    public let generation: UInt64

    public init(id: LeaseID, timeToLiveSeconds: Int64, generation: UInt64) {
        self.id = id
        self.timeToLiveSeconds = timeToLiveSeconds
        self.generation = generation
    }
}

/// A lease and what lives on it.
public struct LeaseInfo: Hashable, Sendable {
    public let grant: LeaseGrant
    /// In order.
    public let keys: [[UInt8]]

    public var timeToLiveSeconds: Int64 { grant.timeToLiveSeconds }
    public var generation: UInt64 { grant.generation }
}
