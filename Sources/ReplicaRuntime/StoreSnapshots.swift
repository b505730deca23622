import ConsensusTypes
import KeyValueCore

/// The key-value state as a ``SnapshotSource``.
struct StoreSnapshotSource: SnapshotSource {
    var writer: KeyValueCore.SnapshotWriter

    mutating func nextChunk(maximumSizeBytes: Int) -> [UInt8]? {
        writer.nextChunk(maximumSizeBytes: maximumSizeBytes)
    }
}

/// Builds a ``KeyValueStore`` from a snapshot's bytes.
///
/// Sendable without a lock: it is used by one thread at a time. The thread that stores snapshots calls
/// `receive` and `finish`, hands the object to the replica's loop by scheduling a task there, which orders
/// the accesses, and never touches it again.
public final class StoreSnapshotRestorer: SnapshotRestorer, @unchecked Sendable {
    private var reader = SnapshotReader()
    private var store: KeyValueStore?

    public init() {}

    public func receive(_ bytes: ByteSlice) throws(ByteDecodingError) {
        try reader.receive(bytes)
    }

    public func finish() throws(ByteDecodingError) {
        store = try reader.finish()
    }

    /// The finished state; `nil` before ``finish()`` and after it was taken.
    public func takeStore() -> KeyValueStore? {
        defer { store = nil }
        return store
    }
}
