import ConsensusTypes
import Synchronization
import struct SystemPackage.FilePath

/// The snapshots of a node's groups, each one file in a directory of their own. May be used from any thread.
///
/// A snapshot has its name only when all of it is durable. The bytes are described in
/// docs/formats/snapshot-file.md.
public final class SnapshotStore: Sendable {
    public let directory: FilePath
    private let fileSystem: any FileSystem
    private let chunkSizeBytes: Int
    private let nextPartial = Atomic<Int>(0)

    private init(_ directory: FilePath, _ fileSystem: any FileSystem, _ chunkSizeBytes: Int) {
        self.directory = directory
        self.fileSystem = fileSystem
        self.chunkSizeBytes = chunkSizeBytes
    }

    /// Opens the directory, which is created where it does not exist, and removes what unfinished writes
    /// left. `chunkSizeBytes` is how much one checksum covers in files that are written from now on.
    public static func open(
        directory: FilePath, fileSystem: any FileSystem, chunkSizeBytes: Int = 64 << 10
    ) throws(SnapshotError) -> SnapshotStore {
        precondition((1...16 << 20).contains(chunkSizeBytes), "a chunk has up to 16 MiB")
        try wrappingSnapshot { () throws(FileSystemError) in
            try fileSystem.createDurableDirectory(directory)
            for name in try fileSystem.list(directory) where name.hasSuffix(SnapshotFormat.partialSuffix) {
                try fileSystem.remove(directory.appending(name))
            }
            // A name that was seen may not have been durable.
            try fileSystem.synchronizeDirectory(directory)
        }
        return SnapshotStore(directory, fileSystem, chunkSizeBytes)
    }

    /// Starts to write a snapshot, which counts for nothing before ``SnapshotWriter/finish()``.
    public func begin(_ group: GroupID, _ metadata: SnapshotMetadata) throws(SnapshotError) -> SnapshotWriter
    {
        let path = path(group, metadata.index, metadata.term)
        let number = nextPartial.add(1, ordering: .relaxed).oldValue
        let partial = directory.appending(
            "\(path.lastComponent!.string).\(number)\(SnapshotFormat.partialSuffix)")
        return try SnapshotWriter(
            group, metadata, path: path, partial: partial, fileSystem: fileSystem,
            chunkSizeBytes: chunkSizeBytes)
    }

    /// The snapshot with this metadata.
    public func open(_ group: GroupID, _ metadata: SnapshotMetadata) throws(SnapshotError) -> SnapshotFile {
        let path = path(group, metadata.index, metadata.term)
        let opened = try open(path, group)
        guard opened.metadata == metadata else {
            throw .damaged(
                file: path, offset: 16,
                reason: "it is not the snapshot that was asked for: of another membership, or without data")
        }
        return opened
    }

    /// The group's newest snapshot, or `nil`. An older one never stands in for a newest that is damaged:
    /// the log may start after the newest.
    public func latest(_ group: GroupID) throws(SnapshotError) -> SnapshotFile? {
        guard let last = try list(group).last else { return nil }
        return try open(path(group, last.index, last.term), group)
    }

    /// Whether there is a snapshot of this position.
    public func contains(_ group: GroupID, index: LogIndex, term: Term) throws(SnapshotError) -> Bool {
        try list(group).contains { $0.index == index && $0.term == term }
    }

    /// The group's snapshots of which every byte is what it was, oldest first. Reads all of them.
    public func intact(_ group: GroupID) throws(SnapshotError) -> [SnapshotFile] {
        var found: [SnapshotFile] = []
        for snapshot in try list(group) {
            do throws(SnapshotError) {
                let file = try open(path(group, snapshot.index, snapshot.term), group)
                try file.validate()
                found.append(file)
            } catch {
                guard case .damaged = error else { throw error }
            }
        }
        return found
    }

    /// The group's snapshots that are damaged, with what is wrong first in each. Reads all of them.
    public func damaged(_ group: GroupID) throws(SnapshotError) -> [SnapshotError] {
        var found: [SnapshotError] = []
        for snapshot in try list(group) {
            do throws(SnapshotError) {
                try open(path(group, snapshot.index, snapshot.term), group).validate()
            } catch {
                guard case .damaged = error else { throw error }
                found.append(error)
            }
        }
        return found
    }

    /// Gives a damaged snapshot's file another name, so that it counts for nothing any more; durable on
    /// return. `file` is what the error named. Only the last one that was set aside is kept.
    public func setAside(_ file: FilePath) throws(SnapshotError) {
        guard let name = file.lastComponent?.string, SnapshotFormat.parse(name) != nil else {
            throw .missing(file: file)
        }
        try wrappingSnapshot { () throws(FileSystemError) in
            let aside = name + SnapshotFormat.damagedSuffix
            try fileSystem.rename(directory.appending(name), to: directory.appending(aside))
            try fileSystem.synchronizeDirectory(directory)
            for other in try fileSystem.list(directory)
            where other.hasSuffix(SnapshotFormat.damagedSuffix) && other != aside {
                try fileSystem.remove(directory.appending(other))
            }
            try fileSystem.synchronizeDirectory(directory)
        }
    }

    /// Removes the group's snapshots before `index`.
    public func removeObsolete(_ group: GroupID, before index: LogIndex) throws(SnapshotError) {
        let obsolete = try list(group).filter { $0.index < index }
        guard !obsolete.isEmpty else { return }
        try wrappingSnapshot { () throws(FileSystemError) in
            for snapshot in obsolete {
                try fileSystem.remove(path(group, snapshot.index, snapshot.term))
            }
            try fileSystem.synchronizeDirectory(directory)
        }
    }

    /// Oldest first, by name alone.
    private func list(_ group: GroupID) throws(SnapshotError) -> [(index: LogIndex, term: Term)] {
        let names = try wrappingSnapshot { () throws(FileSystemError) in try fileSystem.list(directory) }
        // Sorted by name is sorted by group, then index, then term.
        return names.compactMap(SnapshotFormat.parse).filter { $0.group == group }.map { ($0.index, $0.term) }
    }

    private func open(_ path: FilePath, _ group: GroupID) throws(SnapshotError) -> SnapshotFile {
        let file: any File
        do throws(FileSystemError) {
            file = try fileSystem.open(path, .read)
        } catch {
            guard error.code == .noSuchFileOrDirectory else { throw .fileSystem(error) }
            throw .missing(file: path)
        }
        let opened = try SnapshotFile(file)
        let named = SnapshotFormat.fileName(opened.group, opened.metadata.index, opened.metadata.term)
        guard path.lastComponent?.string == named else {
            throw .damaged(file: path, offset: 16, reason: "it holds the snapshot that belongs into \(named)")
        }
        return opened
    }

    private func path(_ group: GroupID, _ index: LogIndex, _ term: Term) -> FilePath {
        directory.appending(SnapshotFormat.fileName(group, index, term))
    }
}
