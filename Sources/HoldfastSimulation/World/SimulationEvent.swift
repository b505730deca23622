import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// Work of a node's snapshot thread.
enum SnapshotTask {
    case store(SnapshotMetadata, any SnapshotSource)
    case read(SnapshotRead)
    case receive(SnapshotChunk, any SnapshotRestorer)
    case removeObsolete(before: LogIndex)
    // Of the admission, for others or for itself.
    case readForRepair(SnapshotRead)
    case storeForRepair(SnapshotChunk)
    /// On a thread of its own.
    case remember(MemberRecord)
    case forget(NodeID)
    case writeCluster(ClusterRecord)
}

/// What travels between two nodes.
enum SimulatedMessage {
    case raft(RaftMessage)
    case aside(from: NodeID, ByteSlice)
    /// What admissions say to each other.
    case repair(RepairMessage)
}

/// What is to happen in a run.
enum SimulationEvent {
    /// `session` is the start of the sender's process, `receiver` that of the receiver's when it was sent.
    case deliver(
        from: Int, to: Int, epoch: UInt32, session: UInt64, receiver: UInt64, SimulatedMessage)
    case turn(Int, session: UInt64)
    /// Only the timer that was set last counts.
    case timer(Int, session: UInt64, number: UInt64)
    case syncDone(Int, session: UInt64)
    /// The node's log looks for room.
    case lookForRoom(Int, session: UInt64)
    case snapshotTask(SnapshotTask, Int, session: UInt64)
    case peerStopped(Int, about: Int)
    case peerConnected(Int, about: Int)
    case peerDisconnected(Int, about: Int)
    /// A client's request reaches the node.
    case call(Int, session: UInt64, request: UInt64)
    case client(Int)
    case restart(Int)
    /// A fault that lasts is over, or goes on to its next stage.
    case faultEnds(Int)
    /// An operator does something at the node.
    case operate(Int, session: UInt64, operation: UInt64)
    /// A node tries to connect to one that does not know it.
    case knock(Int, at: Int)

    /// The kind, the node and what else tells two events apart in the trace.
    var trace: (UInt64, UInt64) {
        switch self {
        case .deliver(_, let to, _, _, _, .raft(let message)): (1, UInt64(to) << 32 | message.term.rawValue)
        case .deliver(_, let to, _, _, _, .aside): (2, UInt64(to))
        case .deliver(_, let to, _, _, _, .repair): (14, UInt64(to))
        case .turn(let node, _): (3, UInt64(node))
        case .timer(let node, _, _): (4, UInt64(node))
        case .syncDone(let node, _): (5, UInt64(node))
        case .snapshotTask(_, let node, _): (6, UInt64(node))
        case .peerStopped(let node, let about): (7, UInt64(node * 8 + about))
        case .peerConnected(let node, let about): (8, UInt64(node * 8 + about))
        case .peerDisconnected(let node, let about): (9, UInt64(node * 8 + about))
        case .call(let node, _, let request): (10, UInt64(node) << 32 ^ request)
        case .client(let client): (11, UInt64(client))
        case .restart(let node): (12, UInt64(node))
        case .faultEnds(let number): (13, UInt64(number))
        case .lookForRoom(let node, _): (15, UInt64(node))
        case .operate(let node, _, let operation): (16, UInt64(node) << 32 ^ operation)
        case .knock(let node, let other): (17, UInt64(node * 8 + other))
        }
    }

    /// The process that it is for, where it is for one.
    var session: UInt64? {
        switch self {
        case .deliver(_, _, _, _, let receiver, _): receiver
        case .turn(_, let session), .timer(_, let session, _), .syncDone(_, let session),
            .lookForRoom(_, let session), .snapshotTask(_, _, let session), .call(_, let session, _),
            .operate(_, let session, _):
            session
        case .peerStopped, .peerConnected, .peerDisconnected, .client, .restart, .faultEnds, .knock: nil
        }
    }

    /// Whether it happens at a node: then it waits while the node is paused.
    var node: Int? {
        switch self {
        case .deliver(_, let to, _, _, _, _): to
        case .turn(let node, _), .timer(let node, _, _), .syncDone(let node, _), .lookForRoom(let node, _),
            .snapshotTask(_, let node, _),
            .peerStopped(let node, _), .peerConnected(let node, _), .peerDisconnected(let node, _),
            .call(let node, _, _), .operate(let node, _, _):
            node
        case .client, .restart, .faultEnds, .knock: nil
        }
    }

    var text: String {
        switch self {
        case .deliver(let from, let to, _, _, _, .raft(let message)):
            "node \(to) receives from \(from), term \(message.term): \(message.body.text)"
        case .deliver(let from, let to, _, _, _, .aside): "node \(to) receives an aside from \(from)"
        case .deliver(let from, let to, _, _, _, .repair(let message)):
            "node \(to) receives from \(from): \(message)"
        case .turn(let node, _): "node \(node) ends its turn"
        case .timer(let node, _, _): "node \(node) reaches a deadline"
        case .syncDone(let node, _): "node \(node) has synced its log"
        case .lookForRoom(let node, _): "node \(node) looks for room on its disk"
        case .snapshotTask(_, let node, _): "node \(node) works on a snapshot"
        case .peerStopped(let node, let about): "node \(node) learns that \(about) is dead"
        case .peerConnected(let node, let about): "node \(node) connects to \(about)"
        case .peerDisconnected(let node, let about): "node \(node) loses its connection to \(about)"
        case .call(let node, _, let request): "node \(node) takes request \(request)"
        case .client(let client): "client \(client) goes on"
        case .restart(let node): "node \(node) starts"
        case .faultEnds(let number): "fault \(number) ends"
        case .operate(let node, _, let operation): "node \(node) takes operation \(operation)"
        case .knock(let node, let other): "node \(node) knocks at \(other)"
        }
    }
}

extension RaftMessage.Body {
    /// Short enough for a line of a timeline.
    var text: String {
        switch self {
        case .append(let append):
            "append after \(append.previous), \(append.entries.count) entries"
                + (append.entries.last.map { " to \($0.index)@\($0.term)" } ?? "")
                + ", commit \(append.commitIndex), round \(append.readRound)"
        case .snapshotChunk(let chunk):
            "snapshot \(chunk.metadata.index)@\(chunk.metadata.term) from byte \(chunk.offset), "
                + "\(chunk.bytes.count) bytes\(chunk.isLast ? ", the last" : "")"
        case .propose(let proposals): "propose \(proposals.count)"
        default: "\(self)"
        }
    }
}
