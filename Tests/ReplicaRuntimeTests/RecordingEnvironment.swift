import ConsensusTypes
import RaftCore
import WriteAheadLog

@testable import ReplicaRuntime

/// Keeps what a replica asks for, and answers nothing by itself.
final class RecordingEnvironment: ReplicaEnvironment {
    private(set) var sent: [RaftMessage] = []
    private(set) var writes: [(sequence: UInt64, write: LogWrite)] = []
    private(set) var begunSnapshots: [SnapshotMetadata] = []
    private(set) var released: [SnapshotMetadata] = []
    private(set) var restorers: [any SnapshotRestorer] = []

    var suspendedTime = Interval.zero

    func send(_ message: RaftMessage) { sent.append(message) }
    func sendAside(_ bytes: [UInt8], to peer: NodeID) {}
    func persist(_ write: LogWrite, sequence: UInt64) { writes.append((sequence, write)) }
    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {
        begunSnapshots.append(metadata)
    }
    func releaseLog(through metadata: SnapshotMetadata) { released.append(metadata) }
    func readSnapshot(_ read: SnapshotRead) {}
    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {
        restorers.append(restorer)
    }
    func scheduleTurn() {}

    /// The snapshots that the log was told to start after, in order.
    var markers: [SnapshotMetadata] { writes.compactMap(\.write.snapshot) }
}

/// A machine without a state.
final class IdleMachine: ReplicaMachine {
    private struct Source: SnapshotSource {
        mutating func nextChunk(maximumSizeBytes: Int) -> [UInt8]? { nil }
    }

    private final class Restorer: SnapshotRestorer {
        func receive(_ bytes: ByteSlice) throws(ByteDecodingError) {}
        func finish() throws(ByteDecodingError) {}
    }

    func apply(_ entries: [Entry], now: Instant) {}
    func makeSnapshotSource() -> any SnapshotSource { Source() }
    func makeSnapshotRestorer() -> any SnapshotRestorer { Restorer() }
    func restore(from restorer: any SnapshotRestorer, metadata: SnapshotMetadata, now: Instant) {}
    func leadershipChanged(_ leadership: Leadership, now: Instant) {}
    func readReady(_ id: ReadID, now: Instant) {}
    func readFailed(_ id: ReadID, now: Instant) {}
    func proposalRejected(_ id: ProposalID, reason: ProposalRejection, now: Instant) {}
    func receive(_ bytes: ByteSlice, from peer: NodeID, now: Instant) {}
    func peerConnected(_ peer: NodeID, now: Instant) {}
    func turnEnded(now: Instant) {}
    var nextDeadline: Instant { .distantFuture }
    func advance(now: Instant) {}
}
