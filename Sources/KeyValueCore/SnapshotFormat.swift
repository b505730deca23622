import ConsensusTypes

/// The bytes of a snapshot; docs/formats/key-value-snapshot.md describes them.
enum SnapshotFormat {
    /// "HFKVSNAP"
    static let magic: [UInt8] = [0x48, 0x46, 0x4b, 0x56, 0x53, 0x4e, 0x41, 0x50]
    static var version: UInt32 { 1 }
    static var headerSizeBytes: Int { 8 + 4 + 8 * 8 + 1 }
    static var leaseSizeBytes: Int { 24 }
    /// A version without its key, value and lease.
    static var smallestVersionSizeBytes: Int { 8 + 8 + 1 + 4 }
    static var trailerSizeBytes: Int { 4 }
    /// The most bytes in one part: a version of the largest pair.
    static var maximumPartSizeBytes: Int { KeyValueLimits.maximumPairSizeBytes + 64 }

    struct Header: Hashable {
        var revision: Int64
        var compactRevision: Int64
        var leaseGeneration: UInt64
        var prunePosition: Revision?
        var leaseCount: UInt64
        var versionCount: UInt64
        var keyCount: UInt64

        func write(to writer: inout ByteWriter) {
            magic.withUnsafeBytes { writer.writeRaw($0) }
            writer.write(version)
            writer.write(revision)
            writer.write(compactRevision)
            writer.write(leaseGeneration)
            writer.write(prunePosition != nil)
            writer.write(prunePosition?.main ?? 0)
            writer.write(prunePosition?.sub ?? 0)
            writer.write(leaseCount)
            writer.write(versionCount)
            writer.write(keyCount)
        }

        init(store: KeyValueStore) {
            revision = store.revision
            compactRevision = store.compactRevision
            leaseGeneration = store.leaseGeneration
            prunePosition = store.prunePosition
            leaseCount = UInt64(store.leaseTable.count)
            versionCount = UInt64(store.log.count)
            keyCount = UInt64(store.index.count)
        }

        init(_ reader: inout ByteReader) throws(ByteDecodingError) {
            guard try reader.readRaw(8).bytes == magic else {
                throw ByteDecodingError(offset: 0, reason: "this is no snapshot of a key-value store")
            }
            let found = try reader.readUInt32()
            guard found == version else {
                throw ByteDecodingError(
                    offset: 8,
                    reason: "the snapshot has format version \(found), this program knows \(version)")
            }
            revision = try reader.readInt64()
            compactRevision = try reader.readInt64()
            leaseGeneration = try reader.readUInt64()
            let isPruning = try reader.readBool()
            let position = Revision(main: try reader.readInt64(), sub: try reader.readInt64())
            prunePosition = isPruning ? position : nil
            leaseCount = try reader.readUInt64()
            versionCount = try reader.readUInt64()
            keyCount = try reader.readUInt64()
            guard revision >= 1, compactRevision >= -1, compactRevision <= revision,
                isPruning || position == Revision(main: 0, sub: 0),
                position.main >= -1, position.main <= compactRevision || !isPruning, position.sub >= 0
            else {
                throw ByteDecodingError(offset: 12, reason: "the snapshot's revisions contradict each other")
            }
        }
    }

    static func write(_ grant: LeaseGrant, to writer: inout ByteWriter) {
        writer.write(UInt32(leaseSizeBytes))
        writer.write(grant.id.rawValue)
        writer.write(grant.timeToLiveSeconds)
        writer.write(grant.generation)
    }

    static func readLease(_ reader: inout ByteReader) throws(ByteDecodingError) -> LeaseGrant {
        let id = LeaseID(try reader.readInt64())
        let timeToLive = try reader.readInt64()
        return LeaseGrant(id: id, timeToLiveSeconds: timeToLive, generation: try reader.readUInt64())
    }

    static func write(_ record: VersionRecord, to writer: inout ByteWriter) {
        let pair = record.keyValue
        let lengthAt = writer.count
        writer.write(UInt32(0))
        writer.write(pair.modRevision)
        writer.write(record.sub)
        writer.write(UInt8((record.isDeletion ? 1 : 0) | (pair.lease != nil ? 2 : 0)))
        writer.writeSized(pair.key)
        if !record.isDeletion {
            writer.write(pair.createRevision)
            writer.write(pair.version)
            if let lease = pair.lease { writer.write(lease.rawValue) }
            writer.writeSized(pair.value)
        }
        writer.overwrite(at: lengthAt, with: UInt32(writer.count - lengthAt - 4))
    }

    static func readVersion(_ reader: inout ByteReader) throws(ByteDecodingError) -> VersionRecord {
        let revision = Revision(main: try reader.readInt64(), sub: try reader.readInt64())
        let flags = try FlagReader(&reader, known: 0x03)
        let key = try reader.readSized().bytes
        guard !key.isEmpty else {
            throw ByteDecodingError(offset: reader.offset, reason: "a key is empty")
        }
        if flags[0] {
            guard !flags[1] else {
                throw ByteDecodingError(offset: 16, reason: "a deletion is on a lease")
            }
            return .deletion(of: key, at: revision)
        }
        let created = try reader.readInt64()
        let version = try reader.readInt64()
        let lease = flags[1] ? LeaseID(try reader.readInt64()) : nil
        let value = try reader.readSized().bytes
        guard version >= 1, created >= 2, created <= revision.main, version > 1 || created == revision.main
        else {
            throw ByteDecodingError(
                offset: reader.offset, reason: "version and create revision contradict each other")
        }
        return VersionRecord(
            KeyValue(
                key: key, value: value, createRevision: created, modRevision: revision.main, version: version,
                lease: lease),
            sub: revision.sub)
    }
}
