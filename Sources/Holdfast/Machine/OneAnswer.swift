import Synchronization

/// A continuation that several may resume: the first one counts.
final class OneAnswer<Value: Sendable>: Sendable {
    private enum State {
        case waiting(CheckedContinuation<Value, Never>?)
        case early(Value)
        case done
    }

    private let state = Mutex(State.waiting(nil))

    func give(_ value: Value) {
        let continuation = state.withLock { state -> CheckedContinuation<Value, Never>? in
            guard case .waiting(let continuation) = state else { return nil }
            state = continuation == nil ? .early(value) : .done
            return continuation
        }
        continuation?.resume(returning: value)
    }

    /// Must be called once.
    func wait() async -> Value {
        await withCheckedContinuation { continuation in
            let early = state.withLock { state -> Value? in
                guard case .early(let value) = state else {
                    state = .waiting(continuation)
                    return nil
                }
                state = .done
                return value
            }
            if let early { continuation.resume(returning: early) }
        }
    }
}
