import NIOCore
import NIOPosix

/// A group's ``SnapshotFiles`` on the thread that a node has for those of all its groups, so that neither the loop
/// nor the log waits for them.
///
/// Sendable without a lock: `files` is touched by the pool's only thread alone.
final class SnapshotWorker: @unchecked Sendable {
    private let pool: NIOThreadPool
    private let files: SnapshotFiles

    /// - Parameter pool: has one thread, and was started.
    init(files: sending SnapshotFiles, pool: NIOThreadPool) {
        self.files = files
        self.pool = pool
    }

    /// Runs on the worker's thread, in the order of the calls.
    func submit(_ work: @escaping @Sendable (SnapshotFiles) -> Void) {
        pool.submit { [self] state in
            // After the pool was stopped the node is going away, and nobody waits for an answer.
            if state == .active { work(files) }
        }
    }
}
