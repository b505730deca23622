import ConsensusTypes

/// Builds a store from the bytes of a ``SnapshotWriter``. The bytes may come in pieces of any size, and may
/// be damaged or hostile: each part is checked before it is used, and the whole by its checksum. No more is
/// held back than one part.
public struct SnapshotReader: Sendable {
    private enum Stage {
        case header
        case leases
        case versions
        case trailer
        case done
    }

    private var store = KeyValueStore()
    private var header: SnapshotFormat.Header?
    private var stage = Stage.header
    /// Bytes of a part that is not complete yet.
    private var pending: [UInt8] = []
    /// How many bytes the parts before `pending` took.
    private var consumed = 0
    private var checksum = Checksum()
    private var lastLease: LeaseID?
    private var lastRevision: Revision?
    private var error: ByteDecodingError?

    public init() {}

    /// Takes the next bytes. After an error the reader is of no more use, and says so again.
    public mutating func receive(_ bytes: ByteSlice) throws(ByteDecodingError) {
        if let error { throw error }
        bytes.withUnsafeBytes { pending.append(contentsOf: $0) }
        let all = ByteSlice(pending)
        var offset = 0
        do throws(ByteDecodingError) {
            while let size = try nextPartSize(all, offset) {
                let part = all[offset..<offset + size]
                if stage != .trailer { part.withUnsafeBytes { checksum.update($0) } }
                try takePart(part)
                offset += size
                consumed += size
            }
        } catch {
            self.error = error
            pending = []
            throw error
        }
        pending = offset == 0 ? pending : all[offset..<all.count].bytes
    }

    /// The store, once all bytes have been received.
    public mutating func finish() throws(ByteDecodingError) -> KeyValueStore {
        if let error { throw error }
        guard stage == .done else {
            throw failure("the snapshot ends early")
        }
        guard let header, UInt64(store.index.count) == header.keyCount else {
            throw failure("the snapshot holds another number of keys than it announced")
        }
        try attachLeases()
        defer { store = KeyValueStore() }
        return store
    }

    /// The size of the part that `offset` begins with, once all of it is there.
    private func nextPartSize(_ bytes: ByteSlice, _ offset: Int) throws(ByteDecodingError) -> Int? {
        let available = bytes.count - offset
        let size: Int
        switch stage {
        case .header: size = SnapshotFormat.headerSizeBytes
        case .trailer: size = SnapshotFormat.trailerSizeBytes
        case .leases, .versions:
            guard available >= 4 else { return nil }
            var reader = ByteReader(bytes[offset..<offset + 4])
            let length = Int(try reader.readUInt32())
            guard length <= SnapshotFormat.maximumPartSizeBytes else {
                throw failure("a part of the snapshot is \(length) bytes long, more than there can be")
            }
            size = length + 4
        case .done:
            guard available == 0 else { throw failure("\(available) bytes follow the snapshot's end") }
            return nil
        }
        return available >= size ? size : nil
    }

    private mutating func takePart(_ part: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(part)
        do throws(ByteDecodingError) {
            switch stage {
            case .header: try takeHeader(&reader)
            case .leases:
                _ = try reader.readUInt32()
                try takeLease(try SnapshotFormat.readLease(&reader))
            case .versions:
                _ = try reader.readUInt32()
                try takeVersion(try SnapshotFormat.readVersion(&reader))
            case .trailer:
                guard try reader.readUInt32() == checksum.value else {
                    throw ByteDecodingError(offset: 0, reason: "the snapshot's checksum does not match")
                }
                stage = .done
            case .done: preconditionFailure("no part follows the trailer")
            }
            try reader.requireEnd()
        } catch {
            throw ByteDecodingError(offset: consumed + error.offset, reason: error.reason)
        }
        moveOn()
    }

    /// Past the sections that have everything that was announced.
    private mutating func moveOn() {
        guard let header else { return }
        if stage == .leases, UInt64(store.leaseTable.count) == header.leaseCount { stage = .versions }
        if stage == .versions, UInt64(store.log.count) == header.versionCount { stage = .trailer }
    }

    private mutating func takeHeader(_ reader: inout ByteReader) throws(ByteDecodingError) {
        let header = try SnapshotFormat.Header(&reader)
        store.revision = header.revision
        store.compactRevision = header.compactRevision
        store.leaseGeneration = header.leaseGeneration
        store.prunePosition = header.prunePosition
        self.header = header
        stage = .leases
    }

    private mutating func takeLease(_ grant: LeaseGrant) throws(ByteDecodingError) {
        guard lastLease.map({ $0 < grant.id }) ?? true, grant.id.rawValue != 0 else {
            throw ByteDecodingError(offset: 4, reason: "leases are out of order")
        }
        guard grant.timeToLiveSeconds >= 1,
            grant.timeToLiveSeconds <= KeyValueLimits.maximumTimeToLiveSeconds,
            grant.generation >= 1, grant.generation <= store.leaseGeneration
        else {
            throw ByteDecodingError(offset: 12, reason: "a lease's time to live or generation is impossible")
        }
        lastLease = grant.id
        store.leaseTable.set(grant.id, LeaseRecord(grant: grant))
        store.sizeBytes += LeaseRecord.sizeBytes
    }

    private mutating func takeVersion(_ record: VersionRecord) throws(ByteDecodingError) {
        let revision = record.revision
        guard lastRevision.map({ $0 < revision }) ?? true, revision.main >= 2, revision.sub >= 0,
            revision.main <= store.revision
        else {
            throw ByteDecodingError(offset: 4, reason: "a version's revision \(revision) is out of order")
        }
        let shared = try appended(record)
        lastRevision = revision
        store.log.set(revision, shared)
        store.sizeBytes += shared.sizeBytes
    }

    /// Puts a version into its key's history, whose storage for the key it then shares.
    private mutating func appended(_ record: VersionRecord) throws(ByteDecodingError) -> VersionRecord {
        let pair = record.keyValue
        var shared = record
        var continues = true
        store.index.upsert(
            KeyBytes(pair.key), insert: { KeyHistory(record) },
            change: { history in
                let before = history.newest
                continues = record.continues(before)
                var pair = pair
                pair.key = before.keyValue.key
                shared = VersionRecord(pair, sub: record.sub)
                history.append(shared)
            })
        guard continues else {
            throw ByteDecodingError(offset: 4, reason: "a version does not continue its key's history")
        }
        return shared
    }

    /// Which keys are on a lease follows from the keys.
    private mutating func attachLeases() throws(ByteDecodingError) {
        var attached: [(LeaseID, KeyBytes)] = []
        store.index.visit { key, history in
            if let lease = history.newest.keyValue.lease { attached.append((lease, key)) }
            return true
        }
        for (lease, key) in attached
        where !store.leaseTable.change(lease, { $0.keys.set(key, NoValue()) }) {
            throw failure("a key is on lease \(lease), which the snapshot does not hold")
        }
    }

    private func failure(_ reason: String) -> ByteDecodingError {
        ByteDecodingError(offset: consumed, reason: reason)
    }
}

extension VersionRecord {
    /// Whether this can be the version of the same key after `before`.
    func continues(_ before: VersionRecord) -> Bool {
        let pair = keyValue
        if isDeletion { return !before.isDeletion }
        if before.isDeletion { return pair.version == 1 }
        return pair.createRevision == before.keyValue.createRevision
            && pair.version == before.keyValue.version + 1
    }
}
