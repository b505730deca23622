import ConsensusTypes
import struct SystemPackage.FilePath

/// The file `IDENTITY`; docs/formats/data-directory.md shows its bytes.
struct IdentityFile: Hashable, Sendable {
    static let fileName = "IDENTITY"
    static let magic: [UInt8] = Array("HOLDNODE".utf8)
    static let version: UInt32 = 2
    static let fixedSizeBytes = 56
    /// Of version 1, which ended before the directory's id.
    static let oldFixedSizeBytes = 40

    let identity: NodeIdentity
    /// `nil` in a file of version 1.
    var directory: DirectoryID?
    var startCount: UInt64 = 0
    /// Whether the log exists: from then on its absence is an error.
    var isInitialized = false
    var isAdmitted = false

    func encoded() -> [UInt8] {
        guard let directory else { preconditionFailure("an identity is written with a directory's id") }
        let name = Array(identity.name.utf8)
        var bytes = IdentityFile.magic
        bytes.appendLittleEndian(IdentityFile.version)
        bytes.appendLittleEndian(UInt32(IdentityFile.fixedSizeBytes + name.count + 4))
        bytes.appendLittleEndian(identity.cluster.rawValue)
        bytes.appendLittleEndian(identity.node.rawValue)
        bytes.appendLittleEndian(UInt32((isInitialized ? 1 : 0) | (isAdmitted ? 2 : 0)))
        bytes.appendLittleEndian(UInt32(name.count))
        bytes.appendLittleEndian(directory.rawValue)
        bytes.appendLittleEndian(startCount)
        bytes.append(contentsOf: name)
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    static func decode(_ bytes: [UInt8], _ path: FilePath) throws(DataDirectoryError) -> IdentityFile {
        guard bytes.count >= oldFixedSizeBytes + 4 else {
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
        let found = bytes.littleEndian32(at: 8)
        guard (1...version).contains(found) else {
            throw .unsupportedVersion(file: path, found: found, supported: version)
        }
        let nameOffset = found == 1 ? oldFixedSizeBytes : fixedSizeBytes
        guard nameOffset <= end, Int(bytes.littleEndian32(at: 36)) == end - nameOffset else {
            throw .damaged(file: path, offset: 36, reason: "the name's length is wrong")
        }
        let flags = bytes.littleEndian32(at: 32)
        var file = IdentityFile(
            identity: NodeIdentity(
                cluster: ClusterID(bytes.littleEndian64(at: 16)), node: NodeID(bytes.littleEndian64(at: 24)),
                name: String(decoding: bytes[nameOffset..<end], as: UTF8.self)))
        file.isInitialized = flags & 1 != 0
        if found == 1 {
            // There was no admission then: who had a log took part.
            file.isAdmitted = file.isInitialized
        } else {
            file.isAdmitted = flags & 2 != 0
            file.directory = DirectoryID(bytes.littleEndian64(at: 40))
            file.startCount = bytes.littleEndian64(at: 48)
        }
        return file
    }

    /// `nil` where there is none.
    static func read(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> IdentityFile? {
        let limit = fixedSizeBytes + NodeIdentity.maximumNameBytes + 4
        let bytes = try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.read(directory, fileName, limit: limit, fileSystem)
        }
        let path = directory.appending(fileName)
        return try bytes.map { (bytes) throws(DataDirectoryError) in try decode(bytes, path) }
    }

    /// As a whole or not at all, durable on return.
    func write(_ directory: FilePath, _ fileSystem: any FileSystem) throws(DataDirectoryError) {
        let bytes = encoded()
        try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.write(bytes, directory, IdentityFile.fileName, fileSystem)
            // Every start writes it, on a full disk as well.
            try AtomicFile.reserve(4_096, directory, IdentityFile.fileName, fileSystem)
        }
    }
}
