import ConsensusTypes
import KeyValueCore
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// A cluster of production nodes in one thread, on a simulated network, disk and clock, under faults.
///
/// Everything follows from the seed: the same settings give the same run, event by event.
public enum Simulation {
    public static func run(_ settings: SimulationSettings) -> SimulationOutcome {
        let run = SimulationRun(settings)
        var failure: SimulationFailure?
        do throws(SimulationFailure) {
            try run.run()
        } catch {
            failure = error
        }
        return run.outcome(failure)
    }
}

/// What is to happen in a run.
enum SimulationEvent {
    case deliver(to: Int, SimulatedMessage)
    case turn(Int, session: UInt64)
    case timer(Int, session: UInt64)
    case syncDone(Int, session: UInt64)
    case snapshotTask(SnapshotTask, Int, session: UInt64)
    case peerStopped(Int, about: Int)
    case peerConnected(Int, about: Int)
    case client(Int)
    case restart(Int)
    case crash
    case partition
    case heal

    /// The kind, the node and what else tells two events apart in the trace.
    var trace: (UInt64, UInt64) {
        switch self {
        case .deliver(let to, .raft(let message)): (1, UInt64(to) << 32 | message.term.rawValue)
        case .deliver(let to, .aside): (2, UInt64(to))
        case .turn(let node, _): (3, UInt64(node))
        case .timer(let node, _): (4, UInt64(node))
        case .syncDone(let node, _): (5, UInt64(node))
        case .snapshotTask(_, let node, _): (6, UInt64(node))
        case .peerStopped(let node, let about): (7, UInt64(node * 8 + about))
        case .peerConnected(let node, let about): (8, UInt64(node * 8 + about))
        case .client(let client): (9, UInt64(client))
        case .restart(let node): (10, UInt64(node))
        case .crash: (11, 0)
        case .partition: (12, 0)
        case .heal: (13, 0)
        }
    }

    var text: String {
        switch self {
        case .deliver(let to, .raft(let message)):
            "node \(to) receives from \(message.from.rawValue - 1), term \(message.term): \(message.body)"
        case .deliver(let to, .aside(let from, _, _)):
            "node \(to) receives an aside from \(from.rawValue - 1)"
        case .turn(let node, _): "node \(node) ends its turn"
        case .timer(let node, _): "node \(node) reaches a deadline"
        case .syncDone(let node, _): "node \(node) has synced its log"
        case .snapshotTask(_, let node, _): "node \(node) works on a snapshot"
        case .peerStopped(let node, let about): "node \(node) learns that \(about) is dead"
        case .peerConnected(let node, let about): "node \(node) connects to \(about)"
        case .client(let client): "client \(client) goes on"
        case .restart(let node): "node \(node) starts"
        case .crash: "a crash"
        case .partition: "a partition"
        case .heal: "all links work"
        }
    }
}
