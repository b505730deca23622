import ConsensusTypes
import struct SystemPackage.FilePath

/// Reads what is left of a damaged log, oldest segment first. Changes nothing.
struct LogSalvage {
    private let fileSystem: any FileSystem
    private let directory: FilePath
    private let options: WriteAheadLogOptions
    private let anchor: LogAnchor?
    private let numbers: [UInt64]

    private var positions: [GroupID: Int] = [:]
    private var groups: [SalvagingGroup] = []
    private var damages: [WriteAheadLogError] = []
    /// The last batch that was read, or is known to be lost; 0 before the first one.
    private var lastSequence: UInt64 = 0
    /// Whether a group that was not seen yet is certain to have had nothing in the log.
    private var knowsAllGroups = false
    /// What the anchor says of the log's end, until that place is reached.
    private var waiting: LogAnchor.Positions?
    /// Whether something proves where the last segment's batches end.
    private var isEndProven = false
    private var isSuccessorLost = false

    init(
        _ fileSystem: any FileSystem, _ directory: FilePath, _ options: WriteAheadLogOptions
    ) throws(WriteAheadLogError) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
        anchor = try LogAnchor.read(directory, fileSystem)
        let names = try wrapping { () throws(FileSystemError) in try fileSystem.list(directory) }
        numbers = names.compactMap(SegmentName.segmentNumber).sorted()
        waiting = anchor?.newestPositions
        damages = anchor?.damages(directory) ?? []
    }

    mutating func run() throws(WriteAheadLogError) -> SalvagedLog {
        let refusal = try refusal()
        for (place, number) in numbers.enumerated() {
            let next = place + 1 < numbers.count ? numbers[place + 1] : nil
            if let next, next != number + 1 {
                damages.append(
                    .missingSegment(
                        file: path(number + 1),
                        reason: "segments \(number) and \(next) are there, this one between is not"))
            }
            try read(number, isLast: next == nil, successor: next == number + 1 ? next : nil)
        }
        finish()
        if let refusal {
            damages.removeAll { $0 == refusal }
            damages.insert(refusal, at: 0)
        }
        let votes = anchor?.trustedVotes?.groups
        return SalvagedLog(
            damages: damages,
            groups: groups.map { $0.salvaged(votes) }.sorted { $0.group < $1.group })
    }

    /// Why the log cannot be opened.
    private func refusal() throws(WriteAheadLogError) -> WriteAheadLogError? {
        do throws(WriteAheadLogError) {
            guard try WriteAheadLog.recover(directory, fileSystem, options, numbers, anchor) != nil else {
                return .empty(directory: directory)
            }
            return nil
        } catch {
            guard error.isDamage else { throw error }
            return error
        }
    }

    private func path(_ segment: UInt64) -> FilePath {
        directory.appending(SegmentName.segment(segment))
    }

    // MARK: Segments

    private func header(_ number: UInt64) throws(WriteAheadLogError) -> (SegmentHeader?, WriteAheadLogError?)
    {
        let path = path(number)
        let file = try wrapping { () throws(FileSystemError) in try fileSystem.open(path, .read) }
        do throws(WriteAheadLogError) {
            return (try SegmentHeader.read(file, segment: number), nil)
        } catch {
            guard error.isDamage else { throw error }
            return (nil, error)
        }
    }

    private mutating func read(
        _ number: UInt64, isLast: Bool, successor: UInt64?
    ) throws(WriteAheadLogError) {
        let path = path(number)
        let file = try wrapping { () throws(FileSystemError) in try fileSystem.open(path, .read) }
        let size = try wrapping { () throws(FileSystemError) in try file.sizeBytes() }
        if let error = try header(number).1 { damages.append(error) }
        var end: Int?
        if let successor { end = try header(successor).0?.previousEnd }
        var reader = SegmentReader(
            file, segment: number, capacity: size, blockSizeBytes: options.readBlockSizeBytes)
        try readBatches(&reader, until: end, number, isLast: isLast)
        for range in reader.unreadable {
            damages.append(
                .damaged(file: path, offset: range.lowerBound, reason: unreadableReason(range)))
        }
    }

    private mutating func readBatches(
        _ reader: inout SegmentReader, until end: Int?, _ number: UInt64, isLast: Bool
    ) throws(WriteAheadLogError) {
        let path = reader.file.path
        var offset = SegmentHeader.sizeBytes
        while offset != end {
            let place: Int
            let reason: String
            switch try reader.batch(at: offset) {
            case .intact(let batch, let body)
            where isInPlace(batch, at: offset) && [.records, .head].contains(batch.kind):
                expect(batch.sequence)
                apply(reader, body)
                offset += batch.totalSizeBytes
                continue
            case .intact(let mark, _) where mark.kind == .seal && mark.sequence > lastSequence:
                expect(mark.sequence, isMark: true)
                if isLast { loseSuccessor(of: number) }
                return
            case .intact(let mark, _) where mark.kind != .head && mark.sequence > lastSequence:
                expect(mark.sequence, isMark: true)
                isEndProven = isLast
                (place, reason) = (offset + BatchHeader.alignment, "a later batch is gone")
            case .intact:
                (place, reason) = (offset + BatchHeader.alignment, "a batch is out of place")
            case .headerInvalid:
                (place, reason) = (offset + BatchHeader.alignment, "a batch's header is not what it was")
            case .bodyInvalid(let batch):
                // The header is intact, so the next batch begins right behind this one.
                let next = offset + (batch.sequence > lastSequence ? batch.totalSizeBytes : 8)
                (place, reason) = (next, "a batch's checksum does not match")
            }
            guard let next = try reader.nextBatch(from: place, beyond: lastSequence + 1) else {
                if end != nil {
                    damages.append(.damaged(file: path, offset: offset, reason: reason))
                }
                return
            }
            isEndProven = false
            damages.append(.damaged(file: path, offset: offset, reason: reason))
            offset = next
        }
    }

    private func isInPlace(_ batch: BatchHeader, at offset: Int) -> Bool {
        batch.sequence > lastSequence && (batch.kind == .head) == (offset == SegmentHeader.sizeBytes)
    }

    // MARK: Sequences

    /// The batch (or the mark before the batch) with this sequence comes next: whatever is missing before it
    /// is lost.
    private mutating func expect(_ sequence: UInt64, isMark: Bool = false) {
        if let reached = waiting, reached.sequence < sequence {
            waiting = nil
            if lastSequence > 0 {
                if lastSequence < reached.sequence { lose() }
                stand(reached)
                lastSequence = max(lastSequence, reached.sequence)
            }
        }
        if lastSequence > 0, lastSequence != sequence - 1 { lose() }
        lastSequence = isMark ? sequence - 1 : sequence
    }

    private mutating func lose() {
        for position in groups.indices { groups[position].lose() }
        knowsAllGroups = false
    }

    private mutating func loseSuccessor(of number: UInt64) {
        damages.append(
            .missingSegment(
                file: path(number + 1), reason: "segment \(number) says that it has a successor"))
        isSuccessorLost = true
    }

    /// The anchor's place in the log is reached. Where nothing was lost the log knows better.
    private mutating func stand(_ reached: LogAnchor.Positions) {
        for known in reached.groups ?? [] {
            let position = position(of: known.group)
            if !groups[position].isEndKnown { _ = groups[position].stand(at: known.last) }
        }
    }

    private mutating func finish() {
        // With a slot lost it cannot be told whether that was the newer one.
        var isEndUncertain = !isEndProven && anchor?.hasAllPositions != true
        if let reached = waiting {
            let last = lastSequence
            waiting = nil
            if last < reached.sequence { lose() }
            stand(reached)
            lastSequence = max(last, reached.sequence)
            // The lost segment's head alone is one batch more than the last of this one.
            isEndUncertain = isEndUncertain || (isSuccessorLost && reached.sequence <= last)
        } else {
            isEndUncertain = isEndUncertain || isSuccessorLost
        }
        if let durable = anchor?.durableSequence, durable > lastSequence { isEndUncertain = true }
        if isEndUncertain { lose() }
        // Groups of which only the anchor knows.
        for vote in anchor?.trustedVotes?.groups ?? [] { _ = position(of: vote.group) }
    }

    // MARK: Records

    private mutating func position(of group: GroupID) -> Int {
        if let position = positions[group] { return position }
        positions[group] = groups.count
        groups.append(SalvagingGroup(group, isNew: knowsAllGroups))
        return groups.count - 1
    }

    private mutating func apply(_ reader: SegmentReader, _ body: Range<Int>) {
        let file = reader.file.path
        var decoder = RecordDecoder(reader.block, body)
        var isHead = false
        if body.lowerBound + reader.blockStart == SegmentHeader.sizeBytes + BatchHeader.sizeBytes {
            isHead = true
        }
        while true {
            let start = reader.blockStart + decoder.offset
            var problem: String?
            do throws(ByteDecodingError) {
                guard let record = try decoder.next() else { break }
                problem = apply(record)
            } catch {
                lose()
                damages.append(
                    .inconsistent(file: file, offset: reader.blockStart + error.offset, reason: error.reason))
                return
            }
            if let problem { damages.append(.inconsistent(file: file, offset: start, reason: problem)) }
        }
        if isHead { knowsAllGroups = true }
    }

    private mutating func apply(_ record: LogRecord) -> String? {
        switch record {
        case .hardState(let group, let state):
            return groups[position(of: group)].set(state)
        case .snapshot(let group, let snapshot, let keepsSuffix):
            return groups[position(of: group)].start(after: snapshot, keepsSuffix: keepsSuffix)
        case .entries(let group, let first, let entries):
            return groups[position(of: group)].append(entries, from: first)
        case .checkpoint(let checkpoint):
            return groups[position(of: checkpoint.group)].apply(checkpoint)
        }
    }
}
