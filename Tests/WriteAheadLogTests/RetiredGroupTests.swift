import ConsensusTypes
import Testing

@testable import WriteAheadLog

/// Groups in the log that nobody hosts any more.
@Suite("Retired groups")
struct RetiredGroupTests {
    private static let vote = HardState(term: Term(4), votedFor: NodeID(2), commitIndex: LogIndex(9))

    private func segmentCount(_ fileSystem: SimulatedFileSystem) throws -> Int {
        try fileSystem.list(logDirectory).filter { $0.hasSuffix(".segment") }.count
    }

    /// A disk with two groups, of which the second has a snapshot and entries after it.
    private func makeDisk(_ seed: UInt64) throws -> SimulatedFileSystem {
        let fileSystem = SimulatedFileSystem(seed: seed)
        let log = try openLog(fileSystem).log
        log.encode([
            LogWrite(group: GroupID(2), hardState: Self.vote, entries: entries(1...12, payloadBytes: 100)),
            LogWrite(group: GroupID(2), snapshot: snapshot(5), keepsSuffix: true),
        ])
        try log.close()
        return fileSystem
    }

    private func write(_ index: Int, _ log: WriteAheadLog) throws {
        log.encode([LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 700))])
        if index > 3 {
            let covered = snapshot(UInt64(index) - 3)
            log.encode([LogWrite(group: GroupID(1), snapshot: covered, keepsSuffix: true)])
            log.release(group: GroupID(1), through: covered.index)
        }
        try log.flush()
    }

    private func expectKept(_ opened: WriteAheadLog.Opened) throws {
        let kept = try #require(opened.groups.first { $0.group == GroupID(2) })
        #expect(kept.hardState == Self.vote)
        #expect(kept.snapshot == snapshot(5))
        #expect(kept.entries == entries(6...12, payloadBytes: 100))
    }

    @Test("they are kept and hold no segment up")
    func moveOn() throws {
        let fileSystem = try makeDisk(1)
        let opened = try openLog(fileSystem)
        opened.log.retire(opened.groups.filter { $0.group == GroupID(2) })
        for index in 1...300 {
            try write(index, opened.log)
            #expect(try segmentCount(fileSystem) <= 5)
        }
        try opened.log.close()
        try expectKept(try openLog(fileSystem))
    }

    @Test("without that they keep every segment")
    func wouldBlock() throws {
        let fileSystem = try makeDisk(1)
        let log = try openLog(fileSystem).log
        for index in 1...100 { try write(index, log) }
        #expect(try segmentCount(fileSystem) > 10)
        try log.close()
    }

    @Test("a power cut at any moment loses nothing of them", arguments: 1...60)
    func powerCuts(number: Int) throws {
        let fileSystem = try makeDisk(UInt64(number))
        for round in 0..<4 {
            let opened = try openLog(fileSystem)
            try expectKept(opened)
            let group = opened.groups.first { $0.group == GroupID(1) }
            let last = group?.entries.last?.index ?? group?.snapshot?.index ?? .zero
            opened.log.retire(opened.groups.filter { $0.group == GroupID(2) })
            let crash = fileSystem.operationCount + 7 * number + round
            fileSystem.setPlan { $0.number >= crash ? .crash : .none }
            for index in 1...1_000 {
                do {
                    try write(Int(last.rawValue) + index, opened.log)
                } catch {
                    break
                }
            }
            #expect(fileSystem.isCrashed)
            fileSystem.setPlan(nil)
            fileSystem.restart(after: .power)
        }
        try expectKept(try openLog(fileSystem))
    }
}
