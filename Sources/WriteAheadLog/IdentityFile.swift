import ConsensusTypes
import struct SystemPackage.FilePath

/// The file `IDENTITY`; docs/formats/data-directory.md shows its bytes.
///
/// It holds the same twice, in blocks of their own, so that one place of the disk that goes bad does not take
/// both: the other one is used then, and both are written anew.
struct IdentityFile: Hashable, Sendable {
    static let fileName = "IDENTITY"
    static let magic: [UInt8] = Array("HOLDNODE".utf8)
    static let version: UInt32 = 3
    static let copySizeBytes = 4_096
    static let copyCount = 2
    static let fixedSizeBytes = 64
    /// Of versions 1 and 2, of which one copy was the file.
    static let oldFixedSizeBytes: [UInt32: Int] = [1: 40, 2: 56]

    let identity: NodeIdentity
    /// `nil` in a file of version 1.
    var directory: DirectoryID?
    var startCount: UInt64 = 0
    /// How often the file was written; 0 in a file of version 1 or 2.
    var generation: UInt64 = 0
    /// Whether the log exists: from then on its absence is an error.
    var isInitialized = false
    var isAdmitted = false

    /// One copy; the checksum covers its place too, so that it is not valid in the other's.
    func encoded(copy: Int) -> [UInt8] {
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
        bytes.appendLittleEndian(generation)
        bytes.append(contentsOf: name)
        bytes.appendLittleEndian(Checksum.crc32c(bytes, continuing: IdentityFile.seed(copy)))
        return bytes
    }

    /// The same in all later versions, which are to be told from damage.
    private static func seed(_ copy: Int) -> UInt32 {
        Checksum.crc32c(UInt64(copy * copySizeBytes), 0)
    }

    /// Reads a copy, or with `copy` nil a whole file of version 1 or 2. What follows a copy is no part of it.
    static func decode(
        _ bytes: [UInt8], copy: Int?, _ path: FilePath
    ) throws(DataDirectoryError) -> IdentityFile {
        let base = (copy ?? 0) * copySizeBytes
        guard bytes.count >= 44 else {
            throw .damaged(file: path, offset: base + bytes.count, reason: "the file is too short")
        }
        guard Array(bytes[..<8]) == magic else {
            throw .damaged(file: path, offset: base, reason: "it does not begin like an identity")
        }
        let size = Int(bytes.littleEndian32(at: 12))
        guard copy == nil ? size == bytes.count : (44...bytes.count).contains(size) else {
            throw .damaged(
                file: path, offset: base + 12, reason: "it should have \(size) bytes and has \(bytes.count)")
        }
        let end = size - 4
        let found = bytes.littleEndian32(at: 8)
        let start = copy.map { seed($0) } ?? 0
        guard Checksum.crc32c(Array(bytes[..<end]), continuing: start) == bytes.littleEndian32(at: end) else {
            throw .damaged(file: path, offset: base, reason: "the checksum does not match")
        }
        let isKnown = copy == nil ? oldFixedSizeBytes[found] != nil : found == version
        guard isKnown else {
            throw .unsupportedVersion(file: path, found: found, supported: version)
        }
        let nameOffset = oldFixedSizeBytes[found] ?? fixedSizeBytes
        guard nameOffset <= end, Int(bytes.littleEndian32(at: 36)) == end - nameOffset else {
            throw .damaged(file: path, offset: base + 36, reason: "the name's length is wrong")
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
        if found == version { file.generation = bytes.littleEndian64(at: 56) }
        return file
    }

    /// What the file says.
    struct Found {
        /// `nil` where no copy is intact.
        let file: IdentityFile?
        /// What is wrong with the copies that are not.
        let damages: [DataDirectoryError]
    }

    /// `nil` where there is none.
    static func read(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> Found? {
        let read = try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.read(directory, fileName, limit: copyCount * copySizeBytes, fileSystem)
        }
        guard let read else { return nil }
        let path = directory.appending(fileName)
        if let old = try readOld(read, path) { return Found(file: old, damages: []) }
        var newest: IdentityFile?
        var damages: [DataDirectoryError] = []
        for copy in 0..<copyCount {
            do throws(DataDirectoryError) {
                let file = try readCopy(copy, read, path)
                if newest.map({ $0.generation < file.generation }) ?? true { newest = file }
            } catch {
                guard case .damaged = error else { throw error }
                damages.append(error)
            }
        }
        return Found(file: newest, damages: damages)
    }

    private static func readCopy(
        _ copy: Int, _ read: ReadBytes, _ path: FilePath
    ) throws(DataDirectoryError) -> IdentityFile {
        let place = copy * copySizeBytes..<(copy + 1) * copySizeBytes
        if let range = read.firstUnreadable(in: place) {
            let offset = max(range.lowerBound, place.lowerBound)
            throw .damaged(file: path, offset: offset, reason: unreadableReason(range))
        }
        let bytes = Array(read.bytes.dropFirst(place.lowerBound).prefix(copySizeBytes))
        return try decode(bytes, copy: copy, path)
    }

    /// A file of version 1 or 2 that is intact.
    private static func readOld(
        _ read: ReadBytes, _ path: FilePath
    ) throws(DataDirectoryError) -> IdentityFile? {
        guard read.unreadable.isEmpty, read.bytes.count < copySizeBytes else { return nil }
        do throws(DataDirectoryError) {
            return try decode(read.bytes, copy: nil, path)
        } catch {
            guard case .damaged = error else { throw error }
            return nil
        }
    }

    /// As a whole or not at all, durable on return.
    func write(_ directory: FilePath, _ fileSystem: any FileSystem) throws(DataDirectoryError) {
        let copies = (0..<IdentityFile.copyCount).map { copy in
            let bytes = encoded(copy: copy)
            return bytes + [UInt8](repeating: 0, count: IdentityFile.copySizeBytes - bytes.count)
        }
        try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.write(copies, directory, IdentityFile.fileName, fileSystem)
            // Every start writes it, on a full disk as well.
            try AtomicFile.reserve(
                IdentityFile.copyCount * IdentityFile.copySizeBytes, directory, IdentityFile.fileName,
                fileSystem)
        }
    }
}
