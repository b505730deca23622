import ConsensusTypes
import struct SystemPackage.FilePath

/// What a node must have again before it takes part in a group, as far as it could be told when damage was found.
public struct RepairNote: Hashable, Sendable {
    public let group: GroupID
    /// Term and vote; `nil` where they could not be told.
    public let hardState: HardState?
    /// Where the group's log ended; `nil` where that could not be told.
    public let end: LogPosition?

    public init(group: GroupID, hardState: HardState?, end: LogPosition?) {
        self.group = group
        self.hardState = hardState
        self.end = end
    }
}

/// The file `REPAIR`, which is there as long as a node is under repair; docs/formats/data-directory.md shows its
/// bytes. More damage, while a node is under repair, may take what told of the first: then this file still does.
enum RepairFile {
    static let fileName = "REPAIR"
    static let magic: [UInt8] = Array("HOLDREPA".utf8)
    static let version: UInt32 = 1
    static let maximumNotes = 4_096
    static let headerSizeBytes = 24
    static let noteSizeBytes = 56

    static func encode(_ notes: [RepairNote]) -> [UInt8] {
        precondition(notes.count <= maximumNotes, "more notes on repairs than a node has groups")
        var bytes = magic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(UInt32(headerSizeBytes + noteSizeBytes * notes.count + 4))
        bytes.appendLittleEndian(UInt32(notes.count))
        bytes.appendLittleEndian(UInt32(0))
        for note in notes {
            bytes.appendLittleEndian(note.group.rawValue)
            let isVoteKnown = note.hardState?.votedFor != nil
            let flags =
                (note.hardState != nil ? 1 : 0) | (isVoteKnown ? 2 : 0) | (note.end != nil ? 4 : 0)
            bytes.appendLittleEndian(UInt64(flags))
            bytes.appendLittleEndian(note.hardState?.term.rawValue ?? 0)
            bytes.appendLittleEndian(note.hardState?.votedFor?.rawValue ?? 0)
            bytes.appendLittleEndian(note.hardState?.commitIndex.rawValue ?? 0)
            bytes.appendLittleEndian(note.end?.term.rawValue ?? 0)
            bytes.appendLittleEndian(note.end?.index.rawValue ?? 0)
        }
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    /// Empty where there is no file.
    static func read(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> [RepairNote] {
        let limit = headerSizeBytes + noteSizeBytes * maximumNotes + 4
        let read = try wrappingDirectory { () throws(FileSystemError) in
            try AtomicFile.read(directory, fileName, limit: limit, fileSystem)
        }
        guard let read else { return [] }
        let path = directory.appending(fileName)
        if let first = read.unreadable.first {
            throw .damaged(file: path, offset: first.lowerBound, reason: unreadableReason(first))
        }
        return try decode(read.bytes, path)
    }

    private static func decode(
        _ bytes: [UInt8], _ path: FilePath
    ) throws(DataDirectoryError) -> [RepairNote] {
        guard bytes.count >= headerSizeBytes + 4, Array(bytes[..<8]) == magic else {
            throw .damaged(file: path, offset: 0, reason: "it does not begin like notes on a repair")
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
        guard count <= maximumNotes, count * noteSizeBytes == end - headerSizeBytes else {
            throw .damaged(file: path, offset: 16, reason: "the number of groups is wrong")
        }
        return (0..<count).map { number in
            let offset = headerSizeBytes + noteSizeBytes * number
            let flags = bytes.littleEndian64(at: offset + 8)
            let hardState = HardState(
                term: Term(bytes.littleEndian64(at: offset + 16)),
                votedFor: flags & 2 != 0 ? NodeID(bytes.littleEndian64(at: offset + 24)) : nil,
                commitIndex: LogIndex(bytes.littleEndian64(at: offset + 32)))
            let end = LogPosition(
                term: Term(bytes.littleEndian64(at: offset + 40)),
                index: LogIndex(bytes.littleEndian64(at: offset + 48)))
            return RepairNote(
                group: GroupID(bytes.littleEndian64(at: offset)),
                hardState: flags & 1 != 0 ? hardState : nil, end: flags & 4 != 0 ? end : nil)
        }
    }
}

extension DataDirectory {
    /// What is noted of a repair that has not ended; empty where there is none. Throws
    /// ``DataDirectoryError/damaged(file:offset:reason:)`` where there was one and what was noted is lost.
    public func repairNotes() throws(DataDirectoryError) -> [RepairNote] {
        try RepairFile.read(path, fileSystem)
    }

    /// Notes what a repair must restore, or (with nothing) that it has ended. Durable on return.
    public func noteRepair(_ notes: [RepairNote]) throws(DataDirectoryError) {
        try wrappingDirectory { () throws(FileSystemError) in
            let file = path.appending(RepairFile.fileName)
            if !notes.isEmpty {
                try AtomicFile.write(RepairFile.encode(notes), path, RepairFile.fileName, fileSystem)
            } else if try fileSystem.exists(file) {
                try fileSystem.remove(file)
                try fileSystem.synchronizeDirectory(path)
            }
        }
    }
}
