import Synchronization

/// The first of the failures of several tasks.
final class FirstFailure: Sendable {
    private let stored = Mutex<ChaosFailure?>(nil)

    var value: ChaosFailure? { stored.withLock { $0 } }

    func note(_ failure: ChaosFailure) {
        stored.withLock { $0 = $0 ?? failure }
    }
}
