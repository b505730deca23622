import SystemPackage

/// Reads a segment in big blocks, each of them an array of its own, so that entries can share its storage.
///
/// What the device cannot read is an error as soon as it is needed, or, in a salvage, zeros.
struct SegmentReader {
    let file: any File
    let header: SegmentHeader
    private let blockSizeBytes: Int
    private let isSalvage: Bool
    private(set) var block: [UInt8] = []
    private(set) var blockStart = 0
    private var unreadableInBlock: [Range<Int>] = []
    /// In a salvage: what was needed and could not be read, in the order in which it was found.
    private(set) var unreadable: [Range<Int>] = []

    init(_ file: any File, _ header: SegmentHeader, blockSizeBytes: Int, isSalvage: Bool = false) {
        self.file = file
        self.header = header
        self.blockSizeBytes = blockSizeBytes
        self.isSalvage = isSalvage
    }

    /// A reader for a salvage, of a segment whose header may be damaged.
    init(_ file: any File, segment: UInt64, capacity: Int, blockSizeBytes: Int) {
        let header = SegmentHeader(
            segment: segment, capacity: capacity, firstSequence: 0, previousEnd: 0, isRecycled: true)
        self.init(file, header, blockSizeBytes: blockSizeBytes, isSalvage: true)
    }

    enum Batch {
        /// An intact batch, and where its body is in the block.
        case intact(BatchHeader, body: Range<Int>)
        case headerInvalid
        /// The header is intact, the body is not.
        case bodyInvalid(BatchHeader)
    }

    mutating func batch(at offset: Int) throws(WriteAheadLogError) -> Batch {
        guard try load(BatchHeader.sizeBytes, at: offset) else { return .headerInvalid }
        let segment = header.segment
        let start = offset - blockStart
        let parsed = block.withBytes { raw in
            BatchHeader.parse(.init(rebasing: raw[start...]), segment: segment, offset: offset)
        }
        guard let parsed else { return .headerInvalid }
        guard try load(parsed.totalSizeBytes, at: offset) else { return .bodyInvalid(parsed) }
        let lower = offset - blockStart + BatchHeader.sizeBytes
        let body = lower..<lower + parsed.bodySizeBytes
        let checksum = block.withBytes { Checksum.crc32c(.init(rebasing: $0[body])) }
        return checksum == parsed.bodyChecksum ? .intact(parsed, body: body) : .bodyInvalid(parsed)
    }

    /// Brings these bytes into the block; `false` where the segment ends before.
    private mutating func load(_ count: Int, at offset: Int) throws(WriteAheadLogError) -> Bool {
        guard offset + count <= header.capacity else { return false }
        if offset < blockStart || offset + count > blockStart + block.count {
            let wanted = min(max(blockSizeBytes, count), header.capacity - offset)
            let read = try read(wanted, at: offset)
            block = read.bytes
            unreadableInBlock = read.unreadable
            blockStart = offset
        }
        if !unreadableInBlock.isEmpty {
            try note(unreadableInBlock.filter { $0.overlaps(offset..<offset + count) })
        }
        return offset + count <= blockStart + block.count
    }

    private func read(_ count: Int, at offset: Int) throws(WriteAheadLogError) -> ReadBytes {
        let file = file
        return try wrapping { () throws(FileSystemError) in
            try file.readAroundFailures(count, at: offset)
        }
    }

    /// These parts are needed and could not be read.
    private mutating func note(_ ranges: [Range<Int>]) throws(WriteAheadLogError) {
        guard isSalvage else { return try refuse(ranges) }
        for range in ranges where !unreadable.contains(where: { $0.overlaps(range) }) {
            unreadable.append(range)
        }
    }

    private func refuse(_ ranges: [Range<Int>]) throws(WriteAheadLogError) {
        guard let first = ranges.first else { return }
        throw .damaged(file: file.path, offset: first.lowerBound, reason: unreadableReason(first))
    }

    /// Where behind `offset` a batch stands that was written after the one with `sequence`, which proves
    /// that the batch with `sequence` had been durable. Also where the bytes end that are not zero. A part
    /// that cannot be read might hold such a batch, and could not be written to: it is an error.
    func evidence(
        after offset: Int, beyond sequence: UInt64
    ) throws(WriteAheadLogError) -> (offset: Int?, lastUsed: Int) {
        let mostBatches = UInt64(header.capacity / BatchHeader.sizeBytes)
        let stepSizeBytes = 1 << 20
        var lastUsed = offset
        var start = offset
        while start < header.capacity {
            let count = min(stepSizeBytes + BatchHeader.sizeBytes, header.capacity - start)
            let read = try read(count, at: start)
            try refuse(read.unreadable)
            let bytes = read.bytes
            let segment = header.segment
            let found = bytes.withBytes { raw -> Int? in
                var position = 0
                while position + BatchHeader.sizeBytes <= raw.count {
                    if raw.loadUnaligned(fromByteOffset: position, as: UInt64.self) != 0 {
                        lastUsed = start + position + BatchHeader.alignment
                    }
                    let candidate = UInt64(
                        littleEndian: raw.loadUnaligned(fromByteOffset: position + 16, as: UInt64.self))
                    // Nearly always decides alone; the rest of the header is looked at only then.
                    if candidate &- sequence &- 1 < mostBatches, start + position > offset,
                        BatchHeader.parse(
                            .init(rebasing: raw[position...]), segment: segment, offset: start + position)
                            != nil
                    {
                        return start + position
                    }
                    position += BatchHeader.alignment
                }
                return nil
            }
            if let found { return (found, lastUsed) }
            if count < stepSizeBytes + BatchHeader.sizeBytes { break }
            start += stepSizeBytes
        }
        return (nil, lastUsed)
    }

    /// Where, from `start` on, the header of any batch or mark of this segment stands that is later than
    /// `sequence`; `nil` where there is none.
    mutating func nextBatch(from start: Int, beyond sequence: UInt64) throws(WriteAheadLogError) -> Int? {
        let stepSizeBytes = 1 << 20
        let (segment, capacity) = (header.segment, header.capacity)
        var from = start
        while from + BatchHeader.sizeBytes <= capacity {
            let blockStart = from
            let count = min(stepSizeBytes + BatchHeader.sizeBytes, capacity - from)
            let read = try read(count, at: blockStart)
            try note(read.unreadable)
            let found = read.bytes.withBytes { raw -> Int? in
                var position = 0
                while position + BatchHeader.sizeBytes <= raw.count {
                    // The kind's four bytes decide nearly always; the checksum is worked out only then.
                    let kind = raw.loadUnaligned(fromByteOffset: position + 12, as: UInt32.self)
                    let candidate = raw.loadUnaligned(fromByteOffset: position + 16, as: UInt64.self)
                    if UInt32(littleEndian: kind) &- 1 < 5, UInt64(littleEndian: candidate) > sequence,
                        BatchHeader.parse(
                            .init(rebasing: raw[position...]), segment: segment,
                            offset: blockStart + position) != nil
                    {
                        return blockStart + position
                    }
                    position += BatchHeader.alignment
                }
                return nil
            }
            if let found { return found }
            if count < stepSizeBytes + BatchHeader.sizeBytes { break }
            from += stepSizeBytes
        }
        return nil
    }
}
