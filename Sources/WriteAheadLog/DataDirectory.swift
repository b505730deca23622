import ConsensusTypes
import struct SystemPackage.FilePath

/// The directory with everything durable of a node:
///
///     LOCK        who has it open
///     IDENTITY    whose data it is
///     log/        the write-ahead log
///     snapshots/  the snapshots of all groups
///
/// It is locked against other processes for as long as the value lives.
public final class DataDirectory: Sendable {
    public let path: FilePath
    public let identity: NodeIdentity
    /// Whether the node has never run with this directory.
    public let isNew: Bool
    private let fileSystem: any FileSystem
    private let lock: DirectoryLock

    public var logPath: FilePath { path.appending("log") }
    public var snapshotsPath: FilePath { path.appending("snapshots") }

    private init(
        _ path: FilePath, _ identity: NodeIdentity, isNew: Bool, _ fileSystem: any FileSystem,
        _ lock: DirectoryLock
    ) {
        self.path = path
        self.identity = identity
        self.isNew = isNew
        self.fileSystem = fileSystem
        self.lock = lock
    }

    /// Opens the directory of this node, or makes one where there is none (with the directories above it).
    /// One that belongs to another node or cluster, or whose owner is not known, is an error.
    public static func open(
        _ path: FilePath, identity: NodeIdentity, fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> DataDirectory {
        guard identity.name.utf8.count <= NodeIdentity.maximumNameBytes else {
            throw .invalidName("the node's name must have at most \(NodeIdentity.maximumNameBytes) bytes")
        }
        try create(path, fileSystem)
        let (lock, holder) = try wrappingDirectory { () throws(FileSystemError) in
            // What is seen of the last start may not have been durable.
            try fileSystem.synchronizeDirectory(path)
            return try DirectoryLock.take(path, fileSystem)
        }
        guard let lock else { throw .locked(directory: path, holder: holder) }
        let found = try IdentityFile.read(path, fileSystem)
        if found?.isInitialized != true { try makeNameDurable(path, fileSystem) }
        if let found {
            try requireSame(found.identity, identity, path.appending(IdentityFile.fileName))
            return DataDirectory(path, identity, isNew: !found.isInitialized, fileSystem, lock)
        }
        for name in ["log", "snapshots"] {
            let directory = path.appending(name)
            let isPresent = try wrappingDirectory { () throws(FileSystemError) in
                try fileSystem.exists(directory)
            }
            if isPresent { throw .identityMissing(file: path.appending(IdentityFile.fileName)) }
        }
        try IdentityFile(identity: identity, isInitialized: false).write(path, fileSystem)
        return DataDirectory(path, identity, isNew: true, fileSystem, lock)
    }

    /// Whose data the directory holds, without opening it; `nil` where nothing says so.
    public static func identity(
        _ path: FilePath, fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> NodeIdentity? {
        try IdentityFile.read(path, fileSystem)?.identity
    }

    /// Opens the write-ahead log. A node that ran before must have one; a new node's is created, and from
    /// then on the directory is not new any more.
    public func openLog(
        options: WriteAheadLogOptions = .init()
    ) throws(DataDirectoryError) -> WriteAheadLog.Opened {
        var options = options
        options.createsIfMissing = isNew
        let opened: WriteAheadLog.Opened
        do throws(WriteAheadLogError) {
            opened = try WriteAheadLog.open(directory: logPath, fileSystem: fileSystem, options: options)
        } catch {
            throw .log(error)
        }
        if isNew {
            try IdentityFile(identity: identity, isInitialized: true).write(path, fileSystem)
        }
        return opened
    }

    /// Opens the snapshots.
    public func openSnapshots() throws(DataDirectoryError) -> SnapshotStore {
        do throws(SnapshotError) {
            return try SnapshotStore.open(directory: snapshotsPath, fileSystem: fileSystem)
        } catch {
            throw .snapshots(error)
        }
    }

    /// Creates the directory and those above it, where they are missing.
    private static func create(
        _ path: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) {
        let isPresent = try wrappingDirectory { () throws(FileSystemError) in try fileSystem.exists(path) }
        if !isPresent && path.parent != path { try create(path.parent, fileSystem) }
        try wrappingDirectory { () throws(FileSystemError) in _ = try fileSystem.createDirectory(path) }
    }

    /// Makes the names of the directory and of all above it durable. Any of them may have been made by a
    /// start that died, so that they are seen but not durable.
    private static func makeNameDurable(
        _ path: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) {
        var path = path
        while path.parent != path {
            path = path.parent
            do throws(FileSystemError) {
                try fileSystem.synchronizeDirectory(path)
            } catch {
                // Directories that this user may not read, or that cannot be synced, were not made here.
                let isForeign = [.permissionDenied, .readOnlyFileSystem, .invalidArgument].contains(
                    error.code)
                guard isForeign else { throw .fileSystem(error) }
            }
        }
    }

    private static func requireSame(
        _ found: NodeIdentity, _ expected: NodeIdentity, _ file: FilePath
    ) throws(DataDirectoryError) {
        func require(_ field: String, _ found: String, _ expected: String) throws(DataDirectoryError) {
            guard found == expected else {
                throw .mismatch(file: file, field: field, found: found, expected: expected)
            }
        }
        try require("cluster", found.cluster.description, expected.cluster.description)
        try require("node", found.node.description, expected.node.description)
        try require("name", found.name, expected.name)
    }
}
