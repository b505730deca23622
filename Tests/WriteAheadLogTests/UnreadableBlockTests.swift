import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

/// Latent sector errors: blocks that the device fails to read are damage of that place, and nothing else is.
@Suite("Blocks that cannot be read")
struct UnreadableBlockTests {
    private static let options = WriteAheadLogOptions(segmentSizeBytes: 64 << 10)
    private let identity = NodeIdentity(cluster: ClusterID(0xc1), node: NodeID(0xa), name: "one")

    @Test("the rest is read around any set of bad blocks, and only they are zeros", arguments: UInt64(1)...20)
    func readingAround(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fileSystem = SimulatedFileSystem(seed: seed)
        let size = 1 + Int(random.next(below: 100_000))
        let bytes = (0..<size).map { _ in UInt8(random.next(below: 255) + 1) }
        try replace("/file", with: bytes, fileSystem)
        for _ in 0..<random.next(below: 6) {
            let place = Int(random.next(below: UInt64(size)))
            try fileSystem.makeUnreadable("/file", place..<place + 1)
        }
        let file = try fileSystem.open("/file", .read)
        for _ in 0..<20 {
            let offset = Int(random.next(below: UInt64(size) + 10))
            let count = Int(random.next(below: 70_000))
            let read = try file.readAroundFailures(count, at: offset)
            #expect(read.bytes.count == max(0, min(count, size - offset)))
            for (place, byte) in read.bytes.enumerated() {
                let isReadable = (try? file.readBytes(1, at: offset + place)) != nil
                let isNamed = read.unreadable.contains { $0.contains(offset + place) }
                guard isReadable != isNamed, byte == (isReadable ? bytes[offset + place] : 0) else {
                    Issue.record("seed \(seed): byte \(offset + place) of \(offset)+\(count)")
                    return
                }
            }
        }
    }

    // MARK: The log

    /// Forty batches of an entry each in one segment of sixteen blocks, and where each batch begins.
    private func makeLog() throws -> (fileSystem: SimulatedFileSystem, batches: [Range<Int>]) {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem, Self.options).log
        var batches: [Range<Int>] = []
        for index in 1...40 {
            log.encode([
                LogWrite(
                    group: GroupID(1), hardState: HardState(term: Term(1), votedFor: NodeID(2)),
                    entries: entries(index...index, payloadBytes: 900))
            ])
            var batch = try #require(log.takeBatch())
            try log.writer.write(&batch)
            batches.append(batch.offset..<batch.offset + batch.sizeBytes)
            try log.writer.maintain(after: batch)
            log.reclaim(batch)
        }
        fileSystem.restart(after: .process)
        return (fileSystem, batches)
    }

    @Test("each block of a segment: the log is refused with the place, and all that can be read is salvaged")
    func eachBlockOfASegment() throws {
        let (original, batches) = try makeLog()
        let path = segmentPath(1)
        for block in 0..<16 {
            let fileSystem = original.copy()
            let lost = try #require(try fileSystem.makeUnreadable(path, block * 4_096..<block * 4_096 + 1))
            do throws(WriteAheadLogError) {
                _ = try openLog(fileSystem, Self.options)
                Issue.record("block \(block): it was opened")
            } catch {
                #expect(error.isDamage && "\(error)".contains("\(path) is damaged at byte"), "\(error)")
                #expect("\(error)".contains("byte \(lost.lowerBound): unreadable"), "\(error)")
            }
            let salvaged = try WriteAheadLog.salvage(
                directory: logDirectory, fileSystem: fileSystem, options: Self.options)
            let group = try #require(salvaged.groups.first)
            let expected = batches.indices.filter { !batches[$0].overlaps(lost) }
            #expect(group.runs.flatMap { $0 }.map(\.index.rawValue) == expected.map { UInt64($0) + 1 })
            #expect(group.hardState == HardState(term: Term(1), votedFor: NodeID(2)))
            #expect(group.lastPosition == LogPosition(term: Term(1), index: LogIndex(40)))
            #expect(group.isEndTrusted == expected.contains(39))
            #expect(salvaged.damages.contains { "\($0)".contains("unreadable") })
            try repairAndReopen(fileSystem)
        }
    }

    /// A rebuilt log stands in other blocks: the bad ones stay with the log of before.
    private func repairAndReopen(_ fileSystem: SimulatedFileSystem) throws {
        let whole = RecoveredGroup(
            group: GroupID(1), hardState: HardState(term: Term(1), votedFor: NodeID(2)), snapshot: nil,
            entries: entries(1...40, payloadBytes: 900))
        try WriteAheadLog.rebuild(
            directory: logDirectory, fileSystem: fileSystem, options: Self.options, groups: [whole])
        fileSystem.restart(after: .power)
        let again = try openLog(fileSystem, Self.options)
        #expect(again.groups == [whole])
        #expect(throws: FileSystemError.self) {
            try contents(
                FilePath("/log.damaged").appending(SegmentName.segment(1)), fileSystem)
        }
        let log = again.log
        log.encode([LogWrite(group: GroupID(1), entries: entries(41...41))])
        try log.flush()
    }

    @Test("each block of several small segments: all that is left is a piece of the past", arguments: 1...20)
    func smallSegments(seed: Int) throws {
        let original = try ChronicledLog(seed: UInt64(seed), steps: 24)
        let names = try original.fileSystem.list(logDirectory)
        for name in names where name.hasSuffix(".segment") {
            let log = original.copy()
            try log.fileSystem.makeUnreadable(logDirectory.appending(name), 0..<1)
            let salvaged = try log.salvage()
            #expect(!salvaged.damages.isEmpty && log.problems(salvaged) == [])
        }
    }

    @Test("what nobody needs of a full segment may be unreadable")
    func behindTheSeal() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let options = WriteAheadLogOptions(segmentSizeBytes: 16 << 10)
        let log = try openLog(fileSystem, options).log
        for index in 1...3 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 9_000))])
            try log.flush()
        }
        try log.close()
        let segments = try fileSystem.list(logDirectory).filter { $0.hasSuffix(".segment") }
        #expect(segments.count == 3)
        let used = try fileSystem.usedSizeBytes(of: segmentPath(2))
        #expect(used < 12 << 10)
        try fileSystem.makeUnreadable(segmentPath(2), 12 << 10..<16 << 10)
        #expect(try openLog(fileSystem, options).groups[0].entries.count == 3)
    }

    @Test("each block of the anchor, and all of it: nothing is lost, it is said, and the file is made anew")
    func anchor() throws {
        let (original, model) = try WriteAheadLogTests.makeLog(seed: 4, steps: 8, closes: true)
        let path = logDirectory.appending(LogAnchor.fileName)
        for range in [0..<1, 4_096..<4_097, 8_192..<8_193, 12_288..<12_289, 0..<16_384] {
            let fileSystem = original.copy()
            try fileSystem.makeUnreadable(path, range)
            let opened = try openLog(fileSystem)
            #expect(LogModel(opened.groups) == model)
            #expect(opened.report.damages.count == 1)
            let text = opened.report.damages.map(\.description).joined()
            #expect(text.contains("\(path) is damaged at byte \(range.lowerBound): unreadable"))
            fileSystem.restart(after: .power)
            #expect(try openLog(fileSystem).report.damages.isEmpty)
        }
    }

    @Test("a spare segment with a bad first block is not used")
    func spare() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        for name in try fileSystem.list(logDirectory) where name.hasPrefix(SegmentName.sparePrefix) {
            try fileSystem.makeUnreadable(logDirectory.appending(name), 0..<1)
        }
        for index in 1...12 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 900))])
            try log.flush()
        }
        try log.close()
        #expect(try openLog(fileSystem).groups[0].entries.count == 12)
    }

    // MARK: Other files

    @Test("each block of a snapshot is damage: it is named, and can be set aside")
    func snapshots() throws {
        let original = SimulatedFileSystem(seed: 1)
        let store = try SnapshotStore.open(directory: "/snapshots", fileSystem: original)
        for index in [3, 4] as [UInt64] {
            let writer = try store.begin(GroupID(5), snapshot(index))
            try writer.append([UInt8](repeating: 7, count: 150_000))
            try writer.finish()
        }
        let file = FilePath("/snapshots").appending(try original.list("/snapshots")[1])
        for block in 0..<(try original.open(file, .read).sizeBytes() + 4_095) / 4_096 {
            let fileSystem = original.copy()
            try fileSystem.makeUnreadable(file, block * 4_096..<block * 4_096 + 1)
            let store = try SnapshotStore.open(directory: "/snapshots", fileSystem: fileSystem)
            #expect(try store.intact(GroupID(5)).map(\.metadata.index) == [LogIndex(3)])
            let damages = try store.damaged(GroupID(5)).map(\.description)
            #expect(damages.count == 1)
            #expect(damages[0].contains("\(file) is damaged at byte") && damages[0].contains(": unreadable"))
            try store.setAside(file)
            #expect(try store.latest(GroupID(5))?.metadata.index == LogIndex(3))
        }
    }

    private func open(
        _ fileSystem: SimulatedFileSystem, id: UInt64 = 9, replaces: Bool = false
    ) throws(DataDirectoryError) -> DataDirectory {
        try DataDirectory.open(
            "/data", identity: identity, newDirectoryID: DirectoryID(id), replacesLostIdentity: replaces,
            fileSystem: fileSystem)
    }

    @Test("either block of the identity: the other one is used, and both are written anew")
    func identityBlocks() throws {
        for block in 0..<2 {
            let fileSystem = SimulatedFileSystem(seed: 1)
            _ = try open(fileSystem, id: 5)
            fileSystem.restart(after: .process)
            try fileSystem.makeUnreadable("/data/IDENTITY", block * 4_096..<block * 4_096 + 1)
            let directory = try open(fileSystem)
            #expect(directory.directoryID == DirectoryID(5) && directory.startCount == 2)
            #expect(directory.damages.count == 1)
            #expect("\(directory.damages[0])".contains("IDENTITY is damaged at byte \(block * 4_096): unrea"))
            fileSystem.restart(after: .power)
            let again = try open(fileSystem)
            #expect(again.directoryID == DirectoryID(5) && again.damages.isEmpty && again.startCount == 3)
        }
    }

    @Test("the list of members: it is damaged, and can be replaced")
    func members() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let record = MemberRecord(node: NodeID(2), directory: DirectoryID(3), startCount: 4, incarnation: 5)
        let directory = try open(fileSystem)
        var members = try directory.openMembers()
        try members.remember(record)
        try fileSystem.makeUnreadable("/data/MEMBERS", 0..<1)
        do throws(DataDirectoryError) {
            _ = try directory.openMembers()
            Issue.record("it was read")
        } catch {
            #expect("\(error)".contains("/data/MEMBERS is damaged at byte 0: unreadable"))
        }
        var anew = directory.forgetMembers()
        // The file that is to take its place may have a bad block too.
        try fileSystem.makeUnreadable("/data/MEMBERS.partial", 0..<1)
        try anew.remember(record)
        #expect(try directory.openMembers().records == [record])
    }
}
