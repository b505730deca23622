import ConsensusTypes
import struct SystemPackage.FilePath

/// A finished snapshot, open for reading. Its header and trailer were checked when it was opened; every
/// chunk is checked when it is read. May be used from any thread.
public final class SnapshotFile: Sendable {
    public let group: GroupID
    public let metadata: SnapshotMetadata
    /// The size of the contents.
    public let sizeBytes: UInt64
    public var path: FilePath { file.path }

    private let file: any File
    private let chunkSizeBytes: Int
    private let headerSizeBytes: Int
    private let headerChecksum: UInt32
    private let contentChecksum: UInt32

    init(_ file: any File) throws(SnapshotError) {
        self.file = file
        let path = file.path
        let header = try SnapshotFile.readHeader(file)
        headerSizeBytes = header.count
        headerChecksum = header.littleEndian32(at: header.count - 4)
        group = GroupID(header.littleEndian64(at: 16))
        chunkSizeBytes = Int(header.littleEndian32(at: 40))
        guard (1...16 << 20).contains(chunkSizeBytes) else {
            throw .damaged(file: path, offset: 40, reason: "a chunk has \(chunkSizeBytes) bytes")
        }
        let flags = header.littleEndian32(at: 44)
        guard flags <= SnapshotFormat.withheldFlag else {
            throw .damaged(file: path, offset: 44, reason: "flags \(flags) are unknown")
        }
        let fixed = SnapshotFormat.fixedHeaderSizeBytes
        do throws(ByteDecodingError) {
            var reader = ByteReader(ByteSlice(header, fixed..<header.count - 4))
            metadata = SnapshotMetadata(
                index: LogIndex(header.littleEndian64(at: 24)), term: Term(header.littleEndian64(at: 32)),
                membership: try Membership.decode(from: &reader),
                isWithheld: flags == SnapshotFormat.withheldFlag)
            try reader.requireEnd()
        } catch {
            throw .damaged(file: path, offset: fixed + error.offset, reason: error.reason)
        }
        let size = try wrappingSnapshot { () throws(FileSystemError) in try file.sizeBytes() }
        let trailerOffset = size - SnapshotFormat.trailerSizeBytes
        guard trailerOffset >= headerSizeBytes else {
            throw .damaged(file: path, offset: size, reason: "the file ends before its trailer")
        }
        let trailer = try SnapshotFile.read(file, SnapshotFormat.trailerSizeBytes, at: trailerOffset)
        let checksum = Checksum.crc32c(Array(trailer[..<20]), continuing: headerChecksum)
        guard Array(trailer[..<8]) == SnapshotFormat.endMagic, trailer.littleEndian32(at: 20) == checksum
        else {
            throw .damaged(file: path, offset: trailerOffset, reason: "the trailer is not what it was")
        }
        sizeBytes = trailer.littleEndian64(at: 8)
        contentChecksum = trailer.littleEndian32(at: 16)
        guard sizeBytes == 0 || !metadata.isWithheld else {
            throw .damaged(
                file: path, offset: trailerOffset, reason: "a witness's snapshot has \(sizeBytes) bytes")
        }
        let chunks = (sizeBytes + UInt64(chunkSizeBytes) - 1) / UInt64(chunkSizeBytes)
        let expected = sizeBytes + chunks * UInt64(SnapshotFormat.chunkHeaderSizeBytes)
        guard UInt64(trailerOffset - headerSizeBytes) == expected else {
            throw .damaged(
                file: path, offset: trailerOffset, reason: "the file's size does not fit \(sizeBytes) bytes")
        }
    }

    /// A snapshot is of use as a whole: a part that the device cannot read is damage like any other.
    private static func read(
        _ file: any File, _ count: Int, at offset: Int
    ) throws(SnapshotError) -> [UInt8] {
        let read = try wrappingSnapshot { () throws(FileSystemError) in
            try file.readAroundFailures(count, at: offset)
        }
        guard let first = read.unreadable.first else { return read.bytes }
        throw .damaged(file: file.path, offset: first.lowerBound, reason: unreadableReason(first))
    }

    private static func readHeader(_ file: any File) throws(SnapshotError) -> [UInt8] {
        let path = file.path
        let fixedSize = SnapshotFormat.fixedHeaderSizeBytes
        func read(_ count: Int) throws(SnapshotError) -> [UInt8] {
            try SnapshotFile.read(file, count, at: 0)
        }
        let fixed = try read(fixedSize)
        guard fixed.count == fixedSize else {
            throw .damaged(file: path, offset: fixed.count, reason: "the file ends within its header")
        }
        guard Array(fixed[..<8]) == SnapshotFormat.magic else {
            throw .damaged(file: path, offset: 0, reason: "it does not begin like a snapshot")
        }
        let size = Int(fixed.littleEndian32(at: 12))
        guard size >= fixedSize + 16, size <= SnapshotFormat.maximumHeaderSizeBytes else {
            throw .damaged(file: path, offset: 12, reason: "the header's length is wrong")
        }
        let header = try read(size)
        guard header.count == size,
            Checksum.crc32c(Array(header[..<(size - 4)])) == header.littleEndian32(at: size - 4)
        else {
            throw .damaged(file: path, offset: 0, reason: "the header's checksum does not match")
        }
        let version = header.littleEndian32(at: 8)
        guard version == SnapshotFormat.version else {
            throw .unsupportedVersion(file: path, found: version, supported: SnapshotFormat.version)
        }
        return header
    }

    /// Up to `maximum` bytes of the contents from `offset` on: fewer only where they end, and none at the
    /// end itself.
    public func read(at offset: UInt64, maximum: Int) throws(SnapshotError) -> ByteSlice {
        precondition(maximum > 0, "nothing was asked for")
        guard offset <= sizeBytes else {
            throw .outOfRange(file: path, offset: offset, sizeBytes: sizeBytes)
        }
        let end = offset + min(UInt64(maximum), sizeBytes - offset)
        var result: [UInt8] = []
        result.reserveCapacity(Int(end - offset))
        var position = offset
        while position < end {
            let (number, within) = position.quotientAndRemainder(dividingBy: UInt64(chunkSizeBytes))
            let chunk = try readChunk(number)
            let count = min(chunk.count - Int(within), Int(end - position))
            result.append(contentsOf: chunk.dropFirst(Int(within)).prefix(count))
            position += UInt64(count)
        }
        return ByteSlice(result)
    }

    /// Reads everything and checks it.
    public func validate() throws(SnapshotError) {
        var checksum: UInt32 = 0
        var number: UInt64 = 0
        while number * UInt64(chunkSizeBytes) < sizeBytes {
            let chunk = try readChunk(number)
            checksum = chunk.withUnsafeBytes { Checksum.crc32c($0, continuing: checksum) }
            number += 1
        }
        guard checksum == contentChecksum else {
            throw .damaged(
                file: path, offset: headerSizeBytes, reason: "the contents' checksum does not match")
        }
    }

    private func readChunk(_ number: UInt64) throws(SnapshotError) -> ArraySlice<UInt8> {
        let headerSize = SnapshotFormat.chunkHeaderSizeBytes
        let logical = number * UInt64(chunkSizeBytes)
        let offset = headerSizeBytes + Int(number) * (headerSize + chunkSizeBytes)
        let count = Int(min(UInt64(chunkSizeBytes), sizeBytes - logical))
        let bytes = try SnapshotFile.read(file, headerSize + count, at: offset)
        guard bytes.count == headerSize + count else {
            throw .damaged(file: path, offset: offset + bytes.count, reason: "the file ends within a chunk")
        }
        let checksum = headerChecksum
        let expected = bytes.withBytes {
            SnapshotFormat.chunkHeader(
                .init(rebasing: $0[headerSize...]), at: logical, headerChecksum: checksum)
        }
        guard bytes[..<headerSize].elementsEqual(expected) else {
            throw .damaged(file: path, offset: offset, reason: "a chunk's checksum does not match")
        }
        return bytes[headerSize...]
    }
}
