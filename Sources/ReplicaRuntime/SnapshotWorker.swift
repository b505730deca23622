import NIOCore
import NIOPosix

/// A thread for ``SnapshotFiles``, so that neither the loop nor the log waits for them.
///
/// Sendable without a lock: `files` is touched by the pool's only thread alone.
final class SnapshotWorker: @unchecked Sendable {
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let files: SnapshotFiles

    init(files: sending SnapshotFiles) {
        self.files = files
        pool.start()
    }

    /// Runs on the worker's thread, in the order of the calls.
    func submit(_ work: @escaping @Sendable (SnapshotFiles) -> Void) {
        pool.submit { [self] state in
            // After the pool was stopped the node is going away, and nobody waits for an answer.
            if state == .active { work(files) }
        }
    }

    /// Finishes what was asked for and ends the thread.
    func stop() async throws {
        try await pool.shutdownGracefully()
    }
}
