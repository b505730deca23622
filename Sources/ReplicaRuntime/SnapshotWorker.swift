import ConsensusTypes
import NIOCore
import NIOPosix
import RaftCore
import WriteAheadLog

/// Reads and writes snapshot files on a thread of its own, so that neither the loop nor the log waits.
///
/// Sendable without a lock: `reading` and `receiving` are touched by the pool's only thread alone, and the
/// rest never changes.
final class SnapshotWorker: @unchecked Sendable {
    /// How much is asked of a snapshot's source at a time.
    private static let chunkSizeBytes = 256 << 10

    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let store: SnapshotStore
    private let group: GroupID
    private var reading: SnapshotFile?
    private var receiving: SnapshotWriter?

    init(store: SnapshotStore, group: GroupID) {
        self.store = store
        self.group = group
        pool.start()
    }

    /// Finishes what was asked for and ends the thread.
    func stop() async throws {
        try await pool.shutdownGracefully()
    }

    /// Writes a snapshot of this node's own; `completion` is called on the worker's thread, with `nil` when
    /// the snapshot is durable.
    func write(
        _ metadata: SnapshotMetadata, source: any SnapshotSource,
        completion: @escaping @Sendable (SnapshotError?) -> Void
    ) {
        submit { worker in
            var source = source
            do throws(SnapshotError) {
                let writer = try worker.store.begin(worker.group, metadata)
                while let chunk = source.nextChunk(maximumSizeBytes: SnapshotWorker.chunkSizeBytes) {
                    try writer.append(chunk)
                }
                try writer.finish()
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    /// Reads a part of a snapshot: of the one that is asked for, or of the newest.
    func read(
        _ request: SnapshotRead,
        completion: @escaping @Sendable (Result<SnapshotChunk, SnapshotError>) -> Void
    ) {
        submit { worker in
            do throws(SnapshotError) {
                completion(.success(try worker.readChunk(request)))
            } catch {
                completion(.failure(error))
            }
        }
    }

    private func readChunk(_ request: SnapshotRead) throws(SnapshotError) -> SnapshotChunk {
        let file: SnapshotFile
        if let metadata = request.metadata {
            // The file stays open across chunks, so that it can be read on after a newer one replaced it.
            if let open = reading, open.metadata == metadata {
                file = open
            } else {
                file = try store.open(group, metadata)
            }
        } else {
            guard let latest = try store.latest(group) else { throw .missing(file: store.directory) }
            file = latest
        }
        reading = file
        let bytes = try file.read(at: request.offset, maximum: request.maximumSizeBytes)
        let isLast = request.offset + UInt64(bytes.count) >= file.sizeBytes
        if isLast { reading = nil }
        return SnapshotChunk(
            metadata: file.metadata, offset: request.offset, bytes: bytes, isLast: isLast, sentAt: .zero)
    }

    /// Adds a chunk from a leader. `completion` is called once the whole is durable and `restorer` has built
    /// its state, or with the first error.
    func receive(
        _ chunk: SnapshotChunk, restorer: any SnapshotRestorer,
        completion: @escaping @Sendable (Result<SnapshotMetadata, ReceiveError>) -> Void
    ) {
        submit { worker in
            do throws(ReceiveError) {
                if try worker.add(chunk, restorer) { completion(.success(chunk.metadata)) }
            } catch {
                worker.receiving?.abandon()
                worker.receiving = nil
                completion(.failure(error))
            }
        }
    }

    /// Why a snapshot from a leader could not be taken.
    enum ReceiveError: Error {
        case storing(SnapshotError)
        case decoding(ByteDecodingError)
        /// An earlier chunk failed.
        case abandoned
    }

    private func add(_ chunk: SnapshotChunk, _ restorer: any SnapshotRestorer) throws(ReceiveError) -> Bool {
        if chunk.offset == 0 {
            receiving?.abandon()
            receiving = try storing { () throws(SnapshotError) in try store.begin(group, chunk.metadata) }
        }
        guard let writer = receiving, writer.metadata == chunk.metadata else { throw .abandoned }
        try storing { () throws(SnapshotError) in try writer.append(chunk.bytes) }
        try decoding { () throws(ByteDecodingError) in try restorer.receive(chunk.bytes) }
        guard chunk.isLast else { return false }
        receiving = nil
        try decoding { () throws(ByteDecodingError) in try restorer.finish() }
        try storing { () throws(SnapshotError) in try writer.finish() }
        return true
    }

    private func storing<Value>(_ body: () throws(SnapshotError) -> Value) throws(ReceiveError) -> Value {
        do throws(SnapshotError) { return try body() } catch { throw .storing(error) }
    }

    private func decoding(_ body: () throws(ByteDecodingError) -> Void) throws(ReceiveError) {
        do throws(ByteDecodingError) { try body() } catch { throw .decoding(error) }
    }

    func removeObsolete(before index: LogIndex, completion: @escaping @Sendable (SnapshotError?) -> Void) {
        submit { worker in
            do throws(SnapshotError) {
                try worker.store.removeObsolete(worker.group, before: index)
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    private func submit(_ work: @escaping @Sendable (SnapshotWorker) -> Void) {
        pool.submit { [self] state in
            // After the pool was stopped the node is going away, and nobody waits for an answer.
            if state == .active { work(self) }
        }
    }
}
