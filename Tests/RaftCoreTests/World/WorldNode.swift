import ConsensusTypes
import RaftCore

/// One member in the world: a core with a disk, a state machine that is only a digest, and its clients.
final class WorldNode {
    struct Pending {
        let command: UInt64
        var id: ProposalID
        var term: Term?
    }

    struct Read {
        let id: ReadID
        /// What was committed anywhere before the read began.
        let floor: LogIndex
    }

    let id: NodeID
    var core: RaftCore
    var disk: WorldDisk
    var writes: [DiskWrite] = []
    var isRunning = true
    /// The core's next deadline as of its last turn.
    var deadline = Instant.zero
    /// How much faster than true time its clock goes, in millionths.
    var drift: Int64 = 0
    /// Until then the process stands still.
    var pausedUntil = Instant.zero

    var appliedIndex: LogIndex
    var digest: UInt64
    /// The snapshot on disk, and the digest in it.
    var snapshotDigest: UInt64
    var session: UInt64
    var lastSequence: UInt64 = 0
    var pending: [Pending] = []
    var reads: [Read] = []
    /// Confirmed reads that wait for their index.
    var confirmed: [(read: Read, index: LogIndex)] = []

    var incoming: (metadata: SnapshotMetadata, bytes: [UInt8])?
    /// A whole snapshot that is being stored.
    var storing: (metadata: SnapshotMetadata, digest: UInt64?, doneAt: Instant)?
    var stored: (metadata: SnapshotMetadata, digest: UInt64)?

    // What must never go back while the node runs.
    var seenTerm = Term.zero
    var seenCommitIndex = LogIndex.zero

    init(id: NodeID, membership: Membership, settings: RaftSettings, seed: UInt64) {
        self.id = id
        disk = WorldDisk(membership: membership)
        session = seed
        core = RaftCore(
            nodeID: id, settings: settings, restored: disk.restored, session: seed, now: .zero, seed: seed)
        appliedIndex = .zero
        digest = 0x4846
        snapshotDigest = digest
    }

    /// What its clock says.
    func clock(_ now: Instant) -> Instant {
        Instant(nanoseconds: UInt64(Int64(now.nanoseconds) + Int64(now.nanoseconds) * drift / 1_000_000))
    }

    /// The first true time at which its clock says so.
    func trueTime(of local: Instant) -> Instant {
        guard drift != 0, local != .distantFuture else { return local }
        let scale = Double(1_000_000) / Double(1_000_000 + drift)
        var time = Instant(nanoseconds: UInt64(Double(local.nanoseconds) * scale)) - .microseconds(2)
        while clock(time) < local { time = time + Interval(nanoseconds: 100) }
        return time
    }

    /// Loses everything but the disk, to which `surviving` of the writes under way still made it.
    func crash(surviving: Int) -> String? {
        isRunning = false
        var problem: String?
        for write in writes.prefix(surviving) {
            problem = problem ?? apply(write)
        }
        writes = []
        pending = []
        reads = []
        confirmed = []
        incoming = nil
        storing = nil
        stored = nil
        return problem ?? disk.problem
    }

    func restart(now trueNow: Instant, settings: RaftSettings, seed: UInt64) {
        session = seed
        lastSequence = 0
        pausedUntil = .zero
        let now = clock(trueNow)
        core = RaftCore(
            nodeID: id, settings: settings, restored: disk.restored, session: seed, now: now, seed: seed)
        isRunning = true
        appliedIndex = disk.snapshot.index
        digest = snapshotDigest
        seenTerm = core.term
        seenCommitIndex = core.commitIndex
    }

    /// Makes the write durable, with the state in the snapshot that it names.
    func apply(_ write: DiskWrite) -> String? {
        if let metadata = write.snapshot, metadata.index >= disk.snapshot.index {
            if let digest = snapshotDigests.first(where: { $0.index == metadata.index })?.digest {
                snapshotDigest = digest
            } else {
                return "the snapshot \(metadata.index) is named but not stored"
            }
        }
        return disk.apply(write)
    }

    /// The snapshots that are stored, whether named by the log or not.
    var snapshotDigests: [(index: LogIndex, digest: UInt64)] = []

    static func snapshotBytes(_ metadata: SnapshotMetadata, digest: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(digest)
        for word in 0..<4 {
            writer.write(metadata.index.rawValue &* 1_000 &+ UInt64(word))
        }
        return writer.bytes
    }

    static func digest(in bytes: [UInt8], of metadata: SnapshotMetadata) -> UInt64? {
        var reader = ByteReader(bytes)
        guard let digest = try? reader.readUInt64(), snapshotBytes(metadata, digest: digest) == bytes else {
            return nil
        }
        return digest
    }
}
