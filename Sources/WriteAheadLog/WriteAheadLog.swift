import ConsensusTypes
import struct SystemPackage.FilePath

/// The write-ahead log of a node, shared by all its groups: one sync makes a batch of all of them durable.
///
/// The log has two sides. This type gathers and plans, without any input or output, for one owner: it is
/// not thread-safe. ``writer`` does the input and output and may live on another thread; ``LogSyncThread``
/// puts the two together. Where one thread does everything, ``flush()`` is all it takes.
///
/// The bytes are described in docs/formats/write-ahead-log.md.
public final class WriteAheadLog {
    struct SegmentUse {
        let number: UInt64
        /// The last entry of each group that was written here, by the group's position in `states`.
        var lastIndexes: [Int: LogIndex] = [:]
    }

    private struct RetiredGroup {
        let position: Int
        let contents: RecoveredGroup
        let sizeBytes: Int
    }

    public let directory: FilePath
    public let writer: LogWriter
    private let options: WriteAheadLogOptions

    private var positions: [GroupID: Int] = [:]
    /// Where each group stands with everything that was encoded.
    private var states: [GroupCheckpoint] = []
    /// Where each group stands with the batches that were taken; `nil` where none has anything of it.
    private var taken: [GroupCheckpoint?] = []
    private var released: [LogIndex] = []
    /// Groups that nobody writes to.
    private var retired: [RetiredGroup] = []
    /// The groups in the batch being gathered, and the last entry of each write.
    private var touched: [(position: Int, last: LogIndex?)] = []

    private var pending: [UInt8] = []
    private var spentBuffers: [[UInt8]] = []
    private var spentPositions: [[UInt8]] = []
    /// Oldest first; the last one is being written.
    private var segments: [SegmentUse]
    private var capacity: Int
    private var end: Int
    private var nextSequence: UInt64

    init(_ directory: FilePath, _ options: WriteAheadLogOptions, _ found: FoundLog, _ writer: LogWriter) {
        self.directory = directory
        self.options = options
        self.writer = writer
        segments = found.segments
        capacity = found.capacity
        end = found.end
        nextSequence = found.nextSequence
        for group in found.groups {
            let position = self.position(of: group.checkpoint.group)
            states[position] = group.checkpoint
            taken[position] = group.checkpoint
        }
        beginPending()
    }

    // MARK: Gathering

    /// Adds the writes to the batch being gathered. Nothing is durable before a batch that contains them
    /// was written; nothing is written here.
    ///
    /// The entries of a write must be contiguous, must follow on the group's log or replace a part of it,
    /// and neither their terms nor the hard state's may go back: anything else is a fault of the caller.
    public func encode(_ writes: [LogWrite]) {
        for write in writes where !write.isEmpty {
            encode(write)
        }
    }

    private func encode(_ write: LogWrite) {
        let position = position(of: write.group)
        if let hardState = write.hardState {
            precondition(hardState.term >= states[position].hardState.term, "a group's term went back")
            RecordEncoder.encode(hardState, group: write.group, into: &pending)
            states[position].hardState = hardState
        }
        if let snapshot = write.snapshot {
            RecordEncoder.encode(
                snapshot, keepsSuffix: write.keepsSuffix, group: write.group, into: &pending)
            states[position].start(after: snapshot, keepsSuffix: write.keepsSuffix)
        }
        if let first = write.entries.first, let last = write.entries.last {
            let state = states[position]
            precondition(
                first.index > state.snapshot?.index ?? .zero && first.index <= state.lastIndex.next,
                "entries leave a hole in the log or are within its snapshot")
            var previous = first.index == state.lastIndex.next ? state.lastTerm : .zero
            var expected = first.index
            for entry in write.entries {
                precondition(entry.index == expected && entry.term >= previous, "entries are out of order")
                expected = expected.next
                previous = entry.term
            }
            RecordEncoder.encode(write.entries, group: write.group, into: &pending)
            states[position].lastIndex = last.index
            states[position].lastTerm = last.term
        }
        touched.append((position, write.entries.last?.index))
    }

    /// How many bytes are gathered and not taken yet.
    public var gatheredBytes: Int { pending.count - BatchHeader.sizeBytes }

    /// A durable snapshot of the group covers everything up to here, so that segments with nothing newer
    /// can be used again. Counts only up to where the log was told to start, with ``LogWrite/snapshot``.
    public func release(group: GroupID, through index: LogIndex) {
        let position = position(of: group)
        released[position] = max(released[position], index)
    }

    /// Says that nobody writes to these groups any more; they are given as they were found when the log was opened.
    ///
    /// What the log holds of them stays. So that it does not keep every later segment from being used again, their
    /// entries are written once more, behind everything, whenever the log has grown by about as much as they take.
    public func retire(_ groups: [RecoveredGroup]) {
        for group in groups where !group.entries.isEmpty {
            let size = group.entries.reduce(0) { $0 + $1.approximateSizeBytes }
            retired.append(
                RetiredGroup(position: position(of: group.group), contents: group, sizeBytes: size))
        }
    }

    /// Whether the oldest segments are kept for retired groups alone, and are enough of them to be worth moving
    /// those.
    private var isHeldUpByRetired: Bool {
        let sizeBytes = retired.reduce(0) { $0 + $1.sizeBytes }
        let patience = 2 + sizeBytes / options.segmentSizeBytes
        guard segments.count > patience else { return false }
        return segments.prefix(patience).allSatisfy { segment in
            isObsolete(segment, except: retired.map(\.position))
        }
    }

    /// How much room there is for more.
    public var space: LogSpace {
        guard writer.isShortOfSpace else { return .ample }
        let left = capacity - end - pending.count - BatchHeader.sizeBytes
        return left < options.reserveSizeBytes ? .none : .low
    }

    // MARK: Batches

    /// Ends the batch being gathered and gives it its place in the log; `nil` where there is nothing to do.
    /// It must be given to ``writer``, in order, and afterwards back to ``reclaim(_:)``.
    public func takeBatch() -> LogBatch? {
        let obsolete = takeObsoleteSegments()
        let movesRetired = !retired.isEmpty && isHeldUpByRetired
        if movesRetired {
            encode(retired.map { LogWrite(group: $0.contents.group, entries: $0.contents.entries) })
        }
        guard gatheredBytes > 0 else {
            guard !obsolete.isEmpty else { return nil }
            return LogBatch(
                bytes: [], segment: segments[segments.count - 1].number, offset: end, sequence: nextSequence,
                obsoleteSegments: obsolete)
        }
        var newSegment: LogBatch.NewSegment?
        // A mark or a seal must always fit behind the batch.
        if end + pending.count + BatchHeader.sizeBytes > capacity {
            newSegment = planSegment(for: pending.count)
        }
        var batch = LogBatch(
            newSegment: newSegment, bytes: pending, segment: segments[segments.count - 1].number, offset: end,
            sequence: nextSequence, obsoleteSegments: obsolete)
        end += pending.count
        nextSequence += 1
        for (position, last) in touched {
            let (before, now) = (taken[position]?.hardState, states[position].hardState)
            if before?.term ?? .zero != now.term || before?.votedFor != now.votedFor {
                batch.changesVotes = true
            }
            taken[position] = states[position]
            if let last {
                let use = segments[segments.count - 1].lastIndexes[position] ?? .zero
                segments[segments.count - 1].lastIndexes[position] = max(use, last)
            }
        }
        touched.removeAll(keepingCapacity: true)
        if movesRetired {
            // They are in this batch, which is durable before any segment is removed.
            for segment in segments.indices.dropLast() {
                for group in retired { segments[segment].lastIndexes[group.position] = nil }
            }
        }
        beginPending()
        batch.positions = spentPositions.popLast() ?? []
        LogAnchor.encodePositions(sequence: batch.sequence, taken, into: &batch.positions)
        if batch.changesVotes { batch.votes = LogAnchor.votes(of: taken) }
        return batch
    }

    /// Takes the buffer of a batch that was written, to use it again.
    public func reclaim(_ batch: consuming LogBatch) {
        if spentPositions.count < 2 {
            var positions = batch.positions
            batch.positions = []
            positions.removeAll(keepingCapacity: true)
            spentPositions.append(positions)
        }
        guard spentBuffers.count < 2, batch.bytes.capacity <= 4 << 20 else { return }
        var buffer = batch.bytes
        batch.bytes = []
        buffer.removeAll(keepingCapacity: true)
        spentBuffers.append(buffer)
    }

    /// Writes everything gathered, syncs, and does what is to be done afterwards. On return all of it is
    /// durable.
    public func flush() throws(WriteAheadLogError) {
        while var batch = takeBatch() {
            try writer.write(&batch)
            try writer.maintain(after: batch)
            reclaim(batch)
        }
        try writer.markDurable()
    }

    /// Tries once more to allocate the next segment in advance, after the disk was full.
    public func retryAllocation() throws(WriteAheadLogError) {
        try writer.retryAllocation()
    }

    /// Writes everything gathered, says that the log was closed, and lets go of the directory.
    public func close() throws(WriteAheadLogError) {
        try flush()
        try writer.close()
    }

    private func planSegment(for size: Int) -> LogBatch.NewSegment {
        var head = [UInt8](repeating: 0, count: BatchHeader.sizeBytes)
        for case let state? in taken {
            RecordEncoder.encode(state, into: &head)
        }
        let needed = SegmentHeader.sizeBytes + head.count + size + BatchHeader.sizeBytes
        let previousEnd = end
        let number = segments[segments.count - 1].number + 1
        capacity = max(options.segmentSizeBytes, (needed + 4_095) & ~4_095)
        let header = SegmentHeader(
            segment: number, capacity: capacity, firstSequence: nextSequence, previousEnd: previousEnd,
            isRecycled: false)
        segments.append(SegmentUse(number: number))
        end = SegmentHeader.sizeBytes + head.count
        nextSequence += 1
        return LogBatch.NewSegment(header: header, head: head)
    }

    /// Removes the oldest segments that hold nothing but what snapshots cover. Where the log starts is in
    /// a batch that was taken, or in the one that is taken now: it is durable before they are touched.
    private func takeObsoleteSegments() -> [UInt64] {
        var obsolete: [UInt64] = []
        while segments.count > 1, isObsolete(segments[0]) {
            obsolete.append(segments.removeFirst().number)
        }
        return obsolete
    }

    private func isObsolete(_ segment: SegmentUse, except ignored: [Int] = []) -> Bool {
        segment.lastIndexes.allSatisfy { position, last in
            ignored.contains(position)
                || last <= min(released[position], states[position].snapshot?.index ?? .zero)
        }
    }

    private func beginPending() {
        pending = spentBuffers.popLast() ?? []
        pending.append(contentsOf: repeatElement(0, count: BatchHeader.sizeBytes))
    }

    private func position(of group: GroupID) -> Int {
        if let position = positions[group] { return position }
        let position = states.count
        positions[group] = position
        states.append(GroupCheckpoint(group: group))
        taken.append(nil)
        released.append(.zero)
        return position
    }
}

extension GroupCheckpoint {
    /// The log starts after `snapshot`; entries behind it stay if `keepsSuffix`.
    mutating func start(after snapshot: SnapshotMetadata, keepsSuffix: Bool) {
        self.snapshot = snapshot
        if !keepsSuffix || lastIndex <= snapshot.index {
            lastIndex = snapshot.index
            lastTerm = snapshot.term
        }
    }
}
