import ConsensusTypes

/// How much time leases have left. Only the leader keeps it: the store holds what was granted, and time is
/// not replicated. A new leader gives every lease its full time anew, and more: it cannot know what its
/// predecessor promised last.
///
/// The rules that make it safe: start it (``promote(_:extendingBy:now:)``) only once the leader has applied
/// an entry of its own term, so that no expiry of a predecessor is still to come; ``demote()`` it as soon as
/// leadership is lost; and propose what ``expired(at:limit:)`` lists in the term in which it was listed. A
/// lease that has run out is never renewed, so that no client is told that it holds what is about to go.
public struct LeaseClock: Sendable {
    private struct Running {
        let grant: LeaseGrant
        /// When the lease runs out.
        var deadline: Instant
        /// When there is next something to do about it: the deadline, or after that, to ask again.
        var due: Instant
    }

    private struct DueKey: TreeKey {
        let due: Instant
        let id: LeaseID

        static func < (left: DueKey, right: DueKey) -> Bool {
            left.due == right.due ? left.id < right.id : left.due < right.due
        }
    }

    /// How long after an expiry was listed it is listed again, as long as the lease is still there.
    public let retryInterval: Interval

    public private(set) var isActive = false
    private var running: [LeaseID: Running] = [:]
    private var queue = OrderedTree<DueKey, NoValue>()

    public init(retryInterval: Interval = .milliseconds(1_000)) {
        precondition(retryInterval > .zero, "expiries are listed again after an interval above zero")
        self.retryInterval = retryInterval
    }

    /// The number of leases that it watches: those of the store, so long as it is told of each change.
    public var count: Int { running.count }

    /// Starts with all leases of the store, each at its full time to live from now and `extension` longer:
    /// clients need time to find the new leader.
    public mutating func promote(_ leases: [LeaseGrant], extendingBy extension: Interval, now: Instant) {
        demote()
        isActive = true
        running.reserveCapacity(leases.count)
        for lease in leases {
            add(lease, deadline: now + lease.timeToLive + `extension`)
        }
    }

    /// Stops: nothing expires here any more.
    public mutating func demote() {
        isActive = false
        running = [:]
        queue = OrderedTree()
    }

    /// A lease was granted: a command that granted it has been applied.
    public mutating func granted(_ lease: LeaseGrant, now: Instant) {
        guard isActive else { return }
        revoked(lease.id)
        add(lease, deadline: now + lease.timeToLive)
    }

    /// A lease is gone: a command that revoked it has been applied.
    public mutating func revoked(_ id: LeaseID) {
        guard let lease = running.removeValue(forKey: id) else { return }
        queue.remove(DueKey(due: lease.due, id: id))
    }

    /// Gives a lease its full time again. The time to live granted, in seconds, or `nil` where there is no
    /// such lease, it has run out, or this clock is stopped.
    public mutating func renew(_ id: LeaseID, now: Instant) -> Int64? {
        guard var lease = running[id], now < lease.deadline else { return nil }
        let deadline = now + lease.grant.timeToLive
        // A lease that was extended at promotion keeps the later deadline.
        if deadline > lease.deadline {
            queue.remove(DueKey(due: lease.due, id: id))
            lease.deadline = deadline
            lease.due = deadline
            queue.set(DueKey(due: deadline, id: id), NoValue())
            running[id] = lease
        }
        return lease.grant.timeToLiveSeconds
    }

    /// How long a lease has left: zero once it has run out, `nil` where there is none.
    public func remaining(_ id: LeaseID, now: Instant) -> Interval? {
        running[id].map { $0.deadline - now }
    }

    /// When ``expired(at:limit:)`` next has something to say.
    public var nextDeadline: Instant? { queue.first?.key.due }

    /// Leases that have run out, those first that did so first, and at most `limit` of them. The leader
    /// proposes to revoke each, with its generation. A lease is listed again after ``retryInterval``, until
    /// it is gone.
    public mutating func expired(at now: Instant, limit: Int) -> [LeaseGrant] {
        var listed: [LeaseGrant] = []
        while listed.count < limit, let next = queue.first?.key, next.due <= now {
            guard var lease = running[next.id] else {
                preconditionFailure("a queued lease is running")
            }
            queue.remove(next)
            lease.due = now + retryInterval
            queue.set(DueKey(due: lease.due, id: next.id), NoValue())
            running[next.id] = lease
            listed.append(lease.grant)
        }
        return listed
    }

    private mutating func add(_ lease: LeaseGrant, deadline: Instant) {
        running[lease.id] = Running(grant: lease, deadline: deadline, due: deadline)
        queue.set(DueKey(due: deadline, id: lease.id), NoValue())
    }
}

extension LeaseGrant {
    public var timeToLive: Interval {
        Interval.seconds(Int(min(max(timeToLiveSeconds, 0), KeyValueLimits.maximumTimeToLiveSeconds)))
    }
}
