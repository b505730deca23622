import SystemPackage

/// The first 64 bytes of a segment; docs/formats/write-ahead-log.md shows them.
struct SegmentHeader: Hashable, Sendable {
    static let sizeBytes = 64
    static let magic: [UInt8] = Array("HOLDFLOG".utf8)
    static let version: UInt32 = 1

    let segment: UInt64
    /// The size of the file.
    let capacity: Int
    /// The sequence of the first batch, the head.
    let firstSequence: UInt64
    /// Where the batches of the segment before end; 0 for the first segment of a log.
    let previousEnd: Int
    /// Whether the file held a segment before, whose bytes may follow the end of this one's.
    let isRecycled: Bool

    func encoded() -> [UInt8] {
        var bytes = SegmentHeader.magic
        bytes.appendLittleEndian(SegmentHeader.version)
        bytes.appendLittleEndian(UInt32(SegmentHeader.sizeBytes))
        bytes.appendLittleEndian(segment)
        bytes.appendLittleEndian(UInt64(capacity))
        bytes.appendLittleEndian(firstSequence)
        bytes.appendLittleEndian(UInt64(previousEnd))
        bytes.appendLittleEndian(UInt32(isRecycled ? 1 : 0))
        bytes.appendLittleEndian(UInt32(0))
        bytes.appendLittleEndian(UInt32(0))
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    /// Reads and checks the header of the segment that `file` is named as.
    static func read(_ file: any File, segment: UInt64) throws(WriteAheadLogError) -> SegmentHeader {
        let path = file.path
        let read = try wrapping { () throws(FileSystemError) in
            try file.readAroundFailures(sizeBytes, at: 0)
        }
        guard read.unreadable.isEmpty else {
            throw .damaged(
                file: path, offset: 0, reason: unreadableReason(read.unreadable[0]))
        }
        let bytes = read.bytes
        guard bytes.count == sizeBytes else {
            throw .damaged(file: path, offset: bytes.count, reason: "the file ends within its header")
        }
        let isIntact = Checksum.crc32c(Array(bytes[..<60])) == bytes.littleEndian32(at: 60)
        guard Array(bytes[..<8]) == magic else {
            // Where only the magic is wrong the header's own checksum cannot hold, so count what differs. A
            // file of a segment's size is one whose beginning was overwritten.
            let differing = zip(bytes, magic).count { $0 != $1 }
            let size = try wrapping { () throws(FileSystemError) in try file.sizeBytes() }
            if differing <= 4 || bytes.allSatisfy({ $0 == 0 }) || (size >= 4_096 && size % 4_096 == 0) {
                throw .damaged(file: path, offset: 0, reason: "the header's first bytes are wrong")
            }
            throw .foreign(file: path)
        }
        let version = bytes.littleEndian32(at: 8)
        guard isIntact else {
            throw .damaged(file: path, offset: 0, reason: "the header's checksum does not match")
        }
        guard version == SegmentHeader.version else {
            throw .unsupportedVersion(file: path, found: version, supported: SegmentHeader.version)
        }
        let header = SegmentHeader(
            segment: bytes.littleEndian64(at: 16),
            capacity: Int(truncatingIfNeeded: bytes.littleEndian64(at: 24)),
            firstSequence: bytes.littleEndian64(at: 32),
            previousEnd: Int(truncatingIfNeeded: bytes.littleEndian64(at: 40)),
            isRecycled: bytes.littleEndian32(at: 48) == 1)
        guard header.segment == segment else {
            throw .damaged(
                file: path, offset: 16,
                reason: "the file is named \(segment) but holds segment \(header.segment)")
        }
        let size = try wrapping { () throws(FileSystemError) in try file.sizeBytes() }
        guard header.capacity <= size else {
            throw .damaged(
                file: path, offset: size, reason: "the file ends here but had \(header.capacity) bytes")
        }
        return header
    }
}

/// Calls the file system on behalf of the log.
func wrapping<Result>(
    _ body: () throws(FileSystemError) -> Result
) throws(WriteAheadLogError) -> Result {
    do throws(FileSystemError) {
        return try body()
    } catch {
        throw .fileSystem(error)
    }
}

/// The names of files in a log's directory.
enum SegmentName {
    static let segmentSuffix = ".segment"
    static let sparePrefix = "spare-"

    static func segment(_ number: UInt64) -> String {
        hexadecimal(number) + segmentSuffix
    }

    static func spare(_ number: UInt64) -> String {
        sparePrefix + hexadecimal(number)
    }

    static func segmentNumber(_ name: String) -> UInt64? {
        guard name.hasSuffix(segmentSuffix) else { return nil }
        return number(name.dropLast(segmentSuffix.count))
    }

    static func spareNumber(_ name: String) -> UInt64? {
        guard name.hasPrefix(sparePrefix) else { return nil }
        return number(name.dropFirst(sparePrefix.count))
    }

    private static func number(_ digits: Substring) -> UInt64? {
        guard digits.count == 16, let value = UInt64(digits, radix: 16), hexadecimal(value) == digits else {
            return nil
        }
        return value
    }

    /// Sixteen lower-case digits.
    static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
