import ConsensusTypes
import struct SystemPackage.FilePath

/// What the log knows of itself apart from its segments: the file `ANCHOR`, whose bytes
/// docs/formats/write-ahead-log.md shows.
///
/// Two slots hold terms and votes. They are written in turns, after the batch that brought the change was
/// synced, and are synced before that batch is reported. Two more hold the last durable batch and where the
/// groups' logs ended with it. They are written in turns after each batch's sync, before it is reported, and
/// not synced. So the anchor can be behind the segments, and never ahead of what they durably held.
struct LogAnchor: Hashable, Sendable {
    /// What a group must never forget, whatever becomes of its log.
    struct Vote: Hashable, Sendable {
        let group: GroupID
        let term: Term
        let votedFor: NodeID?
    }

    struct Votes: Hashable, Sendable {
        let generation: UInt64
        /// The batch that brought the last change.
        let sequence: UInt64
        /// `nil` where there are more groups than fit.
        let groups: [Vote]?
    }

    struct Position: Hashable, Sendable {
        let group: GroupID
        let last: LogPosition
    }

    struct Positions: Hashable, Sendable {
        /// The last durable batch.
        let sequence: UInt64
        /// The generation of the votes that were durable with it.
        let voteGeneration: UInt64
        /// Where each group's log ended; `nil` where there are more groups than fit.
        let groups: [Position]?
    }

    static let fileName = "ANCHOR"
    static let slotSizeBytes = 4_096
    static let fileSizeBytes = 4 * slotSizeBytes
    static let voteMagic: [UInt8] = Array("HOLDVOTE".utf8)
    static let version: UInt32 = 1
    static let voteHeaderSizeBytes = 40
    static let maximumVotingGroups = 126
    static let positionHeaderSizeBytes = 24
    /// With more groups the write after each sync would be more than a sector.
    static let maximumPositionGroups = 20
    static let tooManyGroups: UInt32 = .max

    /// The two slots of each kind; `nil` where one holds nothing intact.
    var votes: [Votes?] = [nil, nil]
    var positions: [Positions?] = [nil, nil]
    /// Whether the file has the size that it must have, and all of it can be read, so that it can be written.
    var isWhole = false
    /// What the device could not read of it.
    var unreadable: [Range<Int>] = []

    var newestVotes: Votes? { votes.compactMap { $0 }.max { $0.generation < $1.generation } }

    var newestPositions: Positions? { positions.compactMap { $0 }.max { $0.sequence < $1.sequence } }

    /// Whether both position slots are intact, so that the newest one is the last that was written.
    var hasAllPositions: Bool { !positions.contains(nil) }

    /// The newest votes, if none newer can have been lost. An unfinished write spoils one slot, and so does
    /// damage; a write that the disk lost leaves both slots intact and old. The positions tell of a newer
    /// generation.
    var trustedVotes: Votes? {
        guard let newest = newestVotes else { return nil }
        guard let known = newestPositions?.voteGeneration else {
            return votes.allSatisfy({ $0 != nil }) ? newest : nil
        }
        return newest.generation >= known ? newest : nil
    }

    /// The last batch that was durable for certain.
    var durableSequence: UInt64? {
        [newestVotes?.sequence, newestPositions?.sequence].compactMap { $0 }.max()
    }

    /// `nil` where there is none. A slot that holds nothing intact is no error.
    static func read(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(WriteAheadLogError) -> LogAnchor? {
        let path = directory.appending(fileName)
        let read = try wrapping { () throws(FileSystemError) -> ReadBytes? in
            guard try fileSystem.exists(path) else { return nil }
            return try fileSystem.open(path, .read).readAroundFailures(fileSizeBytes + 1, at: 0)
        }
        guard let read else { return nil }
        let bytes = read.bytes
        var anchor = LogAnchor()
        anchor.isWhole = bytes.count == fileSizeBytes && read.unreadable.isEmpty
        anchor.unreadable = read.unreadable
        for slot in 0..<2 {
            anchor.votes[slot] = try decodeVotes(slotBytes(bytes, slot), slot, path)
            anchor.positions[slot] = decodePositions(slotBytes(bytes, 2 + slot), slot)
        }
        return anchor
    }

    private static func slotBytes(_ bytes: [UInt8], _ slot: Int) -> [UInt8] {
        Array(bytes.dropFirst(slot * slotSizeBytes).prefix(slotSizeBytes))
    }
}

// MARK: - Bytes

extension LogAnchor {
    static func voteOffset(_ slot: Int) -> Int { slot * slotSizeBytes }

    static func positionOffset(_ slot: Int) -> Int { (2 + slot) * slotSizeBytes }

    static func encode(_ votes: Votes, slot: Int) -> [UInt8] {
        let groups = votes.groups ?? []
        var bytes = voteMagic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(UInt32(voteHeaderSizeBytes + 32 * groups.count + 4))
        bytes.appendLittleEndian(votes.generation)
        bytes.appendLittleEndian(votes.sequence)
        bytes.appendLittleEndian(votes.groups == nil ? tooManyGroups : UInt32(groups.count))
        bytes.appendLittleEndian(UInt32(0))
        for vote in groups {
            bytes.appendLittleEndian(vote.group.rawValue)
            bytes.appendLittleEndian(vote.term.rawValue)
            bytes.appendLittleEndian(vote.votedFor?.rawValue ?? 0)
            bytes.appendLittleEndian(UInt64(vote.votedFor == nil ? 0 : 1))
        }
        bytes.appendLittleEndian(Checksum.crc32c(bytes, continuing: seed(voteOffset(slot))))
        return bytes
    }

    private static func decodeVotes(
        _ bytes: [UInt8], _ slot: Int, _ path: FilePath
    ) throws(WriteAheadLogError) -> Votes? {
        guard bytes.count >= voteHeaderSizeBytes + 4, Array(bytes[..<8]) == voteMagic else { return nil }
        let end = Int(bytes.littleEndian32(at: 12)) - 4
        guard end >= voteHeaderSizeBytes, end + 4 <= bytes.count,
            Checksum.crc32c(Array(bytes[..<end]), continuing: seed(voteOffset(slot)))
                == bytes.littleEndian32(at: end)
        else { return nil }
        let found = bytes.littleEndian32(at: 8)
        guard found == version else {
            throw .unsupportedVersion(file: path, found: found, supported: version)
        }
        let count = bytes.littleEndian32(at: 32)
        var groups: [Vote]?
        if count != tooManyGroups {
            guard Int(count) * 32 == end - voteHeaderSizeBytes else { return nil }
            groups = (0..<Int(count)).map { number in
                let offset = voteHeaderSizeBytes + 32 * number
                return Vote(
                    group: GroupID(bytes.littleEndian64(at: offset)),
                    term: Term(bytes.littleEndian64(at: offset + 8)),
                    votedFor: bytes.littleEndian64(at: offset + 24) & 1 == 0
                        ? nil : NodeID(bytes.littleEndian64(at: offset + 16)))
            }
        }
        return Votes(
            generation: bytes.littleEndian64(at: 16), sequence: bytes.littleEndian64(at: 24), groups: groups)
    }

    /// Appends what a position slot holds of these groups, to be finished by ``sealPositions``.
    static func encodePositions(
        sequence: UInt64, _ groups: some Collection<GroupCheckpoint?>, into bytes: inout [UInt8]
    ) {
        bytes.appendLittleEndian(UInt32(0))
        bytes.appendLittleEndian(UInt32(0))
        bytes.appendLittleEndian(sequence)
        bytes.appendLittleEndian(UInt64(0))
        var count: UInt32 = 0
        if groups.count <= maximumPositionGroups {
            for case let group? in groups {
                bytes.appendLittleEndian(group.group.rawValue)
                bytes.appendLittleEndian(group.lastIndex.rawValue)
                bytes.appendLittleEndian(group.lastTerm.rawValue)
                count += 1
            }
        } else {
            count = tooManyGroups
        }
        bytes.withMutableBytes { $0.storeBytes(of: count.littleEndian, toByteOffset: 4, as: UInt32.self) }
    }

    static func sealPositions(_ bytes: inout [UInt8], voteGeneration: UInt64, slot: Int) {
        bytes.withMutableBytes { raw in
            raw.storeBytes(of: voteGeneration.littleEndian, toByteOffset: 16, as: UInt64.self)
            let covered = UnsafeRawBufferPointer(rebasing: raw[4...])
            let checksum = Checksum.crc32c(covered, continuing: seed(positionOffset(slot)))
            raw.storeBytes(of: checksum.littleEndian, toByteOffset: 0, as: UInt32.self)
        }
    }

    private static func decodePositions(_ bytes: [UInt8], _ slot: Int) -> Positions? {
        guard bytes.count >= positionHeaderSizeBytes else { return nil }
        let count = bytes.littleEndian32(at: 4)
        guard count <= maximumPositionGroups || count == tooManyGroups else { return nil }
        let held = count == tooManyGroups ? 0 : Int(count)
        let end = positionHeaderSizeBytes + 24 * held
        guard bytes.count >= end,
            Checksum.crc32c(Array(bytes[4..<end]), continuing: seed(positionOffset(slot)))
                == bytes.littleEndian32(at: 0)
        else { return nil }
        let groups = (0..<held).map { number in
            let offset = positionHeaderSizeBytes + 24 * number
            return Position(
                group: GroupID(bytes.littleEndian64(at: offset)),
                last: LogPosition(
                    term: Term(bytes.littleEndian64(at: offset + 16)),
                    index: LogIndex(bytes.littleEndian64(at: offset + 8))))
        }
        return Positions(
            sequence: bytes.littleEndian64(at: 8), voteGeneration: bytes.littleEndian64(at: 16),
            groups: count == tooManyGroups ? nil : groups)
    }

    /// What a slot's checksum starts from, so that the bytes of one slot are not valid in another.
    private static func seed(_ offset: Int) -> UInt32 {
        Checksum.crc32c(UInt64(offset), UInt64(version))
    }
}

extension LogAnchor {
    /// The terms and votes of these groups, for a slot.
    static func votes(of groups: some Collection<GroupCheckpoint?>) -> [Vote]? {
        guard groups.count <= maximumVotingGroups else { return nil }
        return groups.compactMap { group in
            guard let group else { return nil }
            return Vote(
                group: group.group, term: group.hardState.term, votedFor: group.hardState.votedFor)
        }
    }
}

// MARK: - What it says of a log

extension LogAnchor {
    func damages(_ directory: FilePath) -> [WriteAheadLogError] {
        unreadable.map {
            .damaged(
                file: directory.appending(LogAnchor.fileName), offset: $0.lowerBound,
                reason: unreadableReason($0))
        }
    }

    /// Whether the log that was found holds everything that the anchor knows to have been durable.
    func check(_ found: FoundLog, _ directory: FilePath) throws(WriteAheadLogError) {
        let segment = found.segments[found.segments.count - 1].number
        let path = directory.appending(SegmentName.segment(segment))
        let last = found.nextSequence - 1
        if let durable = durableSequence, durable > last {
            throw .endLost(
                file: path, offset: found.end,
                reason: "batch \(last) is the last one, and ANCHOR says that batch \(durable) was durable"
                    + positionsText)
        }
        for vote in newestVotes?.groups ?? [] {
            let state = found.groups.first { $0.checkpoint.group == vote.group }?.checkpoint.hardState
            guard !vote.isHeld(by: state ?? HardState()) else { continue }
            throw .endLost(
                file: path, offset: found.end,
                reason: "group \(vote.group) ends in term \((state ?? HardState()).term), and ANCHOR says "
                    + "that it was in term \(vote.term)"
                    + (vote.votedFor.map { " and had voted for node \($0)" } ?? ""))
        }
    }

    private var positionsText: String {
        guard let groups = newestPositions?.groups, !groups.isEmpty else { return "" }
        let texts = groups.prefix(3).map {
            "group \($0.group) up to entry \($0.last.index) of term \($0.last.term)"
        }
        return ", with " + texts.joined(separator: ", ") + (groups.count > 3 ? " and others" : "")
    }
}

extension LogAnchor.Vote {
    /// Whether a state that is this old or newer remembers the vote.
    func isHeld(by state: HardState) -> Bool {
        state.term > term || (state.term == term && (votedFor == nil || state.votedFor == votedFor))
    }
}
