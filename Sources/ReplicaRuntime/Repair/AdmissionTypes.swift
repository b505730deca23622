import ConsensusTypes
import RaftCore
import WriteAheadLog

/// What a node knows of its own past when it starts.
public enum AdmissionStart: Hashable, Sendable {
    /// It was admitted before and all of its state is intact.
    case certain
    /// Nothing in its directory, which was never admitted.
    case fresh
    /// Admitted, and a part of its state is damaged.
    case damaged(SalvagedState)
    /// Its directory must be adopted: it was put back to an older state, or an adoption did not finish.
    case outdated(SalvagedState)
    /// An operator says that it is to take part with what it has.
    case forced
}

/// How a node came to be admitted, and what is to be done before it takes part.
public enum AdmissionOutcome: Hashable, Sendable {
    /// Its directory is marked as admitted.
    case firstStart
    /// Its log is written anew. After an adoption (`adoptedAt` is where the leader's entry stands) its own
    /// record says so, and its directory is marked as admitted: in this order.
    case restored(RecoveredGroup, adoptedAt: LogIndex?)
}

/// What a ``NodeAdmission`` asks of its owner.
public enum AdmissionEffect: Hashable, Sendable {
    case send(RepairMessage, to: NodeID)
    /// Make the record durable, then call ``NodeAdmission/remembered(_:now:)``.
    case remember(MemberRecord)
    /// Read a part of a stored snapshot for a peer, then call ``NodeAdmission/snapshotRead(_:chunk:now:)``.
    case readSnapshot(SnapshotRead)
    /// Add a chunk of a peer's snapshot (one at offset zero begins anew), then call
    /// ``NodeAdmission/chunkStored(_:outcome:now:)``.
    case storeChunk(SnapshotChunk)
    /// Messages of the protocol from this peer count from now on; what was kept of it can be handed on.
    case accepted(NodeID)
    /// Carry the outcome out, start the core, and call ``NodeAdmission/takesPart(from:now:)``.
    case admitted(AdmissionOutcome)
    /// Peers remember a later start of this node. It must stop at once; when it is started again it will be
    /// adopted. That it must be is durable already.
    case restart(reason: String)
    /// The node must end: another process runs with the same directory, or a copy of it.
    case stop(reason: String)
    /// For people.
    case report(String, isWarning: Bool)
}

/// What became of a chunk.
public enum ChunkOutcome: Hashable, Sendable {
    case stored
    /// It was the last one: the whole is checked and durable.
    case whole
    case failed
}

/// Whether messages of the protocol from a peer count.
public enum PeerStanding: Hashable, Sendable {
    /// It has not introduced itself, or takes no part.
    case apart
    /// They will count when its record is durable: keep them until ``AdmissionEffect/accepted(_:)``.
    case beingRemembered
    case accepted
}

/// Times and bounds of an admission.
public struct AdmissionSettings: Hashable, Sendable {
    /// A peer that does not answer for this long is asked later again, after the others.
    public var requestTimeoutMilliseconds = 3_000
    /// How long to wait before all peers are asked again, and a leader for adoption.
    public var retryMilliseconds = 500
    /// How often a node that waits says what it lacks.
    public var reportMilliseconds = 3_000
    /// The most entries' bytes in an answer; one larger entry still goes, alone.
    public var maximumEntriesSizeBytes = 1 << 20
    public var snapshotChunkSizeBytes = 256 << 10
    /// After so much time without progress a position that a leader named is given up for a new one.
    public var adoptionPatienceMilliseconds = 10_000

    public init() {}
}

/// The start counts by which peers tell an older state of a node from a newer one.
///
/// An adoption starts a new life, whose starts all count more than those of every life before it: the entry
/// that the leader appended for it stands behind those of earlier adoptions.
public enum NodeLife {
    static let startsBits: UInt64 = 20

    /// - Parameters:
    ///   - base: what the node's own record says: ``base(adoptedAt:)``, or zero.
    ///   - count: how often the directory was opened.
    public static func startCount(base: UInt64, count: UInt64) -> UInt64 {
        base + count
    }

    public static func base(adoptedAt index: LogIndex) -> UInt64 {
        index.rawValue << startsBits
    }

    /// A node's record of itself says from which adoption its life dates, and whether it must be adopted
    /// again before it takes part.
    public static func ownRecord(
        _ node: NodeID, _ directory: DirectoryID, base: UInt64, mustBeAdopted: Bool
    ) -> MemberRecord {
        MemberRecord(
            node: node, directory: directory, startCount: base, incarnation: mustBeAdopted ? 1 : 0)
    }

    /// What a node's record of itself says of this directory.
    public static func read(
        _ record: MemberRecord?, directory: DirectoryID
    ) -> (base: UInt64, mustBeAdopted: Bool) {
        guard let record, record.directory == directory else { return (0, false) }
        return (record.startCount, record.incarnation == 1)
    }
}
