import Synchronization

/// Gathers what the clients of a run do.
final class OperationRecorder: Sendable {
    struct Counts: Hashable, Sendable {
        var acknowledged = 0
        var failed = 0
        var unknown = 0
    }

    private struct State {
        var records: [HistoryRecord] = []
        var counts = Counts()
    }

    private let state = Mutex(State())

    func add(_ record: HistoryRecord) {
        state.withLock { state in
            switch record.outcome {
            case .acknowledged: state.counts.acknowledged += 1
            case .refused: state.counts.failed += 1
            case .unknown: state.counts.unknown += 1
            }
            state.records.append(record)
        }
    }

    /// An operation that says nothing: a read without an answer, or a request that was never sent.
    func addFailure() {
        state.withLock { $0.counts.failed += 1 }
    }

    var counts: Counts { state.withLock(\.counts) }
    var records: [HistoryRecord] { state.withLock(\.records) }
}
