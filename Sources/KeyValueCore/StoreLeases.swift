/// A lease in the store, with the keys on it.
struct LeaseRecord: Weighted, Sendable {
    let grant: LeaseGrant
    var keys = OrderedTree<KeyBytes, NoValue>()

    var weight: Int { 1 }

    /// What a lease counts towards the store's size.
    static var sizeBytes: Int { 160 }
}

extension KeyValueStore {
    /// The lease with the keys on it, or `nil` where there is none of that id.
    public func lease(_ id: LeaseID) -> LeaseInfo? {
        guard let record = leaseTable[id] else { return nil }
        var keys: [[UInt8]] = []
        keys.reserveCapacity(record.keys.count)
        record.keys.visit { key, _ in
            keys.append(key.bytes)
            return true
        }
        return LeaseInfo(grant: record.grant, keys: keys)
    }

    /// The lease without its keys.
    public func leaseGrant(_ id: LeaseID) -> LeaseGrant? {
        leaseTable[id]?.grant
    }

    /// All leases, by their ids: what a new leader starts its ``LeaseClock`` from.
    public var leaseGrants: [LeaseGrant] {
        var grants: [LeaseGrant] = []
        grants.reserveCapacity(leaseTable.count)
        leaseTable.visit { _, record in
            grants.append(record.grant)
            return true
        }
        return grants
    }

    /// In order.
    public var leaseIDs: [LeaseID] { leaseGrants.map(\.id) }

    public var leaseCount: Int { leaseTable.count }

    mutating func grantLease(_ id: LeaseID, _ timeToLiveSeconds: Int64) throws(KeyValueError) -> LeaseGrant {
        guard id.rawValue != 0 else { throw .leaseNotFound }
        guard timeToLiveSeconds <= KeyValueLimits.maximumTimeToLiveSeconds else {
            throw .leaseTimeToLiveTooLarge
        }
        guard leaseTable[id] == nil else { throw .leaseExists }
        leaseGeneration += 1
        let grant = LeaseGrant(
            id: id, timeToLiveSeconds: max(timeToLiveSeconds, 1), generation: leaseGeneration)
        leaseTable.set(id, LeaseRecord(grant: grant))
        sizeBytes += LeaseRecord.sizeBytes
        return grant
    }

    mutating func revokeLease(_ id: LeaseID, _ generation: UInt64?) throws(KeyValueError) {
        guard let record = leaseTable[id] else { throw .leaseNotFound }
        if let generation, generation != record.grant.generation { throw .leaseNotFound }
        leaseTable.remove(id)
        sizeBytes -= LeaseRecord.sizeBytes
        var changes = ChangeSet(main: revision + 1)
        record.keys.visit { key, _ in
            guard let newest = index[key]?.newest, !newest.isDeletion else {
                preconditionFailure("a key on a lease exists")
            }
            delete(newest, &changes)
            return true
        }
        finish(changes)
    }

    /// Keeps the leases' sets of keys in step with a put or a delete.
    mutating func moveKey(_ key: KeyBytes, from old: LeaseID?, to new: LeaseID?) {
        guard old != new else { return }
        if let old {
            // Where the lease itself is being revoked, it is no longer in the table.
            leaseTable.change(old) { $0.keys.remove(key) }
        }
        if let new {
            let isThere = leaseTable.change(new) { $0.keys.set(key, NoValue()) }
            precondition(isThere, "a put on a lease that is not there")
        }
    }
}
