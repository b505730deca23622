import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("The anchor of the write-ahead log")
struct AnchorTests {
    private let anchorPath = logDirectory.appending("ANCHOR")

    private struct Written {
        let fileSystem: SimulatedFileSystem
        let model: LogModel
        /// The last batch.
        let segment: FilePath
        let bytes: Range<Int>
    }

    /// A log whose last batch was reported durable, without any mark behind it unless it was closed.
    private func write(seed: UInt64, batches: Int, closes: Bool) throws -> Written {
        let fileSystem = SimulatedFileSystem(seed: seed)
        let log = try openLog(fileSystem).log
        var maker = StepMaker(seed: seed)
        var last: (UInt64, Range<Int>) = (0, 0..<0)
        for _ in 0..<batches {
            log.encode(maker.next().writes)
            var batch = try #require(log.takeBatch())
            last = (batch.segment, batch.offset..<batch.offset + batch.sizeBytes)
            try log.writer.write(&batch)
            log.reclaim(batch)
        }
        if closes { try log.close() }
        fileSystem.restart(after: .process)
        return Written(
            fileSystem: fileSystem, model: maker.model, segment: segmentPath(last.0), bytes: last.1)
    }

    private func refusal(_ fileSystem: SimulatedFileSystem) -> WriteAheadLogError? {
        do throws(WriteAheadLogError) {
            _ = try openLog(fileSystem)
            return nil
        } catch {
            return error
        }
    }

    @Test("any byte of the last batch, flipped or zeroed, is damage", arguments: [true, false], 1...6)
    func everyByteOfTheEnd(closes: Bool, seed: Int) throws {
        let written = try write(seed: UInt64(seed), batches: 2 + seed, closes: closes)
        let whole = try contents(written.segment, written.fileSystem)
        for offset in written.bytes {
            for isFlipped in [true, false] {
                if !isFlipped && whole[offset] == 0 { continue }
                let fileSystem = written.fileSystem.copy()
                if isFlipped {
                    try fileSystem.flipBit(offset % 8, of: written.segment, at: offset)
                } else {
                    try fileSystem.open(written.segment, .readWrite).write([0], at: offset)
                }
                let error = refusal(fileSystem)
                #expect(error?.isDamage == true, "byte \(offset): \(error.map { "\($0)" } ?? "opened")")
                if case .endLost(let file, let place, _) = error {
                    #expect(file == written.segment && place == written.bytes.lowerBound)
                    #expect("\(error!)".contains("ANCHOR"))
                }
            }
        }
    }

    @Test(
        "a sector, a block, the file's end, the whole write: lost at the end, it is damage", arguments: 1...8)
    func losses(seed: Int) throws {
        let written = try write(seed: UInt64(seed), batches: 3 + seed, closes: seed % 2 == 0)
        for fault in SimulatedDiskFault.allCases {
            let fileSystem = written.fileSystem.copy()
            try fileSystem.damage(fault, of: written.segment, at: written.bytes.upperBound - 1)
            #expect(refusal(fileSystem)?.isDamage == true, "\(fault)")
        }
        let cut = written.fileSystem.copy()
        let whole = try contents(written.segment, cut)
        let rest = whole.count - written.bytes.lowerBound
        try replace(
            written.segment, with: whole[..<written.bytes.lowerBound] + [UInt8](repeating: 0, count: rest),
            cut)
        #expect(refusal(cut)?.isDamage == true)
    }

    @Test("a write that was reported and never stored, or stored elsewhere, is damage")
    func lostWrites() throws {
        for fault in [SimulatedFault.lose, .misdirect(to: 5)] {
            let fileSystem = SimulatedFileSystem(seed: 1)
            let log = try openLog(fileSystem, .init(segmentSizeBytes: 64 << 10)).log
            log.encode([LogWrite(group: GroupID(1), entries: entries(1...3))])
            try log.flush()
            fileSystem.injectOnce(fault, into: .write, of: segmentPath(1))
            log.encode([LogWrite(group: GroupID(1), entries: entries(4...5))])
            var batch = try #require(log.takeBatch())
            try log.writer.write(&batch)
            fileSystem.restart(after: .process)
            let error = refusal(fileSystem)
            guard case .endLost(segmentPath(1), _, let reason) = error else {
                Issue.record("\(fault): \(error.map { "\($0)" } ?? "opened")")
                continue
            }
            #expect(reason.contains("group 1 up to entry 5 of term 1"))
        }
    }

    @Test("a segment put back to an older state of itself is noticed")
    func olderSegment() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
        try log.flush()
        let older = try contents(segmentPath(1), fileSystem)
        log.encode([LogWrite(group: GroupID(1), entries: entries(2...2))])
        try log.close()
        try replace(segmentPath(1), with: older, fileSystem)
        guard case .endLost = refusal(fileSystem) else {
            Issue.record("an older segment was taken")
            return
        }
    }

    @Test("damage to the anchor alone is no error, and is repaired", arguments: [true, false])
    func damagedAnchor(closes: Bool) throws {
        let written = try write(seed: 3, batches: 9, closes: closes)
        let bytes = try contents(anchorPath, written.fileSystem)
        #expect(bytes.count == LogAnchor.fileSizeBytes)
        var damaged: [[UInt8]?] = [nil, [], Array(bytes[..<5_000]), bytes + [1]]
        for offset in bytes.indices where bytes[offset] != 0 || offset % 509 == 0 {
            var flipped = bytes
            flipped[offset] ^= 4
            damaged.append(flipped)
        }
        for page in 0..<4 {
            var zeroed = bytes
            for offset in page * 4_096..<page * 4_096 + 4_096 { zeroed[offset] = 0 }
            damaged.append(zeroed)
        }
        for contents in damaged {
            let fileSystem = written.fileSystem.copy()
            if let contents {
                try replace(anchorPath, with: contents, fileSystem)
            } else {
                try fileSystem.remove(anchorPath)
            }
            let opened = try openLog(fileSystem)
            #expect(LogModel(opened.groups) == written.model)
            #expect((opened.report.anchor == .missing) == (contents == nil))
            fileSystem.restart(after: .power)
            let repaired = try #require(try LogAnchor.read(logDirectory, fileSystem))
            #expect(repaired.isWhole && !repaired.votes.contains(nil) && repaired.hasAllPositions)
            #expect(repaired.newestPositions?.groups?.count == written.model.groups.count)
            #expect(LogModel(try openLog(fileSystem).groups) == written.model)
        }
    }

    @Test("one position slot lost: what the batch before it knew still counts")
    func otherSlot() throws {
        let written = try write(seed: 5, batches: 6, closes: false)
        let anchor = try #require(try LogAnchor.read(logDirectory, written.fileSystem))
        let newest = anchor.positions[0] == anchor.newestPositions ? 0 : 1
        try written.fileSystem.damage(.zeroedBlock, of: anchorPath, at: LogAnchor.positionOffset(newest))
        let left = try #require(try LogAnchor.read(logDirectory, written.fileSystem))
        #expect(left.newestPositions?.sequence == anchor.newestPositions!.sequence - 1)
    }

    @Test("votes are durable when a batch that changed them is reported, even after a power cut")
    func votes() throws {
        for seed in UInt64(1)...40 {
            let fileSystem = SimulatedFileSystem(seed: seed)
            let log = try openLog(fileSystem).log
            log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
            try log.flush()
            let state = HardState(term: Term(7), votedFor: NodeID(3))
            log.encode([LogWrite(group: GroupID(1), hardState: state)])
            var batch = try #require(log.takeBatch())
            try log.writer.write(&batch)
            fileSystem.restart(after: .power)
            let anchor = try #require(try LogAnchor.read(logDirectory, fileSystem))
            let vote = LogAnchor.Vote(group: GroupID(1), term: Term(7), votedFor: NodeID(3))
            #expect(anchor.trustedVotes?.groups == [vote] || anchor.newestVotes?.groups == [vote])
            // Without the positions the votes alone tell that a batch is lost.
            for slot in 0..<2 {
                try fileSystem.damage(.zeroedBlock, of: anchorPath, at: LogAnchor.positionOffset(slot))
            }
            try fileSystem.flipBit(1, of: segmentPath(1), at: batch.offset + 30)
            guard case .endLost = refusal(fileSystem) else {
                Issue.record("seed \(seed): a lost vote was not noticed")
                continue
            }
            let left = try WriteAheadLog.salvage(
                directory: logDirectory, fileSystem: fileSystem, options: .init(segmentSizeBytes: 4_096))
            #expect(left.groups[0].hardState == state)
        }
    }

    @Test("an unchanged hard state costs one write and one sync a batch, and a vote one more of each")
    func cost() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem, .init(segmentSizeBytes: 64 << 10)).log
        func operations(_ write: LogWrite) throws -> Int {
            log.encode([write])
            var batch = try #require(log.takeBatch())
            let before = fileSystem.operationCount
            try log.writer.write(&batch)
            #expect(batch.positions.count == 48)
            return fileSystem.operationCount - before
        }
        let vote = HardState(term: Term(1), votedFor: NodeID(1))
        #expect(try operations(LogWrite(group: GroupID(1), hardState: vote)) == 5)
        #expect(try operations(LogWrite(group: GroupID(1), entries: entries(1...1))) == 3)
        var committed = vote
        committed.commitIndex = LogIndex(1)
        #expect(try operations(LogWrite(group: GroupID(1), hardState: committed)) == 3)
    }

    @Test("more groups than fit: the end is known by its sequence, and nothing is said of the groups")
    func manyGroups() throws {
        let options = WriteAheadLogOptions(segmentSizeBytes: 64 << 10)
        for count in [20, 21, 126, 127] as [UInt64] {
            let fileSystem = SimulatedFileSystem(seed: 1)
            let log = try openLog(fileSystem, options).log
            for group in 1...count {
                log.encode([
                    LogWrite(
                        group: GroupID(group), hardState: HardState(term: Term(group)),
                        entries: entries(1...2))
                ])
            }
            var batch = try #require(log.takeBatch())
            try log.writer.write(&batch)
            fileSystem.restart(after: .process)
            let anchor = try #require(try LogAnchor.read(logDirectory, fileSystem))
            #expect(anchor.newestPositions?.groups?.count == (count > 20 ? nil : Int(count)))
            #expect(anchor.newestVotes?.groups?.count == (count > 126 ? nil : Int(count)))
            #expect(try openLog(fileSystem.copy(), options).groups.count == Int(count))
            try fileSystem.flipBit(1, of: segmentPath(1), at: batch.offset + 40)
            if count > 126 {
                // Then the batch that brought the votes is all that is known.
                for slot in 0..<2 {
                    try fileSystem.damage(.zeroedBlock, of: anchorPath, at: LogAnchor.positionOffset(slot))
                }
            }
            do throws(WriteAheadLogError) {
                _ = try openLog(fileSystem, options)
                Issue.record("\(count) groups: nothing was noticed")
            } catch {
                guard case .endLost = error else {
                    Issue.record("\(error)")
                    continue
                }
            }
            let left = try WriteAheadLog.salvage(
                directory: logDirectory, fileSystem: fileSystem, options: options)
            #expect(left.groups.count == (count > 126 ? 0 : Int(count)))
            #expect(left.groups.allSatisfy { $0.hardState != nil })
            #expect(left.groups.allSatisfy { ($0.lastPosition == nil) == (count > 20) })
        }
    }

    @Test("a log of a version without an anchor gets one; a full disk is said to be full")
    func olderLogs() throws {
        let written = try write(seed: 2, batches: 8, closes: true)
        try written.fileSystem.remove(anchorPath)
        let full = written.fileSystem.copy()
        full.setCapacity(full.usedBytes)
        #expect(
            throws: WriteAheadLogError.noSpace(directory: logDirectory, neededBytes: LogAnchor.fileSizeBytes)
        ) { try openLog(full) }
        #expect(try openLog(written.fileSystem).report.anchor == .missing)
        written.fileSystem.restart(after: .power)
        let again = try openLog(written.fileSystem)
        guard case .known = again.report.anchor else {
            Issue.record("\(again.report.anchor)")
            return
        }
        #expect(LogModel(again.groups) == written.model)
    }

    @Test("segments that are all gone are missed even where a log may be created")
    func noSegments() throws {
        let written = try write(seed: 2, batches: 12, closes: true)
        for name in try written.fileSystem.list(logDirectory) where name.hasSuffix(".segment") {
            try written.fileSystem.remove(logDirectory.appending(name))
        }
        guard case .missingSegment = refusal(written.fileSystem) else {
            Issue.record("a new log was made in the place of a lost one")
            return
        }
        let left = try WriteAheadLog.salvage(
            directory: logDirectory, fileSystem: written.fileSystem, options: .init(segmentSizeBytes: 4_096))
        for group in left.groups {
            let truth = written.model.groups[group.group]!
            #expect(group.hardState?.term == truth.hardState.term)
            #expect(group.lastPosition == LogPosition(term: truth.lastTerm, index: truth.last))
            #expect(group.runs.isEmpty)
        }
        #expect(left.groups.count == written.model.groups.count)
    }

    /// Found by the simulator: the disk lost the write of a vote to its slot, and later the batch with the vote.
    @Test func aVoteThatTheDiskLostIsNoticed() {
        var anchor = LogAnchor()
        anchor.votes = [
            LogAnchor.Votes(generation: 2, sequence: 5, groups: []),
            LogAnchor.Votes(generation: 1, sequence: 3, groups: []),
        ]
        #expect(anchor.trustedVotes?.generation == 2)
        anchor.positions = [LogAnchor.Positions(sequence: 9, voteGeneration: 2, groups: []), nil]
        #expect(anchor.trustedVotes?.generation == 2)
        anchor.positions = [LogAnchor.Positions(sequence: 9, voteGeneration: 3, groups: []), nil]
        #expect(anchor.trustedVotes == nil)
    }
}
