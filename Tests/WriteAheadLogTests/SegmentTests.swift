import ConsensusTypes
import struct SystemPackage.Errno
import Testing

@testable import WriteAheadLog

@Suite("Segments, space and failures")
struct SegmentTests {
    private func segmentCount(_ fileSystem: SimulatedFileSystem) throws -> Int {
        try fileSystem.list(logDirectory).filter { $0.hasSuffix(".segment") }.count
    }

    @Test("segments that snapshots cover are used again")
    func recycling() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        var index = 1
        var largest = 0
        for _ in 0..<200 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index + 4, payloadBytes: 200))])
            index += 5
            let covered = snapshot(UInt64(index) - 3)
            log.encode([LogWrite(group: GroupID(1), snapshot: covered, keepsSuffix: true)])
            log.release(group: GroupID(1), through: covered.index)
            try log.flush()
            largest = max(largest, fileSystem.usedBytes)
            #expect(try segmentCount(fileSystem) <= 3)
        }
        #expect(largest <= 6 * 4_096 + LogAnchor.fileSizeBytes)
        let headers = try fileSystem.list(logDirectory).compactMap(SegmentName.segmentNumber).map {
            try SegmentHeader.read(try fileSystem.open(segmentPath($0), .read), segment: $0)
        }
        #expect(headers.contains { $0.isRecycled })
        try log.close()
        let groups = try openLog(fileSystem).groups
        #expect(groups[0].entries == entries(index - 2...index - 1, payloadBytes: 200))
    }

    @Test("a release counts only up to where the log starts, and only for all groups", arguments: [1, 2])
    func releaseIsBounded(firstGroup: UInt64) throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        // Whichever group the log has heard of first.
        log.encode([LogWrite(group: GroupID(firstGroup), hardState: HardState(term: Term(1)))])
        log.encode([LogWrite(group: GroupID(2), entries: entries(1...1))])
        for index in 1...20 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 500))])
            try log.flush()
        }
        let count = try segmentCount(fileSystem)
        #expect(count >= 3)
        log.release(group: GroupID(1), through: LogIndex(20))
        log.release(group: GroupID(2), through: LogIndex(1))
        try log.flush()
        #expect(try segmentCount(fileSystem) == count)
        log.encode([LogWrite(group: GroupID(1), snapshot: snapshot(20), keepsSuffix: true)])
        try log.flush()
        #expect(try segmentCount(fileSystem) == count)
        log.encode([LogWrite(group: GroupID(2), snapshot: snapshot(1), keepsSuffix: true)])
        try log.flush()
        #expect(try segmentCount(fileSystem) == 1)
        try log.close()
        let groups = try openLog(fileSystem).groups
        #expect(groups.map(\.entries) == [[], []])
        #expect(groups.map(\.snapshot) == [snapshot(20), snapshot(1)])
    }

    @Test("the bytes of a recycled segment's past are never taken for the present", arguments: UInt64(1)...20)
    func recycledBytes(seed: UInt64) throws {
        // Every segment has the same layout, so that old batches stand exactly where new ones would.
        let fileSystem = SimulatedFileSystem(seed: seed)
        let log = try openLog(fileSystem).log
        for index in 1...30 + Int(seed) {
            log.encode([
                LogWrite(
                    group: GroupID(1), hardState: nil,
                    snapshot: index > 1 ? snapshot(UInt64(index) - 1) : nil, keepsSuffix: true,
                    entries: entries(index...index, payloadBytes: 700))
            ])
            log.release(group: GroupID(1), through: LogIndex(UInt64(index) - 1))
            // Without a mark, so that recovery comes to the old bytes.
            var batch = try #require(log.takeBatch())
            try log.writer.write(&batch)
            try log.writer.maintain(after: batch)
        }
        fileSystem.restart(after: .process)
        let groups = try openLog(fileSystem).groups
        #expect(groups[0].entries == entries(30 + Int(seed)...30 + Int(seed), payloadBytes: 700))
    }

    @Test("a full disk: low, then none, hard states still fit, and room again")
    func fullDisk() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let options = WriteAheadLogOptions(segmentSizeBytes: 64 << 10)
        let log = try openLog(fileSystem, options).log
        fileSystem.setCapacity(fileSystem.usedBytes)
        var index = 0
        var spaces: [LogSpace] = [log.space]
        while spaces.last != LogSpace.none {
            index += 1
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 1_000))])
            try log.flush()
            if spaces.last != log.space { spaces.append(log.space) }
        }
        #expect(spaces == [.ample, .low, .none])
        for term in 1...50 {
            log.encode([LogWrite(group: GroupID(1), hardState: HardState(term: Term(UInt64(term))))])
            try log.flush()
        }
        #expect(log.space == .none)
        try log.retryAllocation()
        #expect(log.space == .none)

        // A node can be stopped and started on a full disk.
        try log.close()
        let reopened = try openLog(fileSystem, options)
        #expect(reopened.log.space == .none)
        #expect(reopened.groups[0].entries.count == index)
        fileSystem.setCapacity(nil)
        try reopened.log.retryAllocation()
        #expect(reopened.log.space == .ample)
    }

    @Test("a snapshot makes room on a full disk")
    func recyclingMakesRoom() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        fileSystem.setCapacity(fileSystem.usedBytes)
        log.encode([LogWrite(group: GroupID(1), entries: entries(1...1, payloadBytes: 3_000))])
        try log.flush()
        log.encode([LogWrite(group: GroupID(1), entries: entries(2...2, payloadBytes: 3_000))])
        try log.flush()
        #expect(log.space != .ample)
        log.encode([LogWrite(group: GroupID(1), snapshot: snapshot(2), keepsSuffix: true)])
        log.release(group: GroupID(1), through: LogIndex(2))
        try log.flush()
        #expect(log.space == .ample)
    }

    @Test("without any room the log stops, and what was acknowledged is there")
    func noRoomAtAll() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        fileSystem.setCapacity(fileSystem.usedBytes)
        var written = 0
        do throws(WriteAheadLogError) {
            while true {
                log.encode([
                    LogWrite(
                        group: GroupID(1), entries: entries(written + 1...written + 1, payloadBytes: 900))
                ])
                try log.flush()
                written += 1
            }
        } catch {
            #expect(error.isNoSpace)
            #expect("\(error)".contains("/log"))
        }
        fileSystem.restart(after: .process)
        fileSystem.setCapacity(nil)
        #expect(try openLog(fileSystem).groups[0].entries == entries(1...written, payloadBytes: 900))
    }

    @Test("a log cannot be made on a full disk, and the next try succeeds")
    func noRoomToStart() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        fileSystem.setCapacity(4_096)
        #expect(throws: WriteAheadLogError.noSpace(directory: logDirectory, neededBytes: 4_096)) {
            try openLog(fileSystem)
        }
        fileSystem.setCapacity(nil)
        #expect(try openLog(fileSystem).groups.isEmpty)
    }

    @Test(
        "after a failed write or sync nothing is tried again", arguments: [FileOperation.write, .synchronize])
    func failuresAreFinal(operation: FileOperation) throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
        try log.flush()
        fileSystem.setPlan { $0.operation == operation ? .fail(.ioError) : .none }
        let expected = WriteAheadLogError.fileSystem(
            FileSystemError(operation: operation, path: segmentPath(1), code: .ioError))
        log.encode([LogWrite(group: GroupID(1), entries: entries(2...2))])
        #expect(throws: expected) { try log.flush() }
        fileSystem.setPlan(nil)
        let operations = fileSystem.operationCount
        log.encode([LogWrite(group: GroupID(1), entries: entries(3...3))])
        #expect(throws: expected) { try log.flush() }
        #expect(throws: expected) { try log.retryAllocation() }
        #expect(throws: expected) { try log.close() }
        #expect(fileSystem.operationCount == operations)
    }

    @Test("what is found after a failed sync stays, though the system forgets that it was not written")
    func failedSyncThenPowerCut() throws {
        // Batches of several pages: what recovery writes behind the end must not be what heals them.
        let options = WriteAheadLogOptions(segmentSizeBytes: 64 << 10)
        var kept = 0
        for seed in UInt64(1)...300 {
            let fileSystem = SimulatedFileSystem(seed: seed)
            let log = try openLog(fileSystem, options).log
            log.encode([LogWrite(group: GroupID(1), entries: entries(1...2, payloadBytes: 300))])
            try log.flush()
            let count = seed % 2 == 0 ? 1 : 3
            fileSystem.setPlan { $0.operation == .synchronize ? .fail(.ioError) : .none }
            log.encode([LogWrite(group: GroupID(1), entries: entries(3...2 + count, payloadBytes: 5_000))])
            #expect(throws: WriteAheadLogError.self) { try log.flush() }
            fileSystem.setPlan(nil)
            fileSystem.restart(after: .process)
            let found = LogModel(try openLog(fileSystem, options).groups)
            fileSystem.restart(after: .power)
            let again = LogModel(try openLog(fileSystem, options).groups)
            #expect(found == again, "seed \(seed)")
            kept += (found.groups[GroupID(1)]?.entries.count ?? 0) > 2 ? 1 : 0
            #expect((found.groups[GroupID(1)]?.entries.count ?? 0) >= 2)
        }
        #expect(kept > 10)
    }

    @Test("a second opener is refused until the first one is gone")
    func lock() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let first = try openLog(fileSystem).log
        do throws(WriteAheadLogError) {
            _ = try openLog(fileSystem)
            Issue.record("two have the log open")
        } catch {
            guard case .locked(logDirectory, let holder?) = error else {
                Issue.record("\(error)")
                return
            }
            #expect("\(error)".contains("process id \(holder)") && "\(error)".contains("/log"))
        }
        try first.close()
        _ = try openLog(fileSystem)
    }

    @Test("options that cannot work")
    func badOptions() {
        #expect(throws: WriteAheadLogError.self) {
            try openLog(SimulatedFileSystem(seed: 1), WriteAheadLogOptions(segmentSizeBytes: 5_000))
        }
    }

    @Test("a torn tail is reported; a damaged one is refused if a mark behind it or the anchor knows it")
    func tornOrDamaged() throws {
        for (marks, forgets) in [(true, true), (false, false), (true, false), (false, true)] {
            let fileSystem = SimulatedFileSystem(seed: 1)
            let log = try openLog(fileSystem).log
            log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
            try log.flush()
            log.encode([LogWrite(group: GroupID(1), entries: entries(2...2))])
            var batch = try #require(log.takeBatch())
            try log.writer.write(&batch)
            if marks { try log.writer.markDurable() }
            fileSystem.restart(after: .process)
            try fileSystem.flipBit(3, of: segmentPath(1), at: batch.offset + 60)
            if forgets { try fileSystem.remove(logDirectory.appending("ANCHOR")) }
            if marks || !forgets {
                #expect(throws: WriteAheadLogError.self) { try openLog(fileSystem) }
            } else {
                let opened = try openLog(fileSystem)
                #expect(opened.groups[0].entries == entries(1...1))
                #expect(
                    opened.report.truncatedTail
                        == .init(file: segmentPath(1), offset: batch.offset, bytes: batch.sizeBytes))
                #expect(opened.report.end == .open && opened.report.anchor == .missing)
            }
        }
    }
}
