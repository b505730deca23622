import ConsensusTypes
import struct SystemPackage.FilePath

/// The replacement of a damaged log by a fresh one. At every moment the directory's name leads to the whole
/// old log or the whole new one, or to nothing, and then the next start takes the last step.
enum LogRebuild {
    static let buildingSuffix = ".rebuilding"
    static let damagedSuffix = ".damaged"
    /// How much of the contents is written at a time.
    private static let stepSizeBytes = 1 << 20

    static func sibling(_ directory: FilePath, _ suffix: String) -> FilePath {
        directory.removingLastComponent().appending((directory.lastComponent?.string ?? "log") + suffix)
    }

    /// Takes the last step of a rebuild that was interrupted between the two renames. The old log's new name
    /// was durable before the second one, so the new log is whole. Answers whether there was anything to do.
    @discardableResult
    static func finishInterrupted(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(WriteAheadLogError) -> Bool {
        let building = sibling(directory, buildingSuffix)
        return try wrapping { () throws(FileSystemError) in
            let isThere = try fileSystem.exists(directory)
            guard !isThere, try fileSystem.exists(building),
                try fileSystem.exists(sibling(directory, damagedSuffix))
            else { return false }
            try fileSystem.synchronizeDirectory(directory.parent)
            try fileSystem.synchronizeDirectory(building)
            try fileSystem.rename(building, to: directory)
            try fileSystem.synchronizeDirectory(directory.parent)
            return true
        }
    }

    /// Removes what a rebuild left that did not come to the renames. Answers whether there was anything.
    @discardableResult
    static func discardUnfinished(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(WriteAheadLogError) -> Bool {
        try wrapping { () throws(FileSystemError) in
            let building = sibling(directory, buildingSuffix)
            guard try fileSystem.exists(building) else { return false }
            try remove(building, fileSystem)
            return true
        }
    }

    private static func remove(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(FileSystemError) {
        guard try fileSystem.exists(directory) else { return }
        for name in try fileSystem.list(directory) {
            try fileSystem.remove(directory.appending(name))
        }
        try fileSystem.synchronizeDirectory(directory)
        try fileSystem.removeDirectory(directory)
        try fileSystem.synchronizeDirectory(directory.parent)
    }

    static func run(
        _ directory: FilePath, _ fileSystem: any FileSystem, _ options: WriteAheadLogOptions,
        _ groups: [RecoveredGroup]
    ) throws(WriteAheadLogError) {
        if let problem = options.problem { throw .invalidOptions(problem) }
        try finishInterrupted(directory, fileSystem)
        let lock = try WriteAheadLog.prepareDirectory(directory, fileSystem)
        defer { withExtendedLifetime(lock) {} }
        try discardUnfinished(directory, fileSystem)
        let building = sibling(directory, buildingSuffix)
        try build(building, fileSystem, options, groups)
        let damaged = sibling(directory, damagedSuffix)
        try wrapping { () throws(FileSystemError) in
            try fileSystem.synchronizeDirectory(building)
            try fileSystem.synchronizeDirectory(directory)
            try remove(damaged, fileSystem)
            try fileSystem.rename(directory, to: damaged)
            // Before the next step: a new log under the name must mean that the old one is out of the way.
            try fileSystem.synchronizeDirectory(directory.parent)
            try fileSystem.rename(building, to: directory)
            try fileSystem.synchronizeDirectory(directory.parent)
        }
    }

    /// Writes the contents and closes the log: all of it is durable on return.
    private static func build(
        _ directory: FilePath, _ fileSystem: any FileSystem, _ options: WriteAheadLogOptions,
        _ groups: [RecoveredGroup]
    ) throws(WriteAheadLogError) {
        var options = options
        options.createsIfMissing = true
        let log = try WriteAheadLog.open(directory: directory, fileSystem: fileSystem, options: options).log
        for group in groups {
            log.encode([
                LogWrite(
                    group: group.group, hardState: group.hardState, snapshot: group.snapshot,
                    keepsSuffix: false)
            ])
            var part: [Entry] = []
            var size = 0
            for entry in group.entries {
                part.append(entry)
                size += entry.approximateSizeBytes
                guard size >= min(stepSizeBytes, options.segmentSizeBytes / 4) else { continue }
                log.encode([LogWrite(group: group.group, entries: part)])
                try log.flush()
                part.removeAll(keepingCapacity: true)
                size = 0
            }
            log.encode([LogWrite(group: group.group, entries: part)])
        }
        try log.close()
    }
}

extension WriteAheadLog {
    /// Replaces the log by a fresh one that holds exactly this, whatever was there before. A crash at any
    /// point leaves the log of before or the new one; what an interrupted rebuild left is finished or
    /// removed when the log is next opened or rebuilt.
    ///
    /// The log of before is kept in a directory beside it, with `.damaged` behind its name, until the next
    /// rebuild succeeds. The log must not be open. Terms and votes in `groups` must not be older than what
    /// this node ever answered with.
    public static func rebuild(
        directory: FilePath, fileSystem: any FileSystem, options: WriteAheadLogOptions = .init(),
        groups: [RecoveredGroup]
    ) throws(WriteAheadLogError) {
        try LogRebuild.run(directory, fileSystem, options, groups)
    }
}
