import ConsensusTypes
import struct SystemPackage.FilePath

/// What recovery found, checked, and everything that it takes to go on.
struct FoundLog {
    var groups: [RecoveringGroup] = []
    var segments: [WriteAheadLog.SegmentUse] = []
    var end = 0
    var capacity = 0
    var nextSequence: UInt64 = 0
    /// The last batch, where nothing proves that it was durable.
    var unproven: (offset: Int, bytes: ByteSlice)?
    /// The seal of the segment before the last, where no batch in the last one proves that it was durable.
    /// It may be missing when a crash came right before it was written.
    var unprovenSeal: (segment: UInt64, offset: Int, sequence: UInt64, isThere: Bool)?
    var lastMark: BatchKind?
    var tail: RecoveryReport.TruncatedTail?
    var bytes = 0
    var entries = 0
}

/// Reads all segments, oldest first. Changes nothing.
struct LogRecovery {
    private let fileSystem: any FileSystem
    private let directory: FilePath
    private let options: WriteAheadLogOptions
    private var positions: [GroupID: Int] = [:]
    private var found = FoundLog()

    init(_ fileSystem: any FileSystem, _ directory: FilePath, _ options: WriteAheadLogOptions) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
    }

    /// `numbers` are the segments that have a name, sorted, at least one.
    static func run(
        _ fileSystem: any FileSystem, _ directory: FilePath, _ options: WriteAheadLogOptions,
        segments numbers: [UInt64]
    ) throws(WriteAheadLogError) -> FoundLog {
        var recovery = LogRecovery(fileSystem, directory, options)
        try recovery.readAll(numbers)
        return recovery.found
    }

    private func path(_ segment: UInt64) -> FilePath {
        directory.appending(SegmentName.segment(segment))
    }

    private mutating func readAll(_ numbers: [UInt64]) throws(WriteAheadLogError) {
        for (number, next) in zip(numbers, numbers.dropFirst()) where next != number + 1 {
            throw .missingSegment(
                file: path(number + 1),
                reason: "segments \(number) and \(next) are there, this one between is not")
        }
        var upcoming = try openSegment(numbers[0])
        found.nextSequence = upcoming.header.firstSequence
        for number in numbers {
            var reader = upcoming
            var successor: SegmentHeader?
            if number != numbers[numbers.count - 1] {
                upcoming = try openSegment(number + 1)
                successor = upcoming.header
            }
            found.segments.append(WriteAheadLog.SegmentUse(number: number))
            try read(&reader, successor: successor, isFirst: number == numbers[0])
        }
        for group in found.groups {
            guard let missing = group.missing else { continue }
            throw .missingSegment(
                file: path(max(1, numbers[0]) - 1),
                reason: "entries \(missing.lowerBound) to \(missing.upperBound) of group "
                    + "\(group.checkpoint.group) are in none of the segments that are there")
        }
    }

    private func openSegment(_ number: UInt64) throws(WriteAheadLogError) -> SegmentReader {
        let path = path(number)
        let file = try wrapping { () throws(FileSystemError) in try fileSystem.open(path, .read) }
        let header = try SegmentHeader.read(file, segment: number)
        return SegmentReader(file, header, blockSizeBytes: options.readBlockSizeBytes)
    }

    private mutating func read(
        _ reader: inout SegmentReader, successor: SegmentHeader?, isFirst: Bool
    ) throws(WriteAheadLogError) {
        let file = reader.file.path
        var offset = SegmentHeader.sizeBytes
        found.unproven = nil
        guard case .intact(let head, let body) = try reader.batch(at: offset), head.kind == .head,
            head.sequence == reader.header.firstSequence, head.sequence == found.nextSequence
        else {
            throw .damaged(file: file, offset: offset, reason: "the segment's first batch is not what it was")
        }
        try applyHead(reader, body, isFirst: isFirst)
        try advance(&offset, head)
        reading: while offset != successor?.previousEnd {
            switch try reader.batch(at: offset) {
            case .intact(let header, let body) where header.kind == .records:
                try requireSequence(header, file, offset)
                try proveSeal()
                try apply(reader, body)
                let batch = body.lowerBound - BatchHeader.sizeBytes..<body.upperBound
                found.unproven = (offset, ByteSlice(reader.block, batch))
                try advance(&offset, header)
            case .intact(let header, _) where successor == nil && header.kind != .head:
                try requireSequence(header, file, offset)
                try end(reader, header, at: offset)
                break reading
            case .intact(let header, _):
                throw .damaged(
                    file: file, offset: offset, reason: "a batch of kind \(header.kind) is out of place")
            case .headerInvalid where successor == nil:
                try endOpen(reader, nil, at: offset)
                break reading
            case .bodyInvalid(let header) where successor == nil:
                try endOpen(reader, header, at: offset)
                break reading
            case .headerInvalid:
                throw .damaged(file: file, offset: offset, reason: "a batch's header is not what it was")
            case .bodyInvalid:
                throw .damaged(file: file, offset: offset, reason: "a batch's checksum does not match")
            }
        }
        if let successor {
            try checkSeal(&reader, successor, at: offset)
        }
        found.end = offset
        found.capacity = reader.header.capacity
    }

    private mutating func advance(_ offset: inout Int, _ header: BatchHeader) throws(WriteAheadLogError) {
        offset += header.totalSizeBytes
        found.bytes += header.totalSizeBytes
        found.nextSequence += 1
    }

    private func requireSequence(
        _ header: BatchHeader, _ file: FilePath, _ offset: Int
    ) throws(WriteAheadLogError) {
        guard header.sequence == found.nextSequence else {
            throw .damaged(
                file: file, offset: offset,
                reason: "batch \(header.sequence) stands where batch \(found.nextSequence) belongs")
        }
    }

    // MARK: Ends

    /// A sealed segment's end. The seal may be missing when the crash came right before it was written, and
    /// then the next segment is the last one and has nothing but its head.
    private mutating func checkSeal(
        _ reader: inout SegmentReader, _ successor: SegmentHeader, at offset: Int
    ) throws(WriteAheadLogError) {
        try proveSeal()
        var isThere = false
        if case .intact(let header, _) = try reader.batch(at: offset), header.kind == .seal {
            try requireSequence(header, reader.file.path, offset)
            isThere = true
        }
        found.unprovenSeal = (reader.header.segment, offset, found.nextSequence, isThere)
    }

    /// The segment being read was written to, which it is only after the one before was sealed.
    private mutating func proveSeal() throws(WriteAheadLogError) {
        guard let seal = found.unprovenSeal else { return }
        guard seal.isThere else {
            throw .damaged(
                file: path(seal.segment), offset: seal.offset,
                reason: "the segment's end is not marked although the next one is in use")
        }
        found.unprovenSeal = nil
    }

    /// The log ends with a mark, or with a seal although no further segment is there.
    private mutating func end(
        _ reader: SegmentReader, _ mark: BatchHeader, at offset: Int
    ) throws(WriteAheadLogError) {
        guard mark.kind != .seal else {
            throw .missingSegment(
                file: path(reader.header.segment + 1),
                reason: "segment \(reader.header.segment) says that it has a successor")
        }
        found.lastMark = mark.kind
        found.unproven = nil
        let (evidence, _) = try reader.evidence(after: offset, beyond: found.nextSequence)
        if let evidence {
            throw .damaged(
                file: reader.file.path, offset: offset,
                reason: "batch \(found.nextSequence) is gone, a later one is intact at byte \(evidence)")
        }
    }

    /// The log ends with something that is no batch. That is what a write leaves that had not finished,
    /// unless a later batch proves that this one had been durable.
    private mutating func endOpen(
        _ reader: SegmentReader, _ torn: BatchHeader?, at offset: Int
    ) throws(WriteAheadLogError) {
        if let torn { try requireSequence(torn, reader.file.path, offset) }
        let (evidence, lastUsed) = try reader.evidence(after: offset, beyond: found.nextSequence)
        if let evidence {
            throw .damaged(
                file: reader.file.path, offset: offset,
                reason: "batch \(found.nextSequence) is not what it was, a later one is intact at byte "
                    + "\(evidence)")
        }
        // Behind the end of a recycled segment there are old bytes: what they say tells nothing.
        if let torn {
            let size = min(torn.totalSizeBytes, reader.header.capacity - offset)
            found.tail = .init(file: reader.file.path, offset: offset, bytes: size)
        } else if !reader.header.isRecycled && lastUsed > offset {
            found.tail = .init(file: reader.file.path, offset: offset, bytes: lastUsed - offset)
        }
    }

    // MARK: Records

    private mutating func position(of group: GroupID) -> Int {
        if let position = positions[group] { return position }
        positions[group] = found.groups.count
        found.groups.append(RecoveringGroup(GroupCheckpoint(group: group)))
        return found.groups.count - 1
    }

    private mutating func apply(_ reader: SegmentReader, _ body: Range<Int>) throws(WriteAheadLogError) {
        let file = reader.file.path
        var decoder = RecordDecoder(reader.block, body)
        while true {
            let start = reader.blockStart + decoder.offset
            guard let record = try next(&decoder, reader) else { return }
            var problem: String?
            switch record {
            case .hardState(let group, let state):
                problem = found.groups[position(of: group)].set(state)
            case .snapshot(let group, let snapshot, let keepsSuffix):
                problem = found.groups[position(of: group)].start(after: snapshot, keepsSuffix: keepsSuffix)
            case .entries(let group, let first, let entries):
                let position = position(of: group)
                problem = found.groups[position].append(entries, from: first)
                let last = first + (entries.count - 1)
                let use = found.segments[found.segments.count - 1].lastIndexes[position] ?? .zero
                found.segments[found.segments.count - 1].lastIndexes[position] = max(use, last)
                found.entries += entries.count
            case .checkpoint:
                problem = "a checkpoint stands outside of a segment's head"
            }
            if let problem {
                throw .inconsistent(file: file, offset: start, reason: problem)
            }
        }
    }

    /// The head of the oldest segment says where the log starts; every other one must say what the segments
    /// before it led to.
    private mutating func applyHead(
        _ reader: SegmentReader, _ body: Range<Int>, isFirst: Bool
    ) throws(WriteAheadLogError) {
        var decoder = RecordDecoder(reader.block, body)
        var count = 0
        while true {
            let start = reader.blockStart + decoder.offset
            guard let record = try next(&decoder, reader) else { break }
            guard case .checkpoint(let checkpoint) = record else {
                throw .inconsistent(
                    file: reader.file.path, offset: start, reason: "a segment's head holds another record")
            }
            count += 1
            let position = position(of: checkpoint.group)
            if isFirst {
                found.groups[position] = RecoveringGroup(checkpoint)
            } else if found.groups[position].checkpoint != checkpoint {
                throw .inconsistent(
                    file: reader.file.path, offset: start,
                    reason: "group \(checkpoint.group) is not where the segments before left it")
            }
        }
        guard count == found.groups.count else {
            throw .inconsistent(
                file: reader.file.path, offset: SegmentHeader.sizeBytes, reason: "a group is missing")
        }
    }

    private func next(
        _ decoder: inout RecordDecoder, _ reader: SegmentReader
    ) throws(WriteAheadLogError) -> LogRecord? {
        do throws(ByteDecodingError) {
            return try decoder.next()
        } catch {
            throw .inconsistent(
                file: reader.file.path, offset: reader.blockStart + error.offset, reason: error.reason)
        }
    }
}
