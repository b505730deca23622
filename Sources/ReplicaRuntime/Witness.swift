import ConsensusTypes
import RaftCore

extension Replica {
    /// Whether this member keeps no data: nothing is applied to its machine, whose state means nothing.
    public var isWitness: Bool { core.isWitness }

    func reportIfMisplaced() {
        guard core.isMisplaced else { return }
        environment.report(
            "this node has the log of a witness, and is now a member that is to have data: it takes no part; "
                + "stop it, empty its data directory, and start it again")
    }
}

/// The snapshot of a witness: it has no contents.
struct WithheldSnapshotSource: SnapshotSource {
    mutating func nextChunk(maximumSizeBytes: Int) -> [UInt8]? { nil }
}

/// Takes the snapshot of a witness, and no bytes of a state.
final class WithheldSnapshotRestorer: SnapshotRestorer {
    func receive(_ bytes: ByteSlice) throws(ByteDecodingError) {
        guard bytes.isEmpty else {
            throw ByteDecodingError(offset: 0, reason: "a snapshot without data has \(bytes.count) bytes")
        }
    }

    func finish() throws(ByteDecodingError) {}
}

extension SnapshotMetadata {
    /// What takes this snapshot: the machine's own restorer, or one for a witness.
    package func restorer(_ make: () -> any SnapshotRestorer) -> any SnapshotRestorer {
        isWithheld ? WithheldSnapshotRestorer() : make()
    }
}
