import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

/// A log of which everything that was ever in it is known.
struct ChronicledLog {
    struct Batch {
        let segment: UInt64
        let range: Range<Int>
        let writes: [LogWrite]
    }

    static let options = WriteAheadLogOptions(segmentSizeBytes: 4_096)

    let fileSystem: SimulatedFileSystem
    var batches: [Batch] = []
    /// What the log held after each batch, and before the first.
    var states: [LogModel] = [LogModel()]
    /// Where nothing is damaged.
    private(set) var original: SimulatedFileSystem

    var truth: LogModel { states[states.count - 1] }

    init(seed: UInt64, steps: Int) throws {
        fileSystem = SimulatedFileSystem(seed: seed)
        original = fileSystem
        var maker = StepMaker(seed: seed)
        maker.groupCount = 1 + seed % 3
        var log = try openLog(fileSystem).log
        for step in 0..<steps {
            let made = maker.next()
            log.encode(made.writes)
            for (group, through) in made.release where seed % 4 != 0 {
                log.release(group: group, through: through)
            }
            while var batch = log.takeBatch() {
                try log.writer.write(&batch)
                if batch.sizeBytes > 0 {
                    batches.append(
                        Batch(
                            segment: batch.segment, range: batch.offset..<batch.offset + batch.sizeBytes,
                            writes: made.writes))
                    states.append(maker.model)
                }
                try log.writer.maintain(after: batch)
                log.reclaim(batch)
            }
            if maker.random.chance(1, outOf: 3) { try log.writer.markDurable() }
            if step == steps / 2, seed % 2 == 0 {
                try log.close()
                log = try openLog(fileSystem).log
            }
        }
        if seed % 5 == 0 { try log.close() }
        fileSystem.restart(after: .process)
        original = fileSystem.copy()
    }

    /// Whether a batch is on the disk as it was written.
    func isIntact(_ batch: Batch) -> Bool {
        let path = segmentPath(batch.segment)
        guard let now = try? contents(path, fileSystem), let before = try? contents(path, original),
            now.count >= batch.range.upperBound, before.count >= batch.range.upperBound
        else { return false }
        return now[batch.range] == before[batch.range]
    }

    func salvage() throws(WriteAheadLogError) -> SalvagedLog {
        try WriteAheadLog.salvage(
            directory: logDirectory, fileSystem: fileSystem, options: ChronicledLog.options)
    }

    /// What is wrong with what was salvaged, judged by what is known of the log's past.
    func problems(_ salvaged: SalvagedLog) -> [String] {
        var problems: [String] = []
        for group in salvaged.groups {
            let id = group.group
            let now = truth.groups[id] ?? LogModel.Group()
            let found = group.runs.flatMap { $0 }
            if zip(found, found.dropFirst()).contains(where: { $0.index >= $1.index }) {
                problems.append("group \(id): the runs are not in order")
            }
            for run in group.runs where !states.contains(where: { holds($0.groups[id], run) }) {
                problems.append("group \(id): a run from \(run[0].index) on was never part of the log")
            }
            let intact = intactEntries(of: id)
            if found.contains(where: { intact[$0.index] != $0 }) {
                problems.append("group \(id): an entry was found that is not intact on the disk")
            }
            let foundIndexes = Set(found.map(\.index))
            for entry in now.entries where intact[entry.index] == entry && !foundIndexes.contains(entry.index)
            {
                problems.append("group \(id): entry \(entry.index) is intact and was not found")
            }
            let end = LogPosition(term: now.lastTerm, index: now.last)
            if let last = group.lastPosition, last != end {
                problems.append("group \(id): the log ended at \(end), not \(last)")
            }
            if group.isEndTrusted {
                // The record of a snapshot that covers a part of it may be lost.
                let run = group.runs.last ?? []
                let count = min(run.count, now.entries.count)
                if group.lastPosition != end || now.entries.suffix(count) != run.suffix(count) {
                    problems.append("group \(id): the end is not what is said of it")
                }
            }
            if let state = group.hardState,
                state.term != now.hardState.term || state.votedFor != now.hardState.votedFor
            {
                problems.append("group \(id): \(state) is not \(now.hardState)")
            }
            if let snapshot = group.snapshot, snapshot.index > now.start {
                problems.append("group \(id): snapshot \(snapshot.index) is newer than any")
            }
        }
        return problems
    }

    private func holds(_ group: LogModel.Group?, _ run: [Entry]) -> Bool {
        guard let group, let first = run.first else { return false }
        // The start of a log moves ahead of its entries' time: older states hold what newer ones cover.
        guard let place = group.entries.firstIndex(where: { $0.index == first.index }) else { return false }
        return group.entries[place...].prefix(run.count).elementsEqual(run)
    }

    /// The entries that intact batches wrote and no intact batch replaced or covers.
    private func intactEntries(of group: GroupID) -> [LogIndex: Entry] {
        var found: [LogIndex: Entry] = [:]
        for batch in batches where isIntact(batch) {
            for write in batch.writes where write.group == group {
                if let snapshot = write.snapshot {
                    found = found.filter { write.keepsSuffix && $0.key > snapshot.index }
                }
                if let first = write.entries.first {
                    found = found.filter { $0.key < first.index }
                    for entry in write.entries { found[entry.index] = entry }
                }
            }
        }
        return found
    }
}

@Suite("Salvage of a damaged log")
struct SalvageTests {
    private func damage(_ log: ChronicledLog, _ random: inout SeededRandom) throws {
        let segments = try log.fileSystem.list(logDirectory).compactMap(SegmentName.segmentNumber)
        for _ in 0...random.next(below: 3) {
            let path = segmentPath(segments[Int(random.next(below: UInt64(segments.count)))])
            guard try log.fileSystem.exists(path) else { continue }
            switch random.next(below: 10) {
            case 0: try log.fileSystem.remove(path)
            case 1...4: try log.fileSystem.damage(.flippedBit, of: path)
            case 5, 6: try log.fileSystem.damage(.zeroedSector, of: path)
            case 7: try log.fileSystem.damage(.zeroedBlock, of: path)
            case 8: try log.fileSystem.makeUnreadable(path)
            default:
                // Bytes of another place of the file.
                let file = try log.fileSystem.open(path, .readWrite)
                let from = Int(random.next(below: 8)) * 512
                let to = Int(random.next(below: 8)) * 512
                if let bytes = try? file.readBytes(512, at: from) { try file.write(bytes, at: to) }
            }
        }
        if random.chance(1, outOf: 4) {
            let anchor = logDirectory.appending("ANCHOR")
            if random.chance(1, outOf: 4) {
                try log.fileSystem.makeUnreadable(anchor)
            } else {
                try log.fileSystem.damage(.zeroedBlock, of: anchor)
            }
        }
    }

    @Test("random logs, random damage: every run is a piece of the past, nothing intact is missed")
    func randomDamage() throws {
        var damagedCount = 0
        var runCounts: [Int: Int] = [:]
        var trusted = 0
        for seed in UInt64(1)...60 {
            let original = try ChronicledLog(seed: seed, steps: 24)
            for round in UInt64(0)..<12 {
                var random = SeededRandom(seed: seed << 8 | round)
                let log = original.copy()
                try damage(log, &random)
                let salvaged = try log.salvage()
                let refused = (try? openLog(log.fileSystem.copy())) == nil
                let isLogDamaged = salvaged.damages.contains { !"\($0)".contains("ANCHOR is damaged") }
                #expect(refused == isLogDamaged, "seed \(seed), round \(round)")
                let problems = log.problems(salvaged)
                #expect(problems.isEmpty, "seed \(seed), round \(round): \(problems)")
                damagedCount += refused ? 1 : 0
                for group in salvaged.groups {
                    runCounts[min(group.runs.count, 3), default: 0] += 1
                    trusted += group.isEndTrusted ? 1 : 0
                }
                if !problems.isEmpty { return }
            }
        }
        // The cases that matter all occurred.
        #expect(damagedCount > 300 && trusted > 200)
        #expect((1...3).allSatisfy { runCounts[$0, default: 0] > 20 })
    }

    @Test("each batch alone damaged: the end, the terms and the votes stay known", arguments: UInt64(1)...10)
    func eachBatch(seed: UInt64) throws {
        let original = try ChronicledLog(seed: seed, steps: 16)
        for (number, batch) in original.batches.enumerated() {
            let log = original.copy()
            guard try log.fileSystem.exists(segmentPath(batch.segment)) else { continue }
            // The header once, the body once.
            let place = batch.range.lowerBound + (number % 2 == 0 ? 5 : 30)
            try log.fileSystem.flipBit(2, of: segmentPath(batch.segment), at: place)
            let salvaged = try log.salvage()
            #expect(!salvaged.damages.isEmpty)
            #expect(log.problems(salvaged) == [])
            #expect(salvaged.groups.count == log.truth.groups.count)
            for group in salvaged.groups {
                #expect(group.lastPosition != nil && group.hardState != nil)
                // A group that the batch said nothing of lost nothing.
                if !batch.writes.contains(where: { $0.group == group.group }),
                    group.isEndTrusted, let run = group.runs.last,
                    let truth = log.truth.groups[group.group], truth.snapshot == group.snapshot
                {
                    #expect(run == Array(truth.entries.suffix(run.count)))
                }
            }
        }
    }

    @Test("after a power cut, which may take the anchor's last writes along", arguments: UInt64(1)...10)
    func afterPowerCut(seed: UInt64) throws {
        let original = try ChronicledLog(seed: seed, steps: 16)
        original.fileSystem.restart(after: .power)
        // The last batch is left out: without the anchor nobody knows of it.
        for batch in original.batches.dropLast() {
            let log = original.copy()
            guard try log.fileSystem.exists(segmentPath(batch.segment)) else { continue }
            try log.fileSystem.flipBit(2, of: segmentPath(batch.segment), at: batch.range.lowerBound + 30)
            let salvaged = try log.salvage()
            #expect(!salvaged.damages.isEmpty)
            #expect(log.problems(salvaged) == [])
        }
    }

    @Test("an undamaged log is salvaged whole", arguments: UInt64(1)...10)
    func undamaged(seed: UInt64) throws {
        let log = try ChronicledLog(seed: seed, steps: 20)
        let salvaged = try log.salvage()
        #expect(salvaged.damages.isEmpty)
        for group in salvaged.groups {
            let truth = log.truth.groups[group.group]!
            #expect(group.runs == (truth.entries.isEmpty ? [] : [truth.entries]))
            #expect(group.hardState == truth.hardState && group.snapshot == truth.snapshot)
            #expect(group.isEndTrusted)
        }
    }

    /// Twenty writes of one entry each, as in the table of what others do.
    private func twenty() throws -> SimulatedFileSystem {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem, .init(segmentSizeBytes: 64 << 10)).log
        log.encode([
            LogWrite(group: GroupID(1), hardState: HardState(term: Term(1), votedFor: NodeID(2)))
        ])
        for index in 1...20 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 900))])
            try log.flush()
        }
        fileSystem.restart(after: .process)
        return fileSystem
    }

    private func left(_ fileSystem: SimulatedFileSystem) throws -> SalvagedGroup {
        let options = WriteAheadLogOptions(segmentSizeBytes: 64 << 10)
        do throws(WriteAheadLogError) {
            _ = try openLog(fileSystem, options)
            Issue.record("it was opened")
        } catch {
            #expect(error.isDamage)
        }
        return try WriteAheadLog.salvage(
            directory: logDirectory, fileSystem: fileSystem, options: options
        ).groups[0]
    }

    @Test("twenty writes: the last record torn")
    func lastTorn() throws {
        let fileSystem = try twenty()
        let path = segmentPath(1)
        let bytes = try contents(path, fileSystem)
        let used = bytes.lastIndex { $0 != 0 }! + 1
        try replace(
            path, with: bytes[..<(used - 40)] + [UInt8](repeating: 0, count: bytes.count - used + 40),
            fileSystem)
        let group = try left(fileSystem)
        #expect(group.runs == [entries(1...19, payloadBytes: 900)])
        #expect(group.lastPosition == LogPosition(term: Term(1), index: LogIndex(20)) && !group.isEndTrusted)
        #expect(group.hardState?.votedFor == NodeID(2))
    }

    @Test("twenty writes: 4 KiB zeroed in the middle, a bit flipped")
    func middle() throws {
        let zeroed = try twenty()
        try zeroed.damage(.zeroedBlock, of: segmentPath(1), at: 9_000)
        let group = try left(zeroed)
        #expect(group.runs.count == 2 && group.isEndTrusted)
        #expect(group.runs[0].count + group.runs[1].count >= 14)
        #expect(group.runs[1].last?.index == LogIndex(20))

        let flipped = try twenty()
        try flipped.flipBit(3, of: segmentPath(1), at: 9_000)
        let other = try left(flipped)
        #expect(other.runs.count == 2 && other.runs[0].count + other.runs[1].count == 19)
        #expect(other.isEndTrusted && other.hardState?.term == Term(1))
    }

    @Test("a lost segment in the middle, a lost last segment, a lost first one")
    func lostSegments() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        for index in 1...12 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 900))])
            try log.flush()
        }
        try log.close()
        let numbers = try fileSystem.list(logDirectory).compactMap(SegmentName.segmentNumber)
        for number in numbers {
            let damaged = fileSystem.copy()
            try damaged.remove(segmentPath(number))
            let salvaged = try WriteAheadLog.salvage(
                directory: logDirectory, fileSystem: damaged, options: ChronicledLog.options)
            let group = try #require(salvaged.groups.first)
            let isMiddle = number != numbers.first && number != numbers.last
            #expect(group.runs.count == (isMiddle ? 2 : 1))
            #expect(group.lastPosition == LogPosition(term: Term(1), index: LogIndex(12)))
            #expect(group.isEndTrusted == (number != numbers.last))
            #expect(!salvaged.damages.isEmpty)
        }
    }

    @Test("what is not damage is thrown: another holder")
    func otherErrors() throws {
        let options = ChronicledLog.options
        let fileSystem = try ChronicledLog(seed: 1, steps: 10).fileSystem
        let opened = try openLog(fileSystem)
        #expect(throws: WriteAheadLogError.self) {
            try WriteAheadLog.salvage(directory: logDirectory, fileSystem: fileSystem, options: options)
        }
        try opened.log.close()
    }
}

extension ChronicledLog {
    /// The same log on a disk of its own, to be damaged.
    func copy() -> ChronicledLog {
        ChronicledLog(self, fileSystem.copy())
    }

    private init(_ other: ChronicledLog, _ fileSystem: SimulatedFileSystem) {
        self.fileSystem = fileSystem
        batches = other.batches
        states = other.states
        original = other.original
    }
}
