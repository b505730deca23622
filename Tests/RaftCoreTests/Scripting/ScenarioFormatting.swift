import ConsensusTypes
import RaftCore

/// How things read in a transcript.
enum ScenarioFormat {
    static func entry(_ entry: Entry) -> String {
        let content =
            switch entry.kind {
            case .noOperation: "-"
            case .command: entry.payload.count > 12 ? "\(entry.payload.count) bytes" : text(entry.payload)
            case .membership: "membership"
            }
        return "\(entry.index)@\(entry.term) \(content)"
    }

    static func entries(_ entries: [Entry]) -> String {
        if entries.isEmpty { return "nothing" }
        if entries.count > 6 {
            return "\(entry(entries[0])) ... \(entry(entries[entries.count - 1])) (\(entries.count))"
        }
        return entries.map(entry).joined(separator: ", ")
    }

    static func text(_ payload: ByteSlice) -> String {
        String(decoding: payload.bytes, as: UTF8.self)
    }

    static func message(_ message: RaftMessage) -> String {
        "\(message.from)->\(message.to) term \(message.term) \(body(message.body))"
    }

    private static func body(_ body: RaftMessage.Body) -> String {
        switch body {
        case .preVoteRequest(let position): "pre-vote? for a log to \(position)"
        case .preVoteResponse(let granted): "pre-vote: \(granted ? "yes" : "no")"
        case .voteRequest(let position): "vote? for a log to \(position)"
        case .voteResponse(let granted): "vote: \(granted ? "yes" : "no")"
        case .append(let append):
            "append after \(append.previous): \(entries(append.entries)); commit \(append.commitIndex)"
                + round(append.readRound)
        case .appendResponse(let response): outcome(response.outcome) + round(response.readRound)
        case .snapshotChunk(let chunk):
            "snapshot \(chunk.metadata.index)@\(chunk.metadata.term), \(chunk.bytes.count) bytes from "
                + "\(chunk.offset)\(chunk.isLast ? ", the last" : "")"
        case .snapshotResponse(let response): "snapshot \(response.index): \(outcome(response.outcome))"
        case .propose(let proposals): "propose \(proposals.map { text($0.payload) }.joined(separator: ", "))"
        case .proposeRejected(let ids, let reason):
            "refused \(ids.map(\.description).joined(separator: ", ")): \(reason)"
        case .readIndexRequest(let batch): "read index? \(batch.session).\(batch.sequence)"
        case .readIndexResponse(let batch, let index):
            "read index \(batch.session).\(batch.sequence): \(index.map(\.description) ?? "cannot tell")"
        }
    }

    private static func round(_ round: UInt64) -> String {
        round == 0 ? "" : "; round \(round)"
    }

    private static func outcome(_ outcome: AppendResponse.Outcome) -> String {
        switch outcome {
        case .matched(let index): "matched \(index)"
        case .mismatch(let rejected, let hint): "mismatch at \(rejected), try \(hint)"
        }
    }

    private static func outcome(_ outcome: SnapshotResponse.Outcome) -> String {
        switch outcome {
        case .wants(let offset): "wants from \(offset)"
        case .installed: "installed"
        case .refused: "refused"
        }
    }

    static func leadership(_ leadership: Leadership, of node: NodeID) -> String {
        switch leadership.role {
        case .leader: "\(node) leads term \(leadership.term)"
        case .candidate: "\(node) is a candidate in term \(leadership.term)"
        case .preCandidate: "\(node) is a pre-candidate in term \(leadership.term)"
        case .follower:
            if let leader = leadership.leader {
                "\(node) follows \(leader) in term \(leadership.term)"
            } else {
                "\(node) follows nobody in term \(leadership.term)"
            }
        }
    }

    static func write(_ write: DiskWrite, of node: NodeID) -> String {
        var parts: [String] = []
        if let state = write.hardState {
            parts.append("term \(state.term), vote \(state.votedFor?.description ?? "none")")
        }
        if let snapshot = write.snapshot {
            parts.append("snapshot \(snapshot.index)@\(snapshot.term)\(write.keepsSuffix ? "" : " alone")")
        }
        if !write.entries.isEmpty { parts.append(entries(write.entries)) }
        return "\(node) writes \(parts.joined(separator: "; "))"
    }

    static func status(_ core: RaftCore) -> [String] {
        let status = core.status
        var lines = [
            "\(leadership(status.leadership, of: status.node)); commit \(status.commitIndex), durable "
                + "\(status.durableIndex), log from \(status.firstIndex) to \(status.lastPosition)"
        ]
        for member in status.members {
            let state = member.isReceivingSnapshot ? "snapshot" : member.isProbing ? "probe" : "replicate"
            lines.append(
                "  \(member.node): \(state), match \(member.match), next \(member.next), "
                    + "\(member.inFlightCount) in flight")
        }
        return lines
    }
}
