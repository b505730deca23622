import ConsensusTypes
import struct SystemPackage.FilePath

/// The parts of a snapshot file; docs/formats/snapshot-file.md shows the bytes.
enum SnapshotFormat {
    static let magic: [UInt8] = Array("HOLDSNAP".utf8)
    static let endMagic: [UInt8] = Array("HOLDSEND".utf8)
    static let version: UInt32 = 1
    static let fixedHeaderSizeBytes = 48
    static let chunkHeaderSizeBytes = 16
    static let trailerSizeBytes = 24
    /// In a witness's snapshot, which says where its log starts and has no contents.
    static let withheldFlag: UInt32 = 1
    static let fileSuffix = ".snapshot"
    static let partialSuffix = ".partial"
    static let damagedSuffix = ".damaged"
    /// No header is longer: three lists of at most 1,024 members.
    static let maximumHeaderSizeBytes = 64 << 10

    static func fileName(_ group: GroupID, _ index: LogIndex, _ term: Term) -> String {
        [group.rawValue, index.rawValue, term.rawValue].map(SegmentName.hexadecimal).joined(separator: "-")
            + fileSuffix
    }

    /// Group, index and term of a file's name; `nil` for other names.
    static func parse(_ name: String) -> (group: GroupID, index: LogIndex, term: Term)? {
        guard name.hasSuffix(fileSuffix) else { return nil }
        let numbers = name.dropLast(fileSuffix.count).split(separator: "-", omittingEmptySubsequences: false)
            .compactMap { UInt64($0, radix: 16) }
        guard numbers.count == 3 else { return nil }
        let parsed = (GroupID(numbers[0]), LogIndex(numbers[1]), Term(numbers[2]))
        return fileName(parsed.0, parsed.1, parsed.2) == name ? parsed : nil
    }

    static func header(_ group: GroupID, _ metadata: SnapshotMetadata, chunkSizeBytes: Int) -> [UInt8] {
        var writer = ByteWriter()
        metadata.membership.encode(into: &writer)
        var bytes = magic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(UInt32(fixedHeaderSizeBytes + writer.count + 4))
        bytes.appendLittleEndian(group.rawValue)
        bytes.appendLittleEndian(metadata.index.rawValue)
        bytes.appendLittleEndian(metadata.term.rawValue)
        bytes.appendLittleEndian(UInt32(chunkSizeBytes))
        bytes.appendLittleEndian(metadata.isWithheld ? withheldFlag : 0)
        bytes.append(contentsOf: writer.bytes)
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    /// The 16 bytes before a chunk. The checksum starts from the header's, so that a chunk of another
    /// snapshot, or of another place in this one, does not pass.
    static func chunkHeader(
        _ content: UnsafeRawBufferPointer, at offset: UInt64, headerChecksum: UInt32
    ) -> [UInt8] {
        var covered: [UInt8] = []
        covered.appendLittleEndian(UInt32(content.count))
        covered.appendLittleEndian(offset)
        var bytes: [UInt8] = []
        let checksum = Checksum.crc32c(
            content, continuing: Checksum.crc32c(covered, continuing: headerChecksum))
        bytes.appendLittleEndian(checksum)
        bytes.append(contentsOf: covered)
        return bytes
    }

    static func trailer(size: UInt64, contentChecksum: UInt32, headerChecksum: UInt32) -> [UInt8] {
        var bytes = endMagic
        bytes.appendLittleEndian(size)
        bytes.appendLittleEndian(contentChecksum)
        bytes.appendLittleEndian(Checksum.crc32c(bytes, continuing: headerChecksum))
        return bytes
    }
}
