import ConsensusTypes
import struct SystemPackage.FilePath

extension WriteAheadLog {
    /// A log that was opened, and what it held.
    public struct Opened {
        public let log: WriteAheadLog
        /// Sorted by group.
        public let groups: [RecoveredGroup]
        public let report: RecoveryReport
    }

    /// Opens the log in a directory, which is created where it does not exist.
    ///
    /// What an unfinished write left at the end is removed; damage to anything else is an error, and then
    /// nothing on the disk is changed. On return everything that was recovered is durable.
    public static func open(
        directory: FilePath, fileSystem: any FileSystem, options: WriteAheadLogOptions = .init()
    ) throws(WriteAheadLogError) -> Opened {
        if let problem = options.problem { throw .invalidOptions(problem) }
        let isFinished = try LogRebuild.finishInterrupted(directory, fileSystem)
        let lock = try prepareDirectory(directory, fileSystem)
        let isDiscarded = try LogRebuild.discardUnfinished(directory, fileSystem)
        let names = try wrapping { () throws(FileSystemError) in try fileSystem.list(directory) }
        let numbers = names.compactMap(SegmentName.segmentNumber).sorted()
        if numbers.isEmpty && !options.createsIfMissing { throw .empty(directory: directory) }

        let anchor = try LogAnchor.read(directory, fileSystem)
        let found = try recover(directory, fileSystem, options, numbers, anchor)
        let spares = try findSpares(
            names, directory, fileSystem, options, hasLog: !numbers.isEmpty)
        let log: FoundLog
        if let found {
            log = found
            try makeDurable(found, directory, fileSystem)
        } else {
            log = try createLog(directory, fileSystem, options)
        }
        let path = directory.appending(SegmentName.segment(log.segments[log.segments.count - 1].number))
        let (active, anchorWriter) = try openForWriting(path, log, anchor, directory, fileSystem, options)
        let writer = LogWriter(
            fileSystem, directory, options,
            LogWriter.State(
                active: active, segment: log.segments[log.segments.count - 1].number, end: log.end,
                nextSequence: log.nextSequence, spares: spares.kept.map { ($0, true) },
                nextSpare: spares.next, isMarked: true, anchor: anchorWriter, lock: lock))
        try writer.retryAllocation()
        let report = RecoveryReport(
            end: end(found), anchor: report(anchor), hasLostVotes: anchor?.votes.contains(nil) ?? false,
            rebuild: isFinished ? .finished : isDiscarded ? .discarded : .none,
            lastSequence: log.nextSequence - 1, hasRewrittenBatch: found?.unproven != nil,
            hasRewrittenSeal: found?.unprovenSeal != nil, truncatedTail: found?.tail,
            damages: anchor?.damages(directory) ?? [], segments: numbers.count, bytes: found?.bytes ?? 0,
            entries: found?.entries ?? 0)
        return Opened(
            log: WriteAheadLog(directory, options, log, writer),
            groups: log.groups.map(\.recovered).sorted { $0.group < $1.group }, report: report)
    }

    /// Reads the segments and compares with the anchor, changing nothing; `nil` where the log is to be created.
    static func recover(
        _ directory: FilePath, _ fileSystem: any FileSystem, _ options: WriteAheadLogOptions,
        _ numbers: [UInt64], _ anchor: LogAnchor?
    ) throws(WriteAheadLogError) -> FoundLog? {
        guard !numbers.isEmpty else {
            if let sequence = anchor?.durableSequence, sequence > 1 {
                throw .missingSegment(
                    file: directory.appending(SegmentName.segment(1)),
                    reason: "there are no segments, and ANCHOR says that batch \(sequence) was durable")
            }
            return nil
        }
        let found = try LogRecovery.run(fileSystem, directory, options, segments: numbers)
        try anchor?.check(found, directory)
        return found
    }

    private static func openForWriting(
        _ path: FilePath, _ log: FoundLog, _ anchor: LogAnchor?, _ directory: FilePath,
        _ fileSystem: any FileSystem, _ options: WriteAheadLogOptions
    ) throws(WriteAheadLogError) -> (active: any File, anchor: AnchorWriter) {
        do throws(FileSystemError) {
            let writer = try AnchorWriter(
                directory, fileSystem, found: anchor, groups: log.groups.map(\.checkpoint),
                sequence: log.nextSequence - 1)
            return (try fileSystem.open(path, .readWrite), writer)
        } catch {
            guard error.isNoSpace else { throw .fileSystem(error) }
            throw .noSpace(directory: directory, neededBytes: LogAnchor.fileSizeBytes)
        }
    }

    private static func report(_ anchor: LogAnchor?) -> RecoveryReport.Anchor {
        guard let anchor else { return .missing }
        return anchor.durableSequence.map { .known(sequence: $0) } ?? .unknown
    }

    private static func end(_ found: FoundLog?) -> RecoveryReport.End {
        guard let found else { return .created }
        switch found.lastMark {
        case .closed: return .closed
        case .durable: return .durable
        default: return .open
        }
    }

    static func prepareDirectory(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(WriteAheadLogError) -> DirectoryLock {
        let (lock, holder) = try wrapping { () throws(FileSystemError) in
            try fileSystem.createDurableDirectory(directory)
            return try DirectoryLock.take(directory, fileSystem)
        }
        guard let lock else { throw .locked(directory: directory, holder: holder) }
        return lock
    }

    /// Files that were segments, or were to become some, and can be used; the others are removed.
    private static func findSpares(
        _ names: [String], _ directory: FilePath, _ fileSystem: any FileSystem,
        _ options: WriteAheadLogOptions, hasLog: Bool
    ) throws(WriteAheadLogError) -> (kept: [UInt64], next: UInt64) {
        var kept: [UInt64] = []
        let numbers = names.compactMap(SegmentName.spareNumber)
        for number in numbers {
            let path = directory.appending(SegmentName.spare(number))
            try wrapping { () throws(FileSystemError) in
                let size = try fileSystem.open(path, .read).sizeBytes()
                let isWanted = hasLog && kept.count < options.maximumSpareSegments
                if isWanted && size == options.segmentSizeBytes {
                    kept.append(number)
                } else {
                    try fileSystem.remove(path)
                }
            }
        }
        return (kept, (numbers.max() ?? 0) + 1)
    }

    private static func createLog(
        _ directory: FilePath, _ fileSystem: any FileSystem, _ options: WriteAheadLogOptions
    ) throws(WriteAheadLogError) -> FoundLog {
        let temporary = directory.appending(SegmentName.spare(0))
        let header = SegmentHeader(
            segment: 1, capacity: options.segmentSizeBytes, firstSequence: 1, previousEnd: 0,
            isRecycled: false)
        let offset = SegmentHeader.sizeBytes
        let head = BatchHeader.mark(.head, sequence: 1, segment: 1, offset: offset)
        let mark = BatchHeader.mark(.durable, sequence: 2, segment: 1, offset: offset + head.count)
        do throws(FileSystemError) {
            let file = try fileSystem.open(temporary, .createOrOpen)
            try file.allocate(options.segmentSizeBytes)
            try file.write(header.encoded() + head + mark, at: 0)
            try file.synchronize()
            try fileSystem.rename(temporary, to: directory.appending(SegmentName.segment(1)))
            try fileSystem.synchronizeDirectory(directory)
        } catch {
            guard error.isNoSpace else { throw .fileSystem(error) }
            throw .noSpace(directory: directory, neededBytes: options.segmentSizeBytes)
        }
        var found = FoundLog()
        found.segments = [SegmentUse(number: 1)]
        found.capacity = options.segmentSizeBytes
        found.end = offset + head.count
        found.nextSequence = 2
        return found
    }

    /// Makes sure that what was read will be read again: the last batch may be in the operating system's
    /// memory only, even marked as written there by a sync that failed, so its bytes are written once more.
    /// Zeros and a mark go over what an unfinished write left behind it.
    private static func makeDurable(
        _ found: FoundLog, _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(WriteAheadLogError) {
        let number = found.segments[found.segments.count - 1].number
        let path = directory.appending(SegmentName.segment(number))
        let mark = BatchHeader.mark(
            .durable, sequence: found.nextSequence, segment: number, offset: found.end)
        let zeros = [UInt8](repeating: 0, count: min(4_096, found.capacity - found.end) - mark.count)
        try wrapping { () throws(FileSystemError) in
            // Names too may have been seen without being durable.
            try fileSystem.synchronizeDirectory(directory)
            if let unproven = found.unprovenSeal {
                let previous = try fileSystem.open(
                    directory.appending(SegmentName.segment(unproven.segment)), .readWrite)
                let seal = BatchHeader.mark(
                    .seal, sequence: unproven.sequence, segment: unproven.segment, offset: unproven.offset)
                try previous.write(seal, at: unproven.offset)
                try previous.synchronize()
            }
            let file = try fileSystem.open(path, .readWrite)
            if let unproven = found.unproven {
                try unproven.bytes.withUnsafeBytes { (bytes) throws(FileSystemError) in
                    try file.write(bytes, at: unproven.offset)
                }
            }
            try file.write(mark + zeros, at: found.end)
            try file.synchronize()
        }
    }
}

extension FileSystem {
    /// Creates a directory whose parent exists and makes its name durable.
    func createDurableDirectory(_ path: FilePath) throws(FileSystemError) {
        let isNew = try createDirectory(path)
        do throws(FileSystemError) {
            // Always: a start before this one may have died between the two.
            try synchronizeDirectory(path.parent)
        } catch {
            // A directory that somebody made for us in one that we may not read is taken as it is.
            guard !isNew, error.code == .permissionDenied else { throw error }
        }
    }
}

extension FilePath {
    /// The directory that holds this one; "." for a name alone.
    var parent: FilePath {
        guard lastComponent != nil else { return self }
        let parent = removingLastComponent()
        return parent.isEmpty ? (self == "." ? self : ".") : parent
    }
}
