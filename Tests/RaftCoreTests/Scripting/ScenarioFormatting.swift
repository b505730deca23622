import ConsensusTypes
import RaftCore

/// How things read in a transcript.
enum ScenarioFormat {
    static func entry(_ entry: Entry) -> String {
        let content =
            switch entry.kind {
            case .noOperation: "-"
            case .command: entry.payload.count > 12 ? "\(entry.payload.count) bytes" : text(entry.payload)
            case .membership: membership(entry.payload)
            case .withheld: "withheld"
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

    static func membership(_ payload: ByteSlice) -> String {
        var reader = ByteReader(payload)
        guard let membership = try? Membership.decode(from: &reader) else {
            return "an unreadable membership"
        }
        return describe(membership)
    }

    /// `{1 2 3}`, `{1 2 4, before 1 2 3, learners 5}`, with priorities that are not the usual one, and witnesses
    /// marked: `3w`.
    static func describe(_ membership: Membership) -> String {
        func list(_ nodes: [NodeID]) -> String {
            nodes.map { node in
                let priority = membership.priority(of: node)
                let name = membership.isWitness(node) ? "\(node)w" : "\(node)"
                return priority == MemberDescription.defaultPriority ? name : "\(name)^\(priority)"
            }.joined(separator: " ")
        }
        var parts = [list(membership.voters)]
        if membership.isJoint { parts.append("before " + list(membership.outgoingVoters)) }
        if !membership.learners.isEmpty { parts.append("learners " + list(membership.learners)) }
        if !membership.learnersNext.isEmpty {
            parts.append("then learners " + list(membership.learnersNext))
        }
        return "{\(parts.joined(separator: ", "))}"
    }

    static func proposal(_ proposal: Proposal) -> String {
        guard proposal.kind == .membershipChange else { return text(proposal.payload) }
        return "a change of \(proposal.payload.count) bytes"
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
        case .transferVoteRequest(let position): "vote to take over? for a log to \(position)"
        case .timeoutNow: "take over now"
        case .voteResponse(let granted): "vote: \(granted ? "yes" : "no")"
        case .append(let append):
            "append after \(append.previous): \(entries(append.entries)); commit \(append.commitIndex)"
                + round(append.readRound)
        case .appendResponse(let response): outcome(response.outcome) + round(response.readRound)
        case .snapshotChunk(let chunk):
            chunk.metadata.isWithheld
                ? "snapshot \(chunk.metadata.index)@\(chunk.metadata.term) without data"
                : "snapshot \(chunk.metadata.index)@\(chunk.metadata.term), \(chunk.bytes.count) bytes from "
                    + "\(chunk.offset)\(chunk.isLast ? ", the last" : "")"
        case .snapshotResponse(let response): "snapshot \(response.index): \(outcome(response.outcome))"
        case .propose(let proposals): "propose \(proposals.map(proposal).joined(separator: ", "))"
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
            let state =
                (member.isLeaving ? "leaving, " : "")
                + (member.isReceivingSnapshot ? "snapshot" : member.isProbing ? "probe" : "replicate")
            lines.append(
                "  \(member.node): \(state), match \(member.match), next \(member.next), "
                    + "\(member.inFlightCount) in flight")
        }
        return lines
    }
}
