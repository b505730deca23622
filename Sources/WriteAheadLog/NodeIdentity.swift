import ConsensusTypes
import struct SystemPackage.FilePath

/// Whose data a directory holds.
public struct NodeIdentity: Hashable, Sendable {
    public static let maximumNameBytes = 1_024

    public let cluster: ClusterID
    public let node: NodeID
    /// At most ``maximumNameBytes`` of UTF-8.
    public let name: String

    public init(cluster: ClusterID, node: NodeID, name: String) {
        self.cluster = cluster
        self.node = node
        self.name = name
    }
}

/// The file `IDENTITY`; docs/formats/data-directory.md shows its bytes.
struct IdentityFile: Hashable, Sendable {
    static let fileName = "IDENTITY"
    static let magic: [UInt8] = Array("HOLDNODE".utf8)
    static let version: UInt32 = 1
    static let fixedSizeBytes = 40

    let identity: NodeIdentity
    /// Whether the log exists: from then on its absence is an error.
    let isInitialized: Bool

    func encoded() -> [UInt8] {
        let name = Array(identity.name.utf8)
        var bytes = IdentityFile.magic
        bytes.appendLittleEndian(IdentityFile.version)
        bytes.appendLittleEndian(UInt32(IdentityFile.fixedSizeBytes + name.count + 4))
        bytes.appendLittleEndian(identity.cluster.rawValue)
        bytes.appendLittleEndian(identity.node.rawValue)
        bytes.appendLittleEndian(UInt32(isInitialized ? 1 : 0))
        bytes.appendLittleEndian(UInt32(name.count))
        bytes.append(contentsOf: name)
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    static func decode(_ bytes: [UInt8], _ path: FilePath) throws(DataDirectoryError) -> IdentityFile {
        guard bytes.count >= fixedSizeBytes + 4 else {
            throw .damaged(file: path, offset: bytes.count, reason: "the file is too short")
        }
        guard Array(bytes[..<8]) == magic else {
            throw .damaged(file: path, offset: 0, reason: "it does not begin like an identity")
        }
        guard bytes.littleEndian32(at: 12) == UInt32(bytes.count) else {
            throw .damaged(
                file: path, offset: 12,
                reason: "it should have \(bytes.littleEndian32(at: 12)) bytes and has \(bytes.count)")
        }
        let end = bytes.count - 4
        guard Checksum.crc32c(Array(bytes[..<end])) == bytes.littleEndian32(at: end) else {
            throw .damaged(file: path, offset: 0, reason: "the checksum does not match")
        }
        let version = bytes.littleEndian32(at: 8)
        guard version == IdentityFile.version else {
            throw .unsupportedVersion(file: path, found: version, supported: IdentityFile.version)
        }
        guard Int(bytes.littleEndian32(at: 36)) == end - fixedSizeBytes else {
            throw .damaged(file: path, offset: 36, reason: "the name's length is wrong")
        }
        return IdentityFile(
            identity: NodeIdentity(
                cluster: ClusterID(bytes.littleEndian64(at: 16)), node: NodeID(bytes.littleEndian64(at: 24)),
                name: String(decoding: bytes[fixedSizeBytes..<end], as: UTF8.self)),
            isInitialized: bytes.littleEndian32(at: 32) == 1)
    }

    /// `nil` where there is none.
    static func read(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> IdentityFile? {
        let path = directory.appending(fileName)
        let limit = fixedSizeBytes + NodeIdentity.maximumNameBytes + 4
        let bytes = try wrappingDirectory { () throws(FileSystemError) -> [UInt8]? in
            guard try fileSystem.exists(path) else { return nil }
            return try fileSystem.open(path, .read).readBytes(limit + 1, at: 0)
        }
        return try bytes.map { (bytes) throws(DataDirectoryError) in try decode(bytes, path) }
    }

    /// As a whole or not at all, durable on return.
    func write(_ directory: FilePath, _ fileSystem: any FileSystem) throws(DataDirectoryError) {
        let path = directory.appending(IdentityFile.fileName)
        let partial = directory.appending(IdentityFile.fileName + SnapshotFormat.partialSuffix)
        let bytes = encoded()
        try wrappingDirectory { () throws(FileSystemError) in
            let file = try fileSystem.open(partial, .createOrOpen)
            try file.truncate(to: 0)
            try file.write(bytes, at: 0)
            try file.synchronize()
            try fileSystem.rename(partial, to: path)
            try fileSystem.synchronizeDirectory(directory)
        }
    }
}
