/// What ``KeyValueStore/hash(atRevision:)`` answers with.
public struct StoreHash: Hashable, Sendable {
    public let hash: UInt32
    /// Two hashes of one revision can be compared only if they were taken with the same compact revision.
    public let compactRevision: Int64
    public let currentRevision: Int64
}

extension KeyValueStore {
    /// A checksum over all history that can be observed up to a revision (zero or less: the current one).
    /// Equal on all replicas that have compacted to the same revision, however they came to their state.
    ///
    /// Walks all of it: on a frozen copy and another thread, where that takes too long. Throws
    /// ``KeyValueError/compacted`` or ``KeyValueError/futureRevision``.
    public func hash(atRevision requested: Int64) throws(KeyValueError) -> StoreHash {
        let main = requested <= 0 ? revision : requested
        guard main >= compactRevision else { throw .compacted }
        guard main <= revision else { throw .futureRevision }
        var checksum = Checksum()
        log.visit { revision, record in
            guard revision.main <= main else { return false }
            if isObservable(record) { Self.add(record, to: &checksum) }
            return true
        }
        return StoreHash(hash: checksum.value, compactRevision: compactRevision, currentRevision: revision)
    }

    private static func add(_ record: VersionRecord, to checksum: inout Checksum) {
        let pair = record.keyValue
        checksum.update(pair.modRevision)
        checksum.update(record.sub)
        checksum.update(pair.createRevision)
        checksum.update(pair.version)
        checksum.update(pair.lease?.rawValue ?? 0)
        checksum.update(Int64(pair.key.count))
        checksum.update(pair.key)
        checksum.update(Int64(pair.value.count))
        checksum.update(pair.value)
    }
}
