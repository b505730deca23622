import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("Rebuilding a damaged log")
struct RebuildTests {
    private let options = WriteAheadLogOptions(segmentSizeBytes: 4_096)
    private let building: FilePath = "/log.rebuilding"
    private let damagedDirectory: FilePath = "/log.damaged"

    /// A log that cannot be opened, and why.
    private func makeDamaged(_ seed: UInt64) throws -> (SimulatedFileSystem, WriteAheadLogError) {
        let (fileSystem, _) = try makeLog(seed: seed, steps: 12, closes: seed % 2 == 0)
        try fileSystem.damage(.flippedBit, of: segmentPath(1), at: 100)
        do throws(WriteAheadLogError) {
            _ = try openLog(fileSystem)
        } catch {
            fileSystem.restart(after: .process)
            return (fileSystem, error)
        }
        throw CrashHarnessError.changed
    }

    private func makeContents(_ seed: UInt64) -> [RecoveredGroup] {
        var maker = StepMaker(seed: seed ^ 0xabc)
        for _ in 0..<15 { _ = maker.next() }
        return maker.model.groups.keys.sorted().map { id in
            let group = maker.model.groups[id]!
            return RecoveredGroup(
                group: id, hardState: group.hardState, snapshot: group.snapshot, entries: group.entries)
        }
    }

    private func rebuild(
        _ fileSystem: SimulatedFileSystem, _ groups: [RecoveredGroup]
    ) throws(WriteAheadLogError) {
        try WriteAheadLog.rebuild(
            directory: logDirectory, fileSystem: fileSystem, options: options, groups: groups)
    }

    private func salvage(_ fileSystem: SimulatedFileSystem) throws(WriteAheadLogError) -> SalvagedLog {
        try WriteAheadLog.salvage(directory: logDirectory, fileSystem: fileSystem, options: options)
    }

    @Test(
        "the new log holds exactly what it was given, and the old one is kept until the next",
        arguments: UInt64(1)...6)
    func contents(seed: UInt64) throws {
        let (fileSystem, _) = try makeDamaged(seed)
        let old = try fileSystem.list(logDirectory)
        let groups = makeContents(seed)
        try rebuild(fileSystem, groups)
        fileSystem.restart(after: .power)
        #expect(try fileSystem.list(damagedDirectory) == old)
        #expect(try !fileSystem.exists(building))
        let opened = try openLog(fileSystem)
        #expect(opened.groups == groups && opened.report.end == .closed)
        opened.log.encode([LogWrite(group: GroupID(9), entries: entries(1...1))])
        try opened.log.close()

        // What is there now is itself replaced, by nothing.
        let second = try fileSystem.list(logDirectory)
        try rebuild(fileSystem, [])
        #expect(try fileSystem.list(damagedDirectory) == second)
        #expect(try openLog(fileSystem).groups.isEmpty)
    }

    @Test("a crash at any operation leaves the old log or the new one, whole", arguments: UInt64(1)...6)
    func everyCrashPoint(seed: UInt64) throws {
        let (original, refusal) = try makeDamaged(seed)
        let groups = makeContents(seed)
        var random = SeededRandom(seed: seed)
        let before = try salvage(original.copy())
        // A third of the runs find the old log of an earlier rebuild.
        if seed % 3 == 0 {
            try rebuild(original, makeContents(seed + 100))
            let (again, _) = try makeDamaged(seed)
            for file in again.files(under: logDirectory) {
                try replace(file.path, with: try WriteAheadLogTests.contents(file.path, again), original)
            }
            for file in original.files(under: logDirectory) where try !again.exists(file.path) {
                try original.remove(file.path)
            }
            try original.synchronizeDirectory(logDirectory)
        }
        var outcomes: Set<Bool> = []
        var crashPoint = 0
        while true {
            let fileSystem = original.copy()
            let crashAt = fileSystem.operationCount + crashPoint
            fileSystem.setPlan { $0.number == crashAt ? .crash : .none }
            do throws(WriteAheadLogError) {
                try rebuild(fileSystem, groups)
            } catch {
                #expect(fileSystem.isCrashed, "\(error)")
            }
            guard fileSystem.isCrashed else { break }
            // The next start dies as well, somewhere.
            for _ in 0..<2 {
                fileSystem.setPlan(nil)
                fileSystem.restart(after: random.chance(1, outOf: 2) ? .power : .process)
                let again = fileSystem.operationCount + Int(random.next(below: 20))
                fileSystem.setPlan { $0.number == again ? .crash : .none }
                _ = try? openLog(fileSystem)
            }
            fileSystem.setPlan(nil)
            fileSystem.restart(after: random.chance(1, outOf: 2) ? .power : .process)
            var isNew = false
            do throws(WriteAheadLogError) {
                let opened = try openLog(fileSystem)
                #expect(opened.groups == groups, "seed \(seed), crash point \(crashPoint)")
                isNew = true
            } catch {
                #expect(error == refusal, "seed \(seed), crash point \(crashPoint)")
            }
            #expect(try !fileSystem.exists(building))
            outcomes.insert(isNew)
            if !isNew {
                #expect(try salvage(fileSystem) == before, "seed \(seed), crash point \(crashPoint)")
                try rebuild(fileSystem, groups)
                fileSystem.restart(after: .power)
                #expect(try openLog(fileSystem).groups == groups)
            }
            crashPoint += 1
        }
        #expect(outcomes == [true, false])
    }

    @Test("what an interrupted rebuild left is finished or removed, and the report says which")
    func interrupted() throws {
        let (fileSystem, _) = try makeDamaged(1)
        let groups = makeContents(1)
        try rebuild(fileSystem, groups)
        try fileSystem.rename(logDirectory, to: building)
        let finished = try openLog(fileSystem)
        #expect(finished.report.rebuild == .finished && finished.groups == groups)
        try finished.log.close()
        _ = try fileSystem.createDirectory(building)
        try replace(building.appending("ANCHOR"), with: [1], fileSystem)
        let discarded = try openLog(fileSystem)
        #expect(discarded.report.rebuild == .discarded && discarded.groups == groups)
        try discarded.log.close()
        #expect(try openLog(fileSystem).report.rebuild == .none)
        // Without the old log beside it nothing says that the new one is whole.
        fileSystem.restart(after: .process)
        let other = SimulatedFileSystem(seed: 2)
        _ = try other.createDirectory(building)
        try replace(building.appending("ANCHOR"), with: [1], other)
        #expect(try openLog(other).report.rebuild == .discarded)
    }

    @Test("a full disk fails the rebuild, the old log stays, and the next try succeeds")
    func fullDisk() throws {
        let (fileSystem, refusal) = try makeDamaged(1)
        fileSystem.setCapacity(fileSystem.usedBytes + 8_192)
        do throws(WriteAheadLogError) {
            try rebuild(fileSystem, makeContents(1))
            Issue.record("there was no room")
        } catch {
            #expect(error.isNoSpace)
        }
        #expect(throws: refusal) { try openLog(fileSystem) }
        fileSystem.setCapacity(nil)
        try rebuild(fileSystem, makeContents(1))
        #expect(try openLog(fileSystem).groups == makeContents(1))
    }

    @Test("a log that is in use is not replaced")
    func locked() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        #expect(throws: WriteAheadLogError.self) { try rebuild(fileSystem, []) }
        try log.close()
        try rebuild(fileSystem, [])
    }

    @Test("on the real file system, through the data directory")
    func real() throws {
        let temporary = TemporaryDirectory()
        let identity = NodeIdentity(cluster: ClusterID(1), node: NodeID(2), name: "real")
        let groups = makeContents(3)
        do {
            let directory = try DataDirectory.open(
                temporary.path, identity: identity, fileSystem: RealFileSystem())
            let opened = try directory.openLog(options: options)
            opened.log.encode([LogWrite(group: GroupID(1), entries: entries(1...9))])
            try opened.log.close()
        }
        let directory = try DataDirectory.open(
            temporary.path, identity: identity, fileSystem: RealFileSystem())
        let segment = directory.logPath.appending(SegmentName.segment(1))
        var bytes = try WriteAheadLogTests.contents(segment, RealFileSystem())
        bytes[200] ^= 1
        try replace(segment, with: bytes, RealFileSystem())
        do throws(DataDirectoryError) {
            _ = try directory.openLog(options: options)
            Issue.record("a damaged log was opened")
        } catch {
            #expect(error.isLogDamage && "\(error)".contains(segment.string))
        }
        let salvaged = try directory.salvageLog(options: options)
        #expect(salvaged.groups[0].lastPosition == LogPosition(term: Term(1), index: LogIndex(9)))
        for _ in 0..<2 {
            try directory.rebuildLog(groups: groups, options: options)
            let opened = try directory.openLog(options: options)
            #expect(opened.groups == groups)
            try opened.log.close()
        }
    }
}
