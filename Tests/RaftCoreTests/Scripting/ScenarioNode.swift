import ConsensusTypes
import RaftCore

/// One member in a transcript.
struct ScenarioNode {
    let id: NodeID
    var core: RaftCore
    var disk: WorldDisk
    var writes: [DiskWrite] = []
    /// Writes wait for the command `persist`.
    var isDiskManual = false
    /// Received snapshots wait for the command `store`.
    var isStoringManual = false
    var isRunning = true
    /// The process stands still: what arrives for it waits, and so do its deadlines.
    var isPaused = false
    var applied = LogIndex.zero
    /// Distinguishes the starts of the process.
    var starts: UInt64 = 1
    var incomingBytes: [UInt8] = []
    var storing: SnapshotMetadata?

    init(id: NodeID, disk: WorldDisk, settings: RaftSettings, now: Instant) {
        self.id = id
        self.disk = disk
        core = RaftCore(
            nodeID: id, settings: settings, restored: disk.restored, session: id.rawValue * 100, now: now,
            seed: id.rawValue)
        applied = disk.snapshot.index
    }

    mutating func restart(settings: RaftSettings, now: Instant) {
        starts += 1
        core = RaftCore(
            nodeID: id, settings: settings, restored: disk.restored,
            session: id.rawValue * 100 + starts, now: now, seed: id.rawValue + starts * 1_000)
        applied = disk.snapshot.index
        isRunning = true
        isPaused = false
    }

    mutating func crash() {
        isRunning = false
        writes = []
        incomingBytes = []
        storing = nil
    }
}

/// A link in one direction.
struct Link: Hashable {
    let from: NodeID
    let to: NodeID
}

struct ScenarioError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
