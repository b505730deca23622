import ConsensusTypes
import struct SystemPackage.FilePath

/// What a node remembers of one of its peers.
public struct MemberRecord: Hashable, Sendable {
    public let node: NodeID
    /// The data directory that the peer was admitted with.
    public let directory: DirectoryID
    /// The highest count of starts that was seen of that directory. A lower one means that the directory was
    /// put back to an older state.
    public let startCount: UInt64
    /// Which process had that count: another one with the same count runs on a copy of the directory.
    public let incarnation: UInt64

    public init(node: NodeID, directory: DirectoryID, startCount: UInt64, incarnation: UInt64) {
        self.node = node
        self.directory = directory
        self.startCount = startCount
        self.incarnation = incarnation
    }
}

/// What a node remembers of its peers in one of its groups, durably: the file `MEMBERS`, or `MEMBERS-` and the
/// group's number, whose bytes docs/formats/data-directory.md shows. Copies do not see each other's changes: keep
/// one.
public struct MemberRecords: Sendable {
    public static let maximumRecords = 4_096

    static let fileName = "MEMBERS"
    static let magic: [UInt8] = Array("HOLDMEMB".utf8)
    static let version: UInt32 = 1
    static let headerSizeBytes = 24
    static let recordSizeBytes = 32

    private let directory: FilePath
    private let name: String
    private let fileSystem: any FileSystem
    /// Sorted by node.
    public private(set) var records: [MemberRecord]

    public var path: FilePath { directory.appending(name) }

    /// The file of a group: of the first one that every node has, or of another.
    static func fileName(_ group: GroupID) -> String {
        guard group != GroupID(1) else { return fileName }
        let digits = String(group.rawValue, radix: 16)
        return fileName + "-" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Reads the file in this directory; without one nothing is remembered. What is wrong with it is for the
    /// caller to decide about: ``DataDirectoryError/damaged(file:offset:reason:)`` names the file.
    init(
        _ directory: FilePath, group: GroupID = GroupID(1), _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) {
        let name = MemberRecords.fileName(group)
        self.directory = directory
        self.name = name
        self.fileSystem = fileSystem
        let limit =
            MemberRecords.headerSizeBytes + MemberRecords.maximumRecords * MemberRecords.recordSizeBytes + 4
        let read = try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.read(directory, name, limit: limit, fileSystem)
        }
        let path = directory.appending(name)
        records =
            try read.map { (read) throws(DataDirectoryError) in
                if let first = read.unreadable.first {
                    throw .damaged(file: path, offset: first.lowerBound, reason: unreadableReason(first))
                }
                return try MemberRecords.decode(read.bytes, path)
            } ?? []
    }

    /// Nothing is remembered, whatever the file says: for a file that is damaged. The next
    /// ``remember(_:)`` replaces it.
    init(forgetting directory: FilePath, group: GroupID = GroupID(1), _ fileSystem: any FileSystem) {
        self.directory = directory
        name = MemberRecords.fileName(group)
        self.fileSystem = fileSystem
        records = []
    }

    public func record(of node: NodeID) -> MemberRecord? {
        let place = place(of: node)
        return place < records.count && records[place].node == node ? records[place] : nil
    }

    /// Takes the place of what was remembered of the same node. Durable on return; nothing is written where
    /// nothing changes. Where it fails the record is as it was before.
    public mutating func remember(_ record: MemberRecord) throws(DataDirectoryError) {
        guard self.record(of: record.node) != record else { return }
        var changed = records
        let place = place(of: record.node)
        if place < changed.count, changed[place].node == record.node {
            changed[place] = record
        } else {
            guard changed.count < MemberRecords.maximumRecords else {
                throw .tooManyMembers(file: path, maximum: MemberRecords.maximumRecords)
            }
            changed.insert(record, at: place)
        }
        let bytes = MemberRecords.encode(changed)
        try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.write(bytes, directory, name, fileSystem)
            // A peer may start again while the disk is full.
            try AtomicFile.reserve(bytes.count, directory, name, fileSystem)
        }
        records = changed
    }

    /// Nothing is remembered of the node any more. Durable on return.
    public mutating func forget(_ node: NodeID) throws(DataDirectoryError) {
        guard record(of: node) != nil else { return }
        let left = records.filter { $0.node != node }
        try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.write(MemberRecords.encode(left), directory, name, fileSystem)
        }
        records = left
    }

    private func place(of node: NodeID) -> Int {
        records.firstIndex { $0.node >= node } ?? records.count
    }

    static func encode(_ records: [MemberRecord]) -> [UInt8] {
        var bytes = magic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(UInt32(headerSizeBytes + recordSizeBytes * records.count + 4))
        bytes.appendLittleEndian(UInt32(records.count))
        bytes.appendLittleEndian(UInt32(0))
        for record in records {
            bytes.appendLittleEndian(record.node.rawValue)
            bytes.appendLittleEndian(record.directory.rawValue)
            bytes.appendLittleEndian(record.startCount)
            bytes.appendLittleEndian(record.incarnation)
        }
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    private static func decode(
        _ bytes: [UInt8], _ path: FilePath
    ) throws(DataDirectoryError) -> [MemberRecord] {
        guard bytes.count >= headerSizeBytes + 4 else {
            throw .damaged(file: path, offset: bytes.count, reason: "the file is too short")
        }
        guard Array(bytes[..<8]) == magic else {
            throw .damaged(file: path, offset: 0, reason: "it does not begin like a list of members")
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
        guard found == version else {
            throw .unsupportedVersion(file: path, found: found, supported: version)
        }
        let count = Int(bytes.littleEndian32(at: 16))
        guard count * recordSizeBytes == end - headerSizeBytes else {
            throw .damaged(file: path, offset: 16, reason: "the number of members is wrong")
        }
        var previous: NodeID?
        var records: [MemberRecord] = []
        for number in 0..<count {
            let offset = headerSizeBytes + recordSizeBytes * number
            let node = NodeID(bytes.littleEndian64(at: offset))
            if let previous, previous >= node {
                throw .damaged(file: path, offset: offset, reason: "the members are not in order")
            }
            previous = node
            records.append(
                MemberRecord(
                    node: node, directory: DirectoryID(bytes.littleEndian64(at: offset + 8)),
                    startCount: bytes.littleEndian64(at: offset + 16),
                    incarnation: bytes.littleEndian64(at: offset + 24)))
        }
        return records
    }
}
