import ConsensusTypes
import RaftCore

/// The bytes of a ``RaftMessage`` between two nodes; docs/formats/peer-protocol.md describes them.
enum RaftMessageCoding {
    /// The most entries, proposals or ids that one message may carry: a bound for the decoder.
    static let maximumItems = 1 << 20

    private enum Kind: UInt8 {
        case preVoteRequest = 1
        case preVoteResponse = 2
        case voteRequest = 3
        case voteResponse = 4
        case append = 5
        case appendMatched = 6
        case appendMismatch = 7
        case snapshotChunk = 8
        case snapshotWants = 9
        case snapshotInstalled = 10
        case snapshotRefused = 11
        case propose = 12
        case proposeRejected = 13
        case readIndexRequest = 14
        case readIndexResponse = 15
        case transferVoteRequest = 16
        case timeoutNow = 17
        case withheldSnapshot = 18
        /// An append that says that the election timeout is raised.
        case appendUnderLongerTimeout = 19
    }

    static func encode(_ message: RaftMessage, group: GroupID) -> [UInt8] {
        var writer = ByteWriter(reserving: approximateSizeBytes(message))
        writer.write(group.rawValue)
        writer.write(message.from.rawValue)
        writer.write(message.to.rawValue)
        writer.write(message.term.rawValue)
        encode(message.body, into: &writer)
        return writer.bytes
    }

    private static func approximateSizeBytes(_ message: RaftMessage) -> Int {
        switch message.body {
        case .append(let append):
            append.entries.reduce(128) { $0 + $1.payload.count + 37 }
        case .propose(let proposals):
            proposals.reduce(64) { $0 + $1.payload.count + 21 }
        case .snapshotChunk(let chunk):
            256 + chunk.bytes.count
        default:
            96
        }
    }

    private static func encode(_ body: RaftMessage.Body, into writer: inout ByteWriter) {
        switch body {
        case .preVoteRequest(let position):
            writer.write(Kind.preVoteRequest.rawValue)
            encode(position, into: &writer)
        case .preVoteResponse(let granted):
            writer.write(Kind.preVoteResponse.rawValue)
            writer.write(granted)
        case .voteRequest(let position):
            writer.write(Kind.voteRequest.rawValue)
            encode(position, into: &writer)
        case .transferVoteRequest(let position):
            writer.write(Kind.transferVoteRequest.rawValue)
            encode(position, into: &writer)
        case .timeoutNow:
            writer.write(Kind.timeoutNow.rawValue)
        case .voteResponse(let granted):
            writer.write(Kind.voteResponse.rawValue)
            writer.write(granted)
        case .append(let append):
            encode(append, into: &writer)
        case .appendResponse(let response):
            encode(response, into: &writer)
        case .snapshotChunk(let chunk):
            if chunk.metadata.isWithheld {
                encodeWithheld(chunk, into: &writer)
            } else {
                encode(chunk, into: &writer)
            }
        case .snapshotResponse(let response):
            encode(response, into: &writer)
        case .propose(let proposals):
            encode(proposals, into: &writer)
        case .proposeRejected(let ids, let reason):
            writer.write(Kind.proposeRejected.rawValue)
            writer.write(reason.rawValue)
            writer.write(UInt32(ids.count))
            for id in ids {
                encode(id, into: &writer)
            }
        case .readIndexRequest(let batch):
            writer.write(Kind.readIndexRequest.rawValue)
            encode(batch, into: &writer)
        case .readIndexResponse(let batch, let index):
            writer.write(Kind.readIndexResponse.rawValue)
            encode(batch, into: &writer)
            writer.write(index != nil)
            writer.write((index ?? .zero).rawValue)
        }
    }

    private static func encode(_ append: AppendEntries, into writer: inout ByteWriter) {
        if append.timeoutFactor == 1 {
            writer.write(Kind.append.rawValue)
        } else {
            writer.write(Kind.appendUnderLongerTimeout.rawValue)
            writer.write(append.timeoutFactor)
        }
        encode(append.previous, into: &writer)
        writer.write(append.commitIndex.rawValue)
        writer.write(append.readRound)
        writer.write(append.sentAt.nanoseconds)
        encode(append.entries, into: &writer)
    }

    static func encode(_ entries: [Entry], into writer: inout ByteWriter) {
        writer.write(UInt32(entries.count))
        for entry in entries {
            writer.write(entry.index.rawValue)
            writer.write(entry.term.rawValue)
            writer.write(entry.kind.rawValue)
            encode(entry.proposal, into: &writer)
            writer.writeSized(entry.payload)
        }
    }

    private static func encode(_ response: AppendResponse, into writer: inout ByteWriter) {
        switch response.outcome {
        case .matched(let index):
            writer.write(Kind.appendMatched.rawValue)
            writer.write(index.rawValue)
        case .mismatch(let rejected, let hint):
            writer.write(Kind.appendMismatch.rawValue)
            writer.write(rejected.rawValue)
            encode(hint, into: &writer)
        }
        writer.write(response.readRound)
        writer.write(response.sentAt.nanoseconds)
    }

    private static func encode(_ chunk: SnapshotChunk, into writer: inout ByteWriter) {
        writer.write(Kind.snapshotChunk.rawValue)
        writer.write(chunk.metadata.index.rawValue)
        writer.write(chunk.metadata.term.rawValue)
        chunk.metadata.membership.encode(into: &writer)
        writer.write(chunk.offset)
        writer.write(chunk.isLast)
        writer.write(chunk.sentAt.nanoseconds)
        writer.writeSized(chunk.bytes)
    }

    /// Under a kind of its own, so that nobody takes it for the beginning of a state.
    private static func encodeWithheld(_ chunk: SnapshotChunk, into writer: inout ByteWriter) {
        precondition(chunk.bytes.isEmpty && chunk.isLast, "a snapshot without data has no bytes")
        writer.write(Kind.withheldSnapshot.rawValue)
        writer.write(chunk.metadata.index.rawValue)
        writer.write(chunk.metadata.term.rawValue)
        chunk.metadata.membership.encode(into: &writer)
        writer.write(chunk.sentAt.nanoseconds)
    }

    private static func encode(_ response: SnapshotResponse, into writer: inout ByteWriter) {
        switch response.outcome {
        case .wants(let offset):
            writer.write(Kind.snapshotWants.rawValue)
            writer.write(offset)
        case .installed:
            writer.write(Kind.snapshotInstalled.rawValue)
        case .refused:
            writer.write(Kind.snapshotRefused.rawValue)
        }
        writer.write(response.index.rawValue)
        writer.write(response.sentAt.nanoseconds)
    }

    private static func encode(_ proposals: [Proposal], into writer: inout ByteWriter) {
        writer.write(Kind.propose.rawValue)
        writer.write(UInt32(proposals.count))
        for proposal in proposals {
            encode(proposal.id, into: &writer)
            writer.write((proposal.needsSpace ? 1 : 0) | (proposal.kind.rawValue << 1))
            writer.writeSized(proposal.payload)
        }
    }

    static func encode(_ position: LogPosition, into writer: inout ByteWriter) {
        writer.write(position.term.rawValue)
        writer.write(position.index.rawValue)
    }

    private static func encode(_ id: ProposalID, into writer: inout ByteWriter) {
        writer.write(id.session)
        writer.write(id.sequence)
    }

    private static func encode(_ id: ReadBatchID, into writer: inout ByteWriter) {
        writer.write(id.session)
        writer.write(id.sequence)
    }
}

extension RaftMessageCoding {
    /// The group that the message is for, and the message. Payloads share storage with `bytes`.
    static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> (GroupID, RaftMessage) {
        var reader = ByteReader(bytes)
        let group = GroupID(try reader.readUInt64())
        let from = NodeID(try reader.readUInt64())
        let to = NodeID(try reader.readUInt64())
        let term = Term(try reader.readUInt64())
        let body = try decodeBody(&reader)
        try reader.requireEnd()
        return (group, RaftMessage(from: from, to: to, term: term, body: body))
    }

    private static func decodeBody(_ reader: inout ByteReader) throws(ByteDecodingError) -> RaftMessage.Body {
        let rawKind = try reader.readUInt8()
        guard let kind = Kind(rawValue: rawKind) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "message kind \(rawKind) is unknown")
        }
        switch kind {
        case .preVoteRequest: return .preVoteRequest(try decodePosition(&reader))
        case .preVoteResponse: return .preVoteResponse(granted: try reader.readBool())
        case .voteRequest: return .voteRequest(try decodePosition(&reader))
        case .transferVoteRequest: return .transferVoteRequest(try decodePosition(&reader))
        case .timeoutNow: return .timeoutNow
        case .voteResponse: return .voteResponse(granted: try reader.readBool())
        case .append: return .append(try decodeAppend(&reader, timeoutFactor: 1))
        case .appendUnderLongerTimeout:
            let factor = try reader.readUInt8()
            guard (2...RaftCore.maximumTimeoutFactor).contains(factor) else {
                throw ByteDecodingError(
                    offset: reader.offset - 1,
                    reason: "an election timeout cannot be raised to \(factor) times")
            }
            return .append(try decodeAppend(&reader, timeoutFactor: factor))
        case .appendMatched:
            return try decodeResponse(.matched(LogIndex(try reader.readUInt64())), &reader)
        case .appendMismatch:
            let rejected = LogIndex(try reader.readUInt64())
            return try decodeResponse(
                .mismatch(rejected: rejected, hint: try decodePosition(&reader)), &reader)
        case .snapshotChunk: return .snapshotChunk(try decodeChunk(&reader))
        case .withheldSnapshot: return .snapshotChunk(try decodeWithheld(&reader))
        case .snapshotWants:
            return try decodeSnapshotResponse(.wants(offset: try reader.readUInt64()), &reader)
        case .snapshotInstalled: return try decodeSnapshotResponse(.installed, &reader)
        case .snapshotRefused: return try decodeSnapshotResponse(.refused, &reader)
        case .propose: return .propose(try decodeProposals(&reader))
        case .proposeRejected: return try decodeRejection(&reader)
        case .readIndexRequest: return .readIndexRequest(try decodeBatch(&reader))
        case .readIndexResponse:
            let batch = try decodeBatch(&reader)
            let isKnown = try reader.readBool()
            let index = LogIndex(try reader.readUInt64())
            return .readIndexResponse(batch, isKnown ? index : nil)
        }
    }

    private static func decodeAppend(
        _ reader: inout ByteReader, timeoutFactor: UInt8
    ) throws(ByteDecodingError) -> AppendEntries {
        let previous = try decodePosition(&reader)
        let commitIndex = LogIndex(try reader.readUInt64())
        let readRound = try reader.readUInt64()
        let sentAt = Instant(nanoseconds: try reader.readUInt64())
        return AppendEntries(
            previous: previous, entries: try decodeEntries(&reader), commitIndex: commitIndex,
            readRound: readRound, sentAt: sentAt, timeoutFactor: timeoutFactor)
    }

    static func decodeEntries(_ reader: inout ByteReader) throws(ByteDecodingError) -> [Entry] {
        let count = try decodeCount(&reader, eachAtLeastBytes: 37)
        var entries: [Entry] = []
        entries.reserveCapacity(count)
        for _ in 0..<count {
            entries.append(try decodeEntry(&reader))
        }
        return entries
    }

    private static func decodeEntry(_ reader: inout ByteReader) throws(ByteDecodingError) -> Entry {
        let index = LogIndex(try reader.readUInt64())
        let term = Term(try reader.readUInt64())
        let rawKind = try reader.readUInt8()
        guard let kind = Entry.Kind(rawValue: rawKind) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "entry kind \(rawKind) is unknown")
        }
        let proposal = try decodeProposalID(&reader)
        return Entry(
            index: index, term: term, kind: kind, proposal: proposal, payload: try reader.readSized())
    }

    private static func decodeResponse(
        _ outcome: AppendResponse.Outcome, _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> RaftMessage.Body {
        let readRound = try reader.readUInt64()
        let sentAt = Instant(nanoseconds: try reader.readUInt64())
        return .appendResponse(AppendResponse(outcome: outcome, readRound: readRound, sentAt: sentAt))
    }

    private static func decodeChunk(_ reader: inout ByteReader) throws(ByteDecodingError) -> SnapshotChunk {
        let index = LogIndex(try reader.readUInt64())
        let term = Term(try reader.readUInt64())
        let membership = try Membership.decode(from: &reader)
        let offset = try reader.readUInt64()
        let isLast = try reader.readBool()
        let sentAt = Instant(nanoseconds: try reader.readUInt64())
        return SnapshotChunk(
            metadata: SnapshotMetadata(index: index, term: term, membership: membership), offset: offset,
            bytes: try reader.readSized(), isLast: isLast, sentAt: sentAt)
    }

    private static func decodeWithheld(
        _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> SnapshotChunk {
        let index = LogIndex(try reader.readUInt64())
        let term = Term(try reader.readUInt64())
        let metadata = SnapshotMetadata(
            index: index, term: term, membership: try Membership.decode(from: &reader), isWithheld: true)
        return SnapshotChunk(
            metadata: metadata, offset: 0, bytes: ByteSlice(), isLast: true,
            sentAt: Instant(nanoseconds: try reader.readUInt64()))
    }

    private static func decodeSnapshotResponse(
        _ outcome: SnapshotResponse.Outcome, _ reader: inout ByteReader
    ) throws(ByteDecodingError) -> RaftMessage.Body {
        let index = LogIndex(try reader.readUInt64())
        let sentAt = Instant(nanoseconds: try reader.readUInt64())
        return .snapshotResponse(SnapshotResponse(index: index, outcome: outcome, sentAt: sentAt))
    }

    private static func decodeProposals(_ reader: inout ByteReader) throws(ByteDecodingError) -> [Proposal] {
        let count = try decodeCount(&reader, eachAtLeastBytes: 21)
        var proposals: [Proposal] = []
        proposals.reserveCapacity(count)
        for _ in 0..<count {
            let id = try decodeProposalID(&reader)
            let flags = try reader.readUInt8()
            guard let kind = Proposal.Kind(rawValue: flags >> 1) else {
                throw ByteDecodingError(
                    offset: reader.offset - 1, reason: "proposal kind \(flags >> 1) is unknown")
            }
            proposals.append(
                Proposal(
                    id: id, kind: kind, payload: try reader.readSized(), needsSpace: flags & 1 == 1))
        }
        return proposals
    }

    private static func decodeRejection(_ reader: inout ByteReader) throws(ByteDecodingError)
        -> RaftMessage.Body
    {
        let rawReason = try reader.readUInt8()
        guard let reason = ProposalRejection(rawValue: rawReason) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "rejection \(rawReason) is unknown")
        }
        let count = try decodeCount(&reader, eachAtLeastBytes: 16)
        var ids: [ProposalID] = []
        ids.reserveCapacity(count)
        for _ in 0..<count {
            ids.append(try decodeProposalID(&reader))
        }
        return .proposeRejected(ids, reason)
    }

    /// A count that the bytes which are left can hold, so that a hostile count allocates nothing.
    private static func decodeCount(
        _ reader: inout ByteReader, eachAtLeastBytes itemSizeBytes: Int
    ) throws(ByteDecodingError) -> Int {
        let count = Int(try reader.readUInt32())
        guard count <= maximumItems, count * itemSizeBytes <= reader.remaining else {
            throw ByteDecodingError(
                offset: reader.offset - 4, reason: "\(count) items do not fit the message")
        }
        return count
    }

    static func decodePosition(_ reader: inout ByteReader) throws(ByteDecodingError) -> LogPosition {
        let term = Term(try reader.readUInt64())
        return LogPosition(term: term, index: LogIndex(try reader.readUInt64()))
    }

    private static func decodeProposalID(_ reader: inout ByteReader) throws(ByteDecodingError) -> ProposalID {
        let session = try reader.readUInt64()
        return ProposalID(session: session, sequence: try reader.readUInt64())
    }

    private static func decodeBatch(_ reader: inout ByteReader) throws(ByteDecodingError) -> ReadBatchID {
        let session = try reader.readUInt64()
        return ReadBatchID(session: session, sequence: try reader.readUInt64())
    }
}
