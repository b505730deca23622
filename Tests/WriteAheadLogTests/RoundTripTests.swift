import ConsensusTypes
import Testing

@testable import WriteAheadLog

@Suite("What is written is read")
struct RoundTripTests {
    @Test("a new log is empty and says so")
    func new() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let opened = try openLog(fileSystem)
        #expect(opened.groups.isEmpty)
        #expect(opened.report.end == .created)
        #expect(opened.log.space == .ample)
    }

    @Test("every kind of record, several groups, one batch")
    func everyRecord() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        let joint = Membership(
            voters: [NodeID(1), NodeID(4)], outgoingVoters: [NodeID(1)], learners: [NodeID(8)])
        let metadata = SnapshotMetadata(index: LogIndex(5), term: Term(2), membership: joint)
        let state = HardState(term: Term(3), votedFor: NodeID(.max), commitIndex: LogIndex(5))
        let odd = Entry(
            index: LogIndex(7), term: Term(3), kind: .membership,
            proposal: ProposalID(session: .max, sequence: .max), payload: ByteSlice([1, 2, 3]))
        let noOperation = Entry(index: LogIndex(6), term: Term(3), kind: .noOperation)
        log.encode([
            LogWrite(
                group: GroupID(.max), hardState: state, snapshot: metadata, entries: [noOperation, odd]),
            LogWrite(group: GroupID(0), hardState: HardState(term: Term(1))),
            LogWrite(group: GroupID(3)),
        ])
        try log.flush()
        try log.close()
        let opened = try openLog(fileSystem)
        #expect(
            opened.groups == [
                RecoveredGroup(
                    group: GroupID(0), hardState: HardState(term: Term(1)), snapshot: nil, entries: []),
                RecoveredGroup(
                    group: GroupID(.max), hardState: state, snapshot: metadata, entries: [noOperation, odd]),
            ])
        #expect(opened.report.end == .closed)
        #expect(opened.report.truncatedTail == nil)
    }

    @Test("what a witness has comes back as that", arguments: [false, true])
    func witness(rolls: Bool) throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        let metadata = snapshot(5).asWithheld
        let withheld = Entry(index: LogIndex(6), term: Term(1), kind: .withheld)
        log.encode([LogWrite(group: GroupID(1), hardState: HardState(term: Term(1)), snapshot: metadata)])
        try log.flush()
        // The next segment's head says it too.
        if rolls {
            for index in 6...60 {
                log.encode([
                    LogWrite(group: GroupID(1), entries: entries(index...index, payloadBytes: 400))
                ])
                try log.flush()
            }
        }
        log.encode([LogWrite(group: GroupID(1), entries: [withheld])])
        try log.flush()
        try log.close()
        let found = try #require(try openLog(fileSystem).groups.first)
        #expect(found.snapshot == metadata && found.snapshot?.isWithheld == true)
        #expect(found.entries == [withheld])
    }

    @Test("conflicting entries replace the end of the log")
    func truncation() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([LogWrite(group: GroupID(1), entries: entries(1...9))])
        try log.flush()
        log.encode([LogWrite(group: GroupID(1), entries: entries(4...5, term: 2))])
        try log.close()
        let groups = try openLog(fileSystem).groups
        #expect(groups[0].entries == entries(1...3) + entries(4...5, term: 2))
    }

    @Test("a snapshot keeps the suffix or does not", arguments: [true, false])
    func snapshots(keepsSuffix: Bool) throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([LogWrite(group: GroupID(1), entries: entries(1...9))])
        log.encode([LogWrite(group: GroupID(1), snapshot: snapshot(4), keepsSuffix: keepsSuffix)])
        try log.close()
        let groups = try openLog(fileSystem).groups
        #expect(groups[0].entries == (keepsSuffix ? entries(5...9) : []))
        #expect(groups[0].snapshot == snapshot(4))
    }

    @Test("long workloads over many segments, opened again and again", arguments: UInt64(1)...5)
    func workloads(seed: UInt64) throws {
        let fileSystem = SimulatedFileSystem(seed: seed)
        var maker = StepMaker(seed: seed)
        maker.largestPayload = 9_000
        for _ in 0..<8 {
            let opened = try openLog(fileSystem)
            #expect(LogModel(opened.groups) == maker.model)
            for _ in 0..<12 {
                let step = maker.next()
                opened.log.encode(step.writes)
                for (group, through) in step.release { opened.log.release(group: group, through: through) }
                if maker.random.chance(1, outOf: 2) { try opened.log.flush() }
            }
            try opened.log.close()
        }
    }

    @Test("a closed log refuses everything")
    func closed() throws {
        let log = try openLog(SimulatedFileSystem(seed: 1)).log
        try log.close()
        #expect(throws: WriteAheadLogError.closed(directory: logDirectory)) { try log.flush() }
    }
}
