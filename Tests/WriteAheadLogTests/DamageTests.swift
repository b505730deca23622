import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("Damage to the write-ahead log")
struct DamageTests {
    /// Opening must refuse, naming this file and a byte at or before the damage, or give the same contents.
    private func check(
        _ fileSystem: SimulatedFileSystem, _ path: FilePath, at offset: Int, is model: LogModel
    ) -> (refused: Bool, problem: String?) {
        do throws(WriteAheadLogError) {
            let found = LogModel(try openLog(fileSystem).groups)
            return (false, found == model ? nil : "\(path) at \(offset): silently different")
        } catch {
            let text = "\(error)"
            guard case .damaged(let file, let place, _) = error else {
                return (true, "\(path) at \(offset): \(text)")
            }
            let names = text.contains(path.string) && text.contains("byte \(place)") && !text.contains("\n")
            let isRight = file == path && place <= offset && names
            return (true, isRight ? nil : "\(path) at \(offset): \(text)")
        }
    }

    @Test("any bit of any file", arguments: [true, false])
    func everyByte(closes: Bool) throws {
        let (original, model) = try makeLog(seed: 4, steps: 8, closes: closes)
        var names = try original.list(logDirectory)
        #expect(names.filter { $0.hasSuffix(".segment") }.count >= 2)
        // How the log ended makes a difference only in its last segment.
        if closes { names = names.filter { $0.hasSuffix(".segment") }.suffix(1) }
        names.removeAll { $0 == LogAnchor.fileName }
        var random = SeededRandom(seed: 9)
        var refusals = 0
        for name in names {
            let path = logDirectory.appending(name)
            for offset in 0..<(try original.open(path, .read).sizeBytes()) {
                let fileSystem = original.copy()
                try fileSystem.flipBit(Int(random.next(below: 8)), of: path, at: offset)
                let (refused, problem) = check(fileSystem, path, at: offset, is: model)
                refusals += refused ? 1 : 0
                guard problem == nil else {
                    Issue.record("\(problem!)")
                    return
                }
            }
        }
        // Nearly all of the first segment carries something.
        #expect(closes || refusals > 3_500)
    }

    @Test("any sector zeroed, any segment cut short")
    func sectorsAndCuts() throws {
        let (original, model) = try makeLog(seed: 5, steps: 20, closes: false)
        for name in try original.list(logDirectory) where name.hasSuffix(".segment") {
            let path = logDirectory.appending(name)
            let bytes = try contents(path, original)
            for sector in 0..<bytes.count / 512 {
                let fileSystem = original.copy()
                var damaged = bytes
                damaged.replaceSubrange(sector * 512..<sector * 512 + 512, with: repeatElement(0, count: 512))
                try replace(path, with: damaged, fileSystem)
                #expect(check(fileSystem, path, at: sector * 512 + 511, is: model).problem == nil)
            }
            for size in stride(from: 0, to: bytes.count, by: 61) {
                let fileSystem = original.copy()
                try replace(path, with: Array(bytes[..<size]), fileSystem)
                let (refused, problem) = check(fileSystem, path, at: size, is: model)
                #expect(refused && problem == nil)
            }
        }
    }

    @Test("a batch counts only in the segment and at the offset that it was written for")
    func places() {
        var bytes = [UInt8](repeating: 0, count: 24 + 16)
        BatchHeader.seal(&bytes, kind: .records, sequence: 5, segment: 3, offset: 640)
        bytes.withUnsafeBytes { raw in
            #expect(BatchHeader.parse(raw, segment: 3, offset: 640)?.sequence == 5)
            for other in 1...200 as ClosedRange<UInt64> {
                #expect((BatchHeader.parse(raw, segment: other, offset: 640) != nil) == (other == 3))
                #expect((BatchHeader.parse(raw, segment: 3, offset: 8 * Int(other)) != nil) == (other == 80))
            }
        }
    }

    @Test("a refusal changes nothing on the disk")
    func refusalIsReadOnly() throws {
        let (fileSystem, _) = try makeLog(seed: 5, steps: 20, closes: false)
        try fileSystem.flipBit(0, of: segmentPath(1), at: 100)
        let before = try contents(segmentPath(1), fileSystem)
        #expect(throws: WriteAheadLogError.self) { try openLog(fileSystem) }
        #expect(throws: WriteAheadLogError.self) { try openLog(fileSystem) }
        #expect(try contents(segmentPath(1), fileSystem) == before)
    }

    @Test("a segment that is gone is missed")
    func missingSegments() throws {
        let original = SimulatedFileSystem(seed: 1)
        let log = try openLog(original).log
        for index in 1...12 {
            log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 900))])
            try log.flush()
        }
        try log.close()
        let numbers = try original.list(logDirectory).compactMap(SegmentName.segmentNumber)
        #expect(numbers.count >= 3)
        for number in numbers {
            let fileSystem = original.copy()
            try fileSystem.remove(segmentPath(number))
            do throws(WriteAheadLogError) {
                _ = try openLog(fileSystem)
                Issue.record("segment \(number) was not missed")
            } catch {
                guard case .missingSegment(let file, _) = error else {
                    Issue.record("\(error)")
                    continue
                }
                #expect(file == segmentPath(number) && "\(error)".contains(file.string))
            }
        }
        var options = WriteAheadLogOptions(segmentSizeBytes: 4_096)
        options.createsIfMissing = false
        for number in numbers { try original.remove(segmentPath(number)) }
        #expect(throws: WriteAheadLogError.empty(directory: logDirectory)) { try openLog(original, options) }
    }

    @Test("a segment under another's name, another program's file, a later version")
    func wrongSegments() throws {
        let (original, _) = try makeLog(seed: 6, steps: 30, closes: true)
        let bytes = try contents(segmentPath(1), original)

        let swapped = original.copy()
        try replace(segmentPath(2), with: bytes, swapped)
        #expect(throws: WriteAheadLogError.self) { try openLog(swapped) }

        let foreign = original.copy()
        try replace(
            segmentPath(1), with: Array("#!/bin/sh\n".utf8) + [UInt8](repeating: 32, count: 90), foreign)
        #expect(throws: WriteAheadLogError.foreign(file: segmentPath(1))) { try openLog(foreign) }

        var later = bytes
        later[8] = 2
        later.removeSubrange(60..<64)
        var checksum: [UInt8] = []
        checksum.appendLittleEndian(Checksum.crc32c(Array(later[..<60])))
        later.insert(contentsOf: checksum, at: 60)
        try replace(segmentPath(1), with: later, original)
        #expect(
            throws: WriteAheadLogError.unsupportedVersion(file: segmentPath(1), found: 2, supported: 1)
        ) { try openLog(original) }
    }

    /// Puts a batch with an intact checksum at the end of a log with entries 1 to 3 of group 1.
    private func forge(_ body: (inout [UInt8]) -> Void) throws -> (SimulatedFileSystem, Int) {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([
            LogWrite(group: GroupID(1), hardState: HardState(term: Term(4)), entries: entries(1...3, term: 3))
        ])
        let batch = try #require(log.takeBatch())
        var written = batch
        try log.writer.write(&written)
        var bytes = [UInt8](repeating: 0, count: BatchHeader.sizeBytes)
        body(&bytes)
        let offset = batch.offset + batch.sizeBytes
        BatchHeader.seal(&bytes, kind: .records, sequence: batch.sequence + 1, segment: 1, offset: offset)
        try fileSystem.open(segmentPath(1), .readWrite).write(bytes, at: offset)
        fileSystem.restart(after: .process)
        return (fileSystem, offset + BatchHeader.sizeBytes)
    }

    private func expectInconsistent(_ text: String, _ body: (inout [UInt8]) -> Void) throws {
        let (fileSystem, offset) = try forge(body)
        do throws(WriteAheadLogError) {
            _ = try openLog(fileSystem)
            Issue.record("nothing was noticed")
        } catch {
            guard case .inconsistent(segmentPath(1), offset, let reason) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(reason.contains(text))
        }
    }

    @Test("entries that leave a hole, terms that go back, snapshots that go back")
    func inconsistencies() throws {
        let group = GroupID(1)
        try expectInconsistent("a hole") {
            RecordEncoder.encode(entries(5...5, term: 3), group: group, into: &$0)
        }
        try expectInconsistent("a hole") {
            RecordEncoder.encode(entries(2...2), group: GroupID(2), into: &$0)
        }
        try expectInconsistent("goes back from term 3 to 2") {
            RecordEncoder.encode(entries(4...4, term: 2), group: group, into: &$0)
        }
        try expectInconsistent("goes back from 4 to 3") {
            RecordEncoder.encode(HardState(term: Term(3)), group: group, into: &$0)
        }
        try expectInconsistent("checkpoint") {
            RecordEncoder.encode(GroupCheckpoint(group: group), into: &$0)
        }
        let (fileSystem, _) = try forge {
            RecordEncoder.encode(entries(3...4, term: 3), group: group, into: &$0)
        }
        #expect(try openLog(fileSystem).groups[0].entries.count == 4)
    }
}
