import ConsensusTypes
import struct SystemPackage.FilePath

/// What a node knows of its cluster apart from its log: the file `CLUSTER`, which docs/formats/data-directory.md
/// shows.
///
/// A node's first membership must not depend on how it is started the next time, and a node whose log is damaged
/// must still know whom to ask. The file holds everything twice, at places that no single damage hits.
public struct ClusterRecord: Hashable, Sendable {
    /// A node that was a member and is none any more.
    public struct Departed: Hashable, Sendable {
        public let node: NodeID
        /// The index of the membership without it, and one more.
        public let position: UInt64

        public init(node: NodeID, position: UInt64) {
            self.node = node
            self.position = position
        }
    }

    /// The cluster that the node belongs to; 0 for one that joins and was not told yet.
    public var cluster: ClusterID
    /// Whether the node joined a cluster that ran before it. `first` is then a guess.
    public var isJoined: Bool
    /// The membership that the log began with.
    public var first: Membership
    /// The last one that was known to be committed.
    public var latest: Membership
    /// Where in the log it stands; zero for the first.
    public var latestIndex: LogIndex
    /// Nodes that were members and are not any more, oldest first, at most ``maximumDeparted``.
    public var departed: [Departed]

    public static let maximumDeparted = 1_024

    public init(
        cluster: ClusterID, isJoined: Bool, first: Membership, latest: Membership,
        latestIndex: LogIndex = .zero, departed: [Departed] = []
    ) {
        self.cluster = cluster
        self.isJoined = isJoined
        self.first = first
        self.latest = latest
        self.latestIndex = latestIndex
        self.departed = departed
    }
}

/// Reads and writes a ``ClusterRecord`` in a data directory.
public enum ClusterFile {
    public static let name = "CLUSTER"
    static let magic: [UInt8] = Array("HOLDCLUS".utf8)
    static let version: UInt32 = 1
    static let fixedSizeBytes = 24
    /// Where the second copy may begin.
    static let alignmentBytes = 4_096
    static let maximumSizeBytes = 16 << 20

    /// `nil` where there is none. Throws ``DataDirectoryError/damaged(file:offset:reason:)`` where neither copy
    /// is intact.
    public static func read(
        _ directory: FilePath, fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> ClusterRecord? {
        let found = try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.read(directory, name, limit: maximumSizeBytes, fileSystem)
        }
        // Zeros stand for what cannot be read: they are no copy.
        guard let bytes = found?.bytes else { return nil }
        let path = directory.appending(name)
        var first: DataDirectoryError?
        for offset in stride(from: 0, to: max(bytes.count, 1), by: alignmentBytes) {
            do throws(DataDirectoryError) {
                return try decode(bytes, at: offset, path)
            } catch {
                if case .unsupportedVersion = error { throw error }
                first = first ?? error
            }
        }
        throw first!
    }

    /// As a whole or not at all, durable on return. The directory must exist.
    public static func write(
        _ record: ClusterRecord, _ directory: FilePath, fileSystem: any FileSystem
    ) throws(DataDirectoryError) {
        let one = encode(record)
        precondition(one.count <= maximumSizeBytes / 4, "a membership is larger than memberships can be")
        let padding = (alignmentBytes - one.count % alignmentBytes) % alignmentBytes
        let bytes = one + [UInt8](repeating: 0, count: padding) + one
        try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.write(bytes, directory, name, fileSystem)
        }
    }

    static func encode(_ record: ClusterRecord) -> [UInt8] {
        var contents = ByteWriter()
        contents.write(record.cluster.rawValue)
        contents.write(record.isJoined)
        record.first.encode(into: &contents)
        record.latest.encode(into: &contents)
        contents.write(record.latestIndex.rawValue)
        contents.write(UInt32(record.departed.count))
        for departed in record.departed {
            contents.write(departed.node.rawValue)
            contents.write(departed.position)
        }
        var bytes = magic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(UInt32(fixedSizeBytes + contents.bytes.count))
        bytes.appendLittleEndian(Checksum.crc32c(contents.bytes))
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes + contents.bytes
    }

    private static func decode(
        _ file: [UInt8], at start: Int, _ path: FilePath
    ) throws(DataDirectoryError) -> ClusterRecord {
        func damaged(_ offset: Int, _ reason: String) -> DataDirectoryError {
            .damaged(file: path, offset: start + offset, reason: reason)
        }
        guard file.count - start >= fixedSizeBytes else { throw damaged(0, "the file is too short") }
        let bytes = Array(file[start...])
        guard Array(bytes[..<8]) == magic else {
            throw damaged(0, "it does not begin like what is known of a cluster")
        }
        guard Checksum.crc32c(Array(bytes[..<20])) == bytes.littleEndian32(at: 20) else {
            throw damaged(20, "the checksum does not match")
        }
        guard bytes.littleEndian32(at: 8) == version else {
            throw .unsupportedVersion(
                file: path, found: bytes.littleEndian32(at: 8), supported: version)
        }
        let size = Int(bytes.littleEndian32(at: 12))
        guard size >= fixedSizeBytes, size <= bytes.count else { throw damaged(12, "the size is wrong") }
        let contents = Array(bytes[fixedSizeBytes..<size])
        guard Checksum.crc32c(contents) == bytes.littleEndian32(at: 16) else {
            throw damaged(16, "the checksum does not match")
        }
        do throws(ByteDecodingError) {
            return try decodeContents(ByteSlice(contents))
        } catch {
            throw damaged(fixedSizeBytes + error.offset, error.reason)
        }
    }

    private static func decodeContents(_ contents: ByteSlice) throws(ByteDecodingError) -> ClusterRecord {
        var reader = ByteReader(contents)
        let cluster = ClusterID(try reader.readUInt64())
        let isJoined = try reader.readBool()
        let first = try Membership.decode(from: &reader)
        let latest = try Membership.decode(from: &reader)
        let latestIndex = LogIndex(try reader.readUInt64())
        let count = Int(try reader.readUInt32())
        guard count <= ClusterRecord.maximumDeparted else {
            throw ByteDecodingError(offset: reader.offset - 4, reason: "\(count) departed nodes are too many")
        }
        var departed: [ClusterRecord.Departed] = []
        for _ in 0..<count {
            let node = NodeID(try reader.readUInt64())
            departed.append(ClusterRecord.Departed(node: node, position: try reader.readUInt64()))
        }
        try reader.requireEnd()
        return ClusterRecord(
            cluster: cluster, isJoined: isJoined, first: first, latest: latest, latestIndex: latestIndex,
            departed: departed)
    }
}
