import Synchronization
import SystemPackage

/// The side of the log that does the input and output. It may be used from another thread than the
/// ``WriteAheadLog`` that hands it batches, by one thread at a time.
///
/// After any failure, except that a spare segment cannot be allocated, the log is unusable: every later call
/// throws the same error. A failed write or sync is never tried again, because what the operating system
/// says afterwards about the same bytes cannot be relied upon.
public final class LogWriter: Sendable {
    struct State: Sendable {
        var active: any File
        var segment: UInt64
        /// Where the next batch goes.
        var end: Int
        var nextSequence: UInt64
        var spares: [(number: UInt64, isRecycled: Bool)]
        var nextSpare: UInt64
        var isMarked: Bool
        var anchor: AnchorWriter
        var lock: DirectoryLock?
        var failure: WriteAheadLogError?
    }

    private let fileSystem: any FileSystem
    private let directory: FilePath
    private let options: WriteAheadLogOptions
    private let state: Mutex<State>
    private let lacksSpare = Atomic<Bool>(false)

    init(
        _ fileSystem: any FileSystem, _ directory: FilePath, _ options: WriteAheadLogOptions, _ initial: State
    ) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
        state = Mutex(initial)
    }

    /// Whether the next segment could not be allocated in advance.
    public var isShortOfSpace: Bool { lacksSpare.load(ordering: .acquiring) }

    /// Writes the batch and syncs; when this returns, everything in it is durable, and the anchor says so.
    public func write(_ batch: inout LogBatch) throws(WriteAheadLogError) {
        try guarded { (state) throws(WriteAheadLogError) in
            if let newSegment = batch.newSegment {
                try begin(newSegment, &state)
            }
            guard !batch.bytes.isEmpty else { return }
            precondition(
                batch.segment == state.segment && batch.offset == state.end
                    && batch.sequence == state.nextSequence,
                "batches are written in the order they were taken")
            BatchHeader.seal(
                &batch.bytes, kind: .records, sequence: batch.sequence, segment: batch.segment,
                offset: batch.offset)
            state.isMarked = false
            let bytes = batch.bytes
            let active = state.active
            try wrapping { () throws(FileSystemError) in
                try active.write(bytes, at: batch.offset)
                try active.synchronize()
            }
            state.end += batch.bytes.count
            state.nextSequence += 1
            try anchor(&batch, &state)
        }
    }

    /// Only now, after the sync: an anchor ahead of the segments would make a power cut look like damage.
    private func anchor(_ batch: inout LogBatch, _ state: inout State) throws(WriteAheadLogError) {
        do throws(FileSystemError) {
            if batch.changesVotes {
                try state.anchor.write(batch.votes, sequence: batch.sequence)
            }
            try state.anchor.write(&batch.positions)
        } catch {
            throw .fileSystem(error)
        }
    }

    /// What a durable batch leaves to be done: recycles what it made obsolete and allocates a spare segment.
    public func maintain(after batch: LogBatch) throws(WriteAheadLogError) {
        guard batch.newSegment != nil || !batch.obsoleteSegments.isEmpty else { return }
        try guarded { (state) throws(WriteAheadLogError) in
            for segment in batch.obsoleteSegments {
                try recycle(segment, &state)
            }
            try allocateSpare(&state)
        }
    }

    /// Tries once more to allocate the next segment in advance.
    public func retryAllocation() throws(WriteAheadLogError) {
        try guarded { (state) throws(WriteAheadLogError) in try allocateSpare(&state) }
    }

    /// Says behind the last batch that it was durable, so that a damaged last batch is told from one that
    /// was never finished. Not synced: it is there after the process dies, and after a power cut it is as a
    /// rule there some seconds after it was written.
    public func markDurable() throws(WriteAheadLogError) {
        try guarded { (state) throws(WriteAheadLogError) in
            guard !state.isMarked else { return }
            try writeMark(.durable, &state)
            state.isMarked = true
        }
    }

    /// Says durably that the log was closed and lets go of the directory; every later call throws.
    func close() throws(WriteAheadLogError) {
        defer { state.withLock { $0.lock = nil } }
        try guarded { (state) throws(WriteAheadLogError) in
            try writeMark(.closed, &state)
            let (active, anchor) = (state.active, state.anchor)
            try wrapping { () throws(FileSystemError) in
                try active.synchronize()
                try anchor.synchronize()
            }
            state.failure = .closed(directory: directory)
        }
    }

    private func guarded(
        _ body: (inout State) throws(WriteAheadLogError) -> Void
    ) throws(WriteAheadLogError) {
        try state.withLock { (state) throws(WriteAheadLogError) in
            if let failure = state.failure { throw failure }
            do throws(WriteAheadLogError) {
                try body(&state)
            } catch {
                state.failure = error
                throw error
            }
        }
    }

    private func writeMark(_ kind: BatchKind, _ state: inout State) throws(WriteAheadLogError) {
        let bytes = BatchHeader.mark(
            kind, sequence: state.nextSequence, segment: state.segment, offset: state.end)
        let (active, end) = (state.active, state.end)
        try wrapping { () throws(FileSystemError) in try active.write(bytes, at: end) }
    }
}

// MARK: - Segments

extension LogWriter {
    /// A segment gets its name only when its header and head are durable, and the one before is sealed only
    /// when the new name is: so a segment with a name is whole, and a sealed one has a successor.
    private func begin(
        _ new: LogBatch.NewSegment, _ state: inout State
    ) throws(WriteAheadLogError) {
        let number = new.header.segment
        let prepared = try prepareFile(
            ofSize: new.header.capacity, headSizeBytes: SegmentHeader.sizeBytes + new.head.count, &state)
        let header = SegmentHeader(
            segment: number, capacity: new.header.capacity, firstSequence: new.header.firstSequence,
            previousEnd: new.header.previousEnd, isRecycled: prepared.isRecycled)
        var head = new.head
        BatchHeader.seal(
            &head, kind: .head, sequence: header.firstSequence, segment: number,
            offset: SegmentHeader.sizeBytes)
        let bytes = header.encoded() + head
        let path = directory.appending(SegmentName.segment(number))
        let (previous, end, sequence) = (state.active, state.end, state.nextSequence)
        let seal = BatchHeader.mark(.seal, sequence: sequence, segment: state.segment, offset: end)
        let anchor = state.anchor
        state.active = try wrapping { () throws(FileSystemError) in
            try anchor.synchronize()
            try prepared.file.write(bytes, at: 0)
            try prepared.file.synchronize()
            try fileSystem.rename(prepared.file.path, to: path)
            try fileSystem.synchronizeDirectory(directory)
            try previous.write(seal, at: end)
            try previous.synchronize()
            return try fileSystem.open(path, .readWrite)
        }
        state.segment = number
        state.end = bytes.count
        state.nextSequence = header.firstSequence + 1
        state.isMarked = false
    }

    private func prepareFile(
        ofSize size: Int, headSizeBytes: Int, _ state: inout State
    ) throws(WriteAheadLogError) -> (file: any File, isRecycled: Bool) {
        while size == options.segmentSizeBytes, let spare = state.spares.popLast() {
            let path = directory.appending(SegmentName.spare(spare.number))
            let file = try wrapping { () throws(FileSystemError) -> (any File)? in
                let file = try fileSystem.open(path, .readWrite)
                // The head ends within a block, and the rest of a block that cannot be read cannot be kept.
                // Every start would come to the same spare again and fail at it.
                guard try file.readAroundFailures(headSizeBytes, at: 0).unreadable.isEmpty else {
                    try fileSystem.remove(path)
                    return nil
                }
                return file
            }
            if let file { return (file, spare.isRecycled) }
        }
        guard let created = try createSpare(ofSize: size, &state) else {
            throw .noSpace(directory: directory, neededBytes: size)
        }
        return (created.file, false)
    }

    private func recycle(_ segment: UInt64, _ state: inout State) throws(WriteAheadLogError) {
        let path = directory.appending(SegmentName.segment(segment))
        let isKept = state.spares.count < options.maximumSpareSegments
        let number = state.nextSpare
        // The name must durably be gone before its bytes are overwritten, and before that of any later
        // segment is: otherwise a hole could be left.
        let becameSpare = try wrapping { () throws(FileSystemError) in
            let size = isKept ? try fileSystem.open(path, .read).sizeBytes() : 0
            if size == options.segmentSizeBytes {
                try fileSystem.rename(path, to: directory.appending(SegmentName.spare(number)))
            } else {
                try fileSystem.remove(path)
            }
            try fileSystem.synchronizeDirectory(directory)
            return size == options.segmentSizeBytes
        }
        if becameSpare {
            state.spares.append((number, true))
            state.nextSpare += 1
        }
    }

    private func allocateSpare(_ state: inout State) throws(WriteAheadLogError) {
        if state.spares.isEmpty,
            let created = try createSpare(ofSize: options.segmentSizeBytes, &state)
        {
            state.spares.append((created.number, false))
        }
        lacksSpare.store(state.spares.isEmpty, ordering: .releasing)
    }

    /// `nil` where there is no room, which is nothing to fail for.
    private func createSpare(
        ofSize size: Int, _ state: inout State
    ) throws(WriteAheadLogError) -> (number: UInt64, file: any File)? {
        let number = state.nextSpare
        state.nextSpare += 1
        let path = directory.appending(SegmentName.spare(number))
        do throws(FileSystemError) {
            let file = try fileSystem.open(path, .createOrOpen)
            do throws(FileSystemError) {
                try file.allocate(size)
            } catch {
                try fileSystem.remove(path)
                throw error
            }
            return (number, file)
        } catch {
            guard error.isNoSpace else { throw .fileSystem(error) }
            return nil
        }
    }
}
