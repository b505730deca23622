import ConsensusTypes

/// A record of a batch whose checksum holds.
enum LogRecord: Sendable {
    case hardState(GroupID, HardState)
    case snapshot(GroupID, SnapshotMetadata, keepsSuffix: Bool)
    case entries(GroupID, first: LogIndex, [Entry])
    case checkpoint(GroupCheckpoint)
}

/// Reads the records of one batch. Payloads share the block's storage.
struct RecordDecoder {
    private let block: [UInt8]
    private let end: Int
    /// In the block.
    private(set) var offset: Int

    init(_ block: [UInt8], _ range: Range<Int>) {
        self.block = block
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next record, or `nil` at the end of the batch. Offsets of errors count from the block's start.
    mutating func next() throws(ByteDecodingError) -> LogRecord? {
        guard offset < end else { return nil }
        let start = offset
        guard end - start >= RecordEncoder.headerSizeBytes else {
            throw ByteDecodingError(offset: start, reason: "a record's header is cut short")
        }
        let head = block.littleEndian64(at: start)
        let group = GroupID(block.littleEndian64(at: start + 8))
        let size = Int(head >> 32)
        let body = start + RecordEncoder.headerSizeBytes
        guard end - body >= RecordEncoder.padded(size) else {
            throw ByteDecodingError(offset: start, reason: "a record is longer than its batch")
        }
        guard let kind = RecordKind(rawValue: UInt8(truncatingIfNeeded: head)), head >> 16 & 0xffff == 0
        else {
            throw ByteDecodingError(offset: start, reason: "a record's kind is not known")
        }
        let flags = UInt8(truncatingIfNeeded: head >> 8)
        offset = body + RecordEncoder.padded(size)
        do throws(ByteDecodingError) {
            return try decode(kind, flags, group, body..<body + size)
        } catch {
            throw ByteDecodingError(offset: body + error.offset, reason: error.reason)
        }
    }

    private func decode(
        _ kind: RecordKind, _ flags: UInt8, _ group: GroupID, _ range: Range<Int>
    ) throws(ByteDecodingError) -> LogRecord {
        if kind == .entries {
            return try decodeEntries(group, range)
        }
        var reader = ByteReader(ByteSlice(block, range))
        let record: LogRecord
        switch kind {
        case .hardState:
            record = .hardState(group, try RecordDecoder.hardState(&reader, flags))
        case .snapshot:
            record = .snapshot(
                group, try RecordDecoder.snapshot(&reader, isWithheld: flags & 2 != 0),
                keepsSuffix: flags & 1 != 0)
        case .checkpoint, .entries:
            var checkpoint = GroupCheckpoint(group: group)
            checkpoint.hardState = try RecordDecoder.hardState(&reader, flags)
            checkpoint.lastIndex = LogIndex(try reader.readUInt64())
            checkpoint.lastTerm = Term(try reader.readUInt64())
            if flags & 2 != 0 {
                checkpoint.snapshot = try RecordDecoder.snapshot(&reader, isWithheld: flags & 4 != 0)
            }
            record = .checkpoint(checkpoint)
        }
        try reader.requireEnd()
        return record
    }

    private static func hardState(
        _ reader: inout ByteReader, _ flags: UInt8
    ) throws(ByteDecodingError) -> HardState {
        let term = Term(try reader.readUInt64())
        let vote = NodeID(try reader.readUInt64())
        let commitIndex = LogIndex(try reader.readUInt64())
        return HardState(term: term, votedFor: flags & 1 != 0 ? vote : nil, commitIndex: commitIndex)
    }

    private static func snapshot(
        _ reader: inout ByteReader, isWithheld: Bool
    ) throws(ByteDecodingError) -> SnapshotMetadata {
        let index = LogIndex(try reader.readUInt64())
        let term = Term(try reader.readUInt64())
        return SnapshotMetadata(
            index: index, term: term, membership: try Membership.decode(from: &reader), isWithheld: isWithheld
        )
    }

    private func decodeEntries(
        _ group: GroupID, _ range: Range<Int>
    ) throws(ByteDecodingError) -> LogRecord {
        guard range.count >= 16 else {
            throw ByteDecodingError(offset: 0, reason: "a record of entries is cut short")
        }
        let first = LogIndex(block.littleEndian64(at: range.lowerBound))
        let count = block.littleEndian64(at: range.lowerBound + 8)
        guard count > 0, count <= UInt64(range.count / RecordEncoder.entryHeaderSizeBytes),
            first.rawValue > 0, first.rawValue <= UInt64(Int64.max) - count
        else {
            throw ByteDecodingError(offset: 8, reason: "\(count) entries do not fit into their record")
        }
        var entries: [Entry] = []
        entries.reserveCapacity(Int(count))
        var position = range.lowerBound + 16
        let (block, end) = (block, range.upperBound)
        try block.withBytes { (raw) throws(ByteDecodingError) in
            for number in 0..<Int(count) {
                func word(_ index: Int) -> UInt64 {
                    UInt64(
                        littleEndian: raw.loadUnaligned(fromByteOffset: position + 8 * index, as: UInt64.self)
                    )
                }
                guard end - position >= RecordEncoder.entryHeaderSizeBytes else {
                    throw ByteDecodingError(
                        offset: position - range.lowerBound, reason: "an entry is cut short")
                }
                let kindAndSize = word(3)
                let size = Int(kindAndSize >> 32)
                let payload = position + RecordEncoder.entryHeaderSizeBytes
                guard let kind = Entry.Kind(rawValue: UInt8(truncatingIfNeeded: kindAndSize)),
                    kindAndSize >> 8 & 0xff_ffff == 0, end - payload >= RecordEncoder.padded(size)
                else {
                    throw ByteDecodingError(
                        offset: position - range.lowerBound, reason: "an entry's kind or length is wrong")
                }
                entries.append(
                    Entry(
                        index: first + number, term: Term(word(0)), kind: kind,
                        proposal: ProposalID(session: word(1), sequence: word(2)),
                        payload: ByteSlice(block, payload..<payload + size)))
                position = payload + RecordEncoder.padded(size)
            }
        }
        guard position == end else {
            throw ByteDecodingError(
                offset: position - range.lowerBound, reason: "a record has bytes left over")
        }
        return .entries(group, first: first, entries)
    }
}
