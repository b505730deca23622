import ConsensusTypes
import RaftCore
import WriteAheadLog

/// The bytes of a ``RepairMessage``; docs/formats/peer-messages.md describes them.
public enum RepairMessageCoding {
    private enum Kind: UInt8 {
        case introduction = 1
        case verdict = 2
        case entriesRequest = 3
        case entries = 4
        case snapshotRequest = 5
        case snapshotChunk = 6
        case snapshotUnavailable = 7
        case adoptionRequest = 8
        case adoption = 9
        case adoptionRefused = 10
    }

    public static func encode(_ message: RepairMessage) -> [UInt8] {
        var writer = ByteWriter(reserving: 128)
        switch message {
        case .introduction(let introduction):
            writer.write(Kind.introduction.rawValue)
            writer.write(introduction.directory.rawValue)
            writer.write(introduction.startCount)
            writer.write(introduction.incarnation)
            writer.write(introduction.stage.rawValue)
        case .verdict(let verdict):
            writer.write(Kind.verdict.rawValue)
            writer.write(verdict.judgement.rawValue)
            writer.write(verdict.incarnation)
            writer.write(verdict.knownStartCount)
        case .entriesRequest(let request):
            encode(request, into: &writer)
        case .entries(let answer):
            encode(answer, into: &writer)
        case .snapshotRequest(let request):
            encode(request, into: &writer)
        case .snapshotChunk(let number, let chunk):
            writer.write(Kind.snapshotChunk.rawValue)
            writer.write(number)
            encode(chunk.metadata, into: &writer)
            writer.write(chunk.offset)
            writer.write(chunk.isLast)
            writer.writeSized(chunk.bytes)
        case .snapshotUnavailable(let number):
            writer.write(Kind.snapshotUnavailable.rawValue)
            writer.write(number)
        case .adoptionRequest(let number, let group):
            writer.write(Kind.adoptionRequest.rawValue)
            writer.write(number)
            writer.write(group.rawValue)
        case .adoption(let number, let position):
            writer.write(Kind.adoption.rawValue)
            writer.write(number)
            RaftMessageCoding.encode(position, into: &writer)
        case .adoptionRefused(let number, let leader):
            writer.write(Kind.adoptionRefused.rawValue)
            writer.write(number)
            writer.write(leader != nil)
            writer.write(leader?.rawValue ?? 0)
        }
        return writer.bytes
    }

    private static func encode(_ request: EntriesRequest, into writer: inout ByteWriter) {
        writer.write(Kind.entriesRequest.rawValue)
        writer.write(request.number)
        writer.write(request.group.rawValue)
        RaftMessageCoding.encode(request.boundary, into: &writer)
        writer.write(request.through.rawValue)
        writer.write(request.from.rawValue)
        writer.write(UInt32(clamping: request.maximumSizeBytes))
    }

    private static func encode(_ answer: EntriesAnswer, into writer: inout ByteWriter) {
        let excerpt = answer.excerpt
        writer.write(Kind.entries.rawValue)
        writer.write(answer.number)
        writer.write(excerpt.holdsBoundary)
        writer.write(excerpt.firstIndex.rawValue)
        RaftMessageCoding.encode(excerpt.snapshot, into: &writer)
        writer.write(excerpt.previous != nil)
        RaftMessageCoding.encode(
            excerpt.previous ?? LogPosition(term: .zero, index: .zero), into: &writer)
        RaftMessageCoding.encode(excerpt.entries, into: &writer)
    }

    private static func encode(_ request: SnapshotRequest, into writer: inout ByteWriter) {
        writer.write(Kind.snapshotRequest.rawValue)
        writer.write(request.number)
        writer.write(request.group.rawValue)
        writer.write(request.metadata != nil)
        if let metadata = request.metadata { encode(metadata, into: &writer) }
        writer.write(request.offset)
        writer.write(UInt32(clamping: request.maximumSizeBytes))
    }

    private static func encode(_ metadata: SnapshotMetadata, into writer: inout ByteWriter) {
        precondition(!metadata.isWithheld, "a witness's snapshot must not be offered for one with data")
        writer.write(metadata.index.rawValue)
        writer.write(metadata.term.rawValue)
        metadata.membership.encode(into: &writer)
    }
}

extension RepairMessageCoding {
    /// Payloads share storage with `bytes`.
    public static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> RepairMessage {
        var reader = ByteReader(bytes)
        let message = try decodeBody(&reader)
        try reader.requireEnd()
        return message
    }

    private static func decodeBody(_ reader: inout ByteReader) throws(ByteDecodingError) -> RepairMessage {
        let rawKind = try reader.readUInt8()
        guard let kind = Kind(rawValue: rawKind) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "message kind \(rawKind) is unknown")
        }
        switch kind {
        case .introduction: return .introduction(try decodeIntroduction(&reader))
        case .verdict: return .verdict(try decodeVerdict(&reader))
        case .entriesRequest: return .entriesRequest(try decodeEntriesRequest(&reader))
        case .entries: return .entries(try decodeEntries(&reader))
        case .snapshotRequest: return .snapshotRequest(try decodeSnapshotRequest(&reader))
        case .snapshotChunk:
            let number = try reader.readUInt64()
            let metadata = try decodeMetadata(&reader)
            let offset = try reader.readUInt64()
            let isLast = try reader.readBool()
            return .snapshotChunk(
                number: number,
                SnapshotChunk(
                    metadata: metadata, offset: offset, bytes: try reader.readSized(), isLast: isLast,
                    sentAt: .zero))
        case .snapshotUnavailable: return .snapshotUnavailable(number: try reader.readUInt64())
        case .adoptionRequest:
            let number = try reader.readUInt64()
            return .adoptionRequest(number: number, group: GroupID(try reader.readUInt64()))
        case .adoption:
            let number = try reader.readUInt64()
            return .adoption(number: number, try RaftMessageCoding.decodePosition(&reader))
        case .adoptionRefused:
            let number = try reader.readUInt64()
            let isKnown = try reader.readBool()
            let leader = NodeID(try reader.readUInt64())
            return .adoptionRefused(number: number, leader: isKnown ? leader : nil)
        }
    }

    private static func decodeIntroduction(
        _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> Introduction {
        let directory = DirectoryID(try reader.readUInt64())
        let startCount = try reader.readUInt64()
        let incarnation = try reader.readUInt64()
        let rawStage = try reader.readUInt8()
        guard let stage = Introduction.Stage(rawValue: rawStage) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "stage \(rawStage) is unknown")
        }
        return Introduction(
            directory: directory, startCount: startCount, incarnation: incarnation, stage: stage)
    }

    private static func decodeVerdict(_ reader: inout ByteReader) throws(ByteDecodingError) -> Verdict {
        let rawJudgement = try reader.readUInt8()
        guard let judgement = Verdict.Judgement(rawValue: rawJudgement) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "verdict \(rawJudgement) is unknown")
        }
        let incarnation = try reader.readUInt64()
        return Verdict(
            judgement: judgement, incarnation: incarnation, knownStartCount: try reader.readUInt64())
    }

    private static func decodeEntriesRequest(
        _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> EntriesRequest {
        let number = try reader.readUInt64()
        let group = GroupID(try reader.readUInt64())
        let boundary = try RaftMessageCoding.decodePosition(&reader)
        let through = LogIndex(try reader.readUInt64())
        let from = LogIndex(try reader.readUInt64())
        return EntriesRequest(
            number: number, group: group, boundary: boundary, through: through, from: from,
            maximumSizeBytes: Int(try reader.readUInt32()))
    }

    private static func decodeEntries(_ reader: inout ByteReader) throws(ByteDecodingError) -> EntriesAnswer {
        let number = try reader.readUInt64()
        var excerpt = LogExcerpt()
        excerpt.holdsBoundary = try reader.readBool()
        excerpt.firstIndex = LogIndex(try reader.readUInt64())
        excerpt.snapshot = try RaftMessageCoding.decodePosition(&reader)
        let hasPrevious = try reader.readBool()
        let previous = try RaftMessageCoding.decodePosition(&reader)
        excerpt.previous = hasPrevious ? previous : nil
        excerpt.entries = try RaftMessageCoding.decodeEntries(&reader)
        return EntriesAnswer(number: number, excerpt: excerpt)
    }

    private static func decodeSnapshotRequest(
        _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> SnapshotRequest {
        let number = try reader.readUInt64()
        let group = GroupID(try reader.readUInt64())
        let metadata = try reader.readBool() ? try decodeMetadata(&reader) : nil
        let offset = try reader.readUInt64()
        return SnapshotRequest(
            number: number, group: group, metadata: metadata, offset: offset,
            maximumSizeBytes: Int(try reader.readUInt32()))
    }

    private static func decodeMetadata(
        _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> SnapshotMetadata {
        let index = LogIndex(try reader.readUInt64())
        let term = Term(try reader.readUInt64())
        return SnapshotMetadata(index: index, term: term, membership: try Membership.decode(from: &reader))
    }
}
