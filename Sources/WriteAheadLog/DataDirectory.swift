import ConsensusTypes
import Synchronization
import struct SystemPackage.FilePath

/// The directory with everything durable of a node:
///
///     LOCK        who has it open
///     IDENTITY    whose data it is
///     MEMBERS     what the node remembers of its peers; MEMBERS-… the same for further groups
///     REPAIR      what a node under repair must have again
///     log/        the write-ahead log
///     snapshots/  the snapshots of all groups
///
/// It is locked against other processes for as long as the value lives.
public final class DataDirectory: Sendable {
    public let path: FilePath
    public let identity: NodeIdentity
    /// Whether the node has never run with this directory.
    public let isNew: Bool
    /// The directory's own name, which it has had since it was made.
    public let directoryID: DirectoryID
    /// How often the directory was opened, this time included: 1 the first time. Durable.
    public let startCount: UInt64
    /// What was wrong with the copies of `IDENTITY` that are written anew now.
    public let damages: [DataDirectoryError]
    let fileSystem: any FileSystem
    private let lock: DirectoryLock
    private let file: Mutex<IdentityFile>

    public var logPath: FilePath { path.appending("log") }
    public var snapshotsPath: FilePath { path.appending("snapshots") }

    private init(
        _ path: FilePath, _ file: IdentityFile, _ directory: DirectoryID,
        _ damages: [DataDirectoryError], _ fileSystem: any FileSystem, _ lock: DirectoryLock
    ) {
        self.path = path
        self.identity = file.identity
        self.isNew = !file.isInitialized
        self.directoryID = directory
        self.startCount = file.startCount
        self.damages = damages
        self.fileSystem = fileSystem
        self.lock = lock
        self.file = Mutex(file)
    }

    /// Opens the directory of this node, or makes one where there is none (with the directories above it),
    /// and counts the start durably. One that belongs to another node or cluster, or whose owner is not
    /// known, is an error.
    ///
    /// - Parameters:
    ///   - newDirectoryID: what a new directory (and one of a version that had no ids) is named; for
    ///     simulations, where nothing may be random that is not from the seed.
    ///   - replacesLostIdentity: whether a directory of which both copies of the identity are damaged is taken
    ///     for this node's and gets a new id. As nobody admitted that one, what the directory holds is no more
    ///     than what is left of a node that was wiped. Otherwise the damage is an error.
    public static func open(
        _ path: FilePath, identity: NodeIdentity, newDirectoryID: DirectoryID = .random(),
        replacesLostIdentity: Bool = false, fileSystem: any FileSystem
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
        var file = IdentityFile(identity: identity)
        if let known = found?.file {
            try requireSame(known.identity, identity, path.appending(IdentityFile.fileName))
            file = known
        } else if let damage = found?.damages.first {
            guard replacesLostIdentity else { throw damage }
            file.isInitialized = try hasLog(path, fileSystem)
        } else {
            try requireNoData(path, fileSystem)
        }
        if !file.isInitialized { try makeNameDurable(path, fileSystem) }
        let directory = file.directory ?? newDirectoryID
        file.directory = directory
        file.startCount += 1
        file.generation += 1
        try file.write(path, fileSystem)
        return DataDirectory(path, file, directory, found?.damages ?? [], fileSystem, lock)
    }

    /// Whether there is a log, whole or not.
    private static func hasLog(
        _ path: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> Bool {
        try wrappingDirectory { () throws(FileSystemError) in
            let log = path.appending("log")
            if try fileSystem.exists(LogRebuild.sibling(log, LogRebuild.damagedSuffix)) { return true }
            guard try fileSystem.exists(log) else { return false }
            return try fileSystem.list(log).contains { SegmentName.segmentNumber($0) != nil }
        }
    }

    private static func requireNoData(
        _ path: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) {
        for name in ["log", "log" + LogRebuild.buildingSuffix, "snapshots", MemberRecords.fileName] {
            let isPresent = try wrappingDirectory { () throws(FileSystemError) in
                try fileSystem.exists(path.appending(name))
            }
            if isPresent { throw .identityMissing(file: path.appending(IdentityFile.fileName)) }
        }
    }

    /// Whether the node was let into its cluster with this directory: before, it may have had another one.
    public var isAdmitted: Bool { file.withLock { $0.isAdmitted } }

    /// Says durably that the node was admitted with this directory.
    public func markAdmitted() throws(DataDirectoryError) {
        try change { $0.isAdmitted = true }
    }

    private func change(_ body: (inout IdentityFile) -> Void) throws(DataDirectoryError) {
        try file.withLock { (file) throws(DataDirectoryError) in
            var changed = file
            body(&changed)
            guard changed != file else { return }
            changed.generation += 1
            try changed.write(path, fileSystem)
            file = changed
        }
    }

    /// Whose data the directory holds, without opening it; `nil` where there is nothing that says so.
    public static func identity(
        _ path: FilePath, fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> NodeIdentity? {
        guard let found = try IdentityFile.read(path, fileSystem) else { return nil }
        if let file = found.file { return file.identity }
        throw found.damages[0]
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
        try change { $0.isInitialized = true }
        return opened
    }

    /// What is left of a log that ``openLog(options:)`` refuses with an error that
    /// ``DataDirectoryError/isLogDamage``; see ``WriteAheadLog/salvage(directory:fileSystem:options:)``.
    public func salvageLog(
        options: WriteAheadLogOptions = .init()
    ) throws(DataDirectoryError) -> SalvagedLog {
        do throws(WriteAheadLogError) {
            return try WriteAheadLog.salvage(directory: logPath, fileSystem: fileSystem, options: options)
        } catch {
            throw .log(error)
        }
    }

    /// Replaces the log by one that holds exactly this; see
    /// ``WriteAheadLog/rebuild(directory:fileSystem:options:groups:)``. The log must not be open.
    public func rebuildLog(
        groups: [RecoveredGroup], options: WriteAheadLogOptions = .init()
    ) throws(DataDirectoryError) {
        do throws(WriteAheadLogError) {
            try WriteAheadLog.rebuild(
                directory: logPath, fileSystem: fileSystem, options: options, groups: groups)
        } catch {
            throw .log(error)
        }
    }

    /// What the node remembers of its peers in a group. A damaged file is an error that names it; then
    /// ``forgetMembers(group:)`` begins anew.
    public func openMembers(group: GroupID = GroupID(1)) throws(DataDirectoryError) -> MemberRecords {
        try MemberRecords(path, group: group, fileSystem)
    }

    /// Records without anything in them. The file stays as it is until something is remembered.
    public func forgetMembers(group: GroupID = GroupID(1)) -> MemberRecords {
        MemberRecords(forgetting: path, group: group, fileSystem)
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
    package static func create(
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
