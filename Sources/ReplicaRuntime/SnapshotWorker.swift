import ConsensusTypes
import NIOCore
import NIOPosix
import RaftCore
import WriteAheadLog

/// Reads and writes snapshot files on a thread of its own, so that neither the loop nor the log waits.
///
/// Sendable without a lock: everything below `store` is touched by the pool's only thread alone.
final class SnapshotWorker: @unchecked Sendable {
    /// What a snapshot's reader asks for at a time while it is stored.
    private static let chunkSizeBytes = 256 << 10

    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let store: SnapshotStore
    private let group: GroupID
    private var reading: SnapshotFile?
    private var receiving: (metadata: SnapshotMetadata, writer: SnapshotWriter, sizeBytes: UInt64)?

    init(store: SnapshotStore, group: GroupID) {
        self.store = store
        self.group = group
        pool.start()
    }

    func stop() async throws {
        try await pool.shutdownGracefully()
    }

    /// Writes a snapshot; `completion` comes on the worker's thread, with `nil` where it is durable.
    func write(
        _ metadata: SnapshotMetadata, source: any SnapshotSource,
        completion: @escaping @Sendable (SnapshotError?) -> Void
    ) {
        pool.submit { [self] _ in
            var source = source
            do throws(SnapshotError) {
                let writer = try store.begin(group: group, metadata: metadata)
                while let chunk = source.nextChunk(maximumSizeBytes: SnapshotWorker.chunkSizeBytes) {
                    try writer.append(ByteSlice(chunk))
                }
                try writer.finish()
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }
}
