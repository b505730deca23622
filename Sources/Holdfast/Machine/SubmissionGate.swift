import ConsensusTypes
import Synchronization

/// Lets a node's callers submit in the order of their coming, as many at once as the session allows, and finds
/// who opens the session where there is none.
final class SubmissionGate: Sendable {
    /// A place in a session.
    struct Ticket: Hashable, Sendable {
        let session: SessionNumber
        let sequence: UInt64
    }

    enum Entry: Hashable {
        case ticket(Ticket)
        /// There is no session: this caller opens one, and says ``opened(_:)`` or ``openingFailed()``.
        case mustOpen
        /// See ``wait(isFirst:register:)``.
        case wait
        case overloaded
    }

    enum Wake: Hashable, Sendable {
        case tryAgain
        case timeout
        case cancelled
        case stopped
    }

    private struct Waiter {
        let number: UInt64
        let continuation: CheckedContinuation<Wake, Never>
    }

    private struct State {
        var window: SubmissionWindow?
        var isOpening = false
        var waiters: [Waiter] = []
        var lastWaiter: UInt64 = 0
        var isStopped = false
    }

    private let limit: Int
    private let maximumWaiters: Int
    private let state = Mutex(State())

    init(limit: Int, maximumWaiters: Int) {
        self.limit = limit
        self.maximumWaiters = maximumWaiters
    }

    var hasSession: Bool { state.withLock { $0.window != nil } }

    var outstandingCount: Int { state.withLock { $0.window?.outstandingCount ?? 0 } }

    var waiterCount: Int { state.withLock { $0.waiters.count } }

    /// - Parameter wasWoken: whether the caller has waited in the line: others may have come meanwhile.
    func enter(wasWoken: Bool) -> Entry {
        state.withLock { state in
            if wasWoken || state.waiters.isEmpty {
                if let sequence = state.window?.begin() {
                    return .ticket(Ticket(session: state.window!.session, sequence: sequence))
                }
                if state.window == nil, !state.isOpening {
                    state.isOpening = true
                    return .mustOpen
                }
            }
            return wasWoken || state.waiters.count < maximumWaiters ? .wait : .overloaded
        }
    }

    /// Waits in the line until it is worth while to ``enter(wasWoken:)`` again.
    ///
    /// - Parameters:
    ///   - isFirst: whether the caller had been at the front already.
    ///   - register: given the waiter's number, for ``wake(_:_:)``.
    func wait(isFirst: Bool, register: (UInt64) -> Void) async -> Wake {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        register(number)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now: Wake? = state.withLock { state in
                    if state.isStopped { return .stopped }
                    if Task.isCancelled { return .cancelled }
                    // Something may have become free between the look and the line.
                    if state.waiters.isEmpty || isFirst {
                        if let window = state.window, window.room > 0 { return .tryAgain }
                        if state.window == nil, !state.isOpening { return .tryAgain }
                    }
                    let waiter = Waiter(number: number, continuation: continuation)
                    if isFirst { state.waiters.insert(waiter, at: 0) } else { state.waiters.append(waiter) }
                    return nil
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            wake(number, .cancelled)
        }
    }

    func wake(_ number: UInt64, _ wake: Wake) {
        let waiter = state.withLock { state -> Waiter? in
            guard let position = state.waiters.firstIndex(where: { $0.number == number }) else { return nil }
            return state.waiters.remove(at: position)
        }
        waiter?.continuation.resume(returning: wake)
        // It may have been woken, and its place go to the next.
        if waiter == nil { wakeNext() }
    }

    // MARK: Sessions

    func opened(_ session: SessionNumber) {
        state.withLock { state in
            state.isOpening = false
            state.window = SubmissionWindow(session: session, limit: limit)
        }
        wakeNext()
    }

    func openingFailed() {
        state.withLock { $0.isOpening = false }
        wakeNext()
    }

    /// The cluster knows the session no more: the next caller opens another.
    func expired(_ session: SessionNumber) {
        state.withLock { state in
            if state.window?.session == session { state.window = nil }
        }
        wakeNext()
    }

    /// What commands of this session tell the cluster to forget; zero where it is another by now.
    func acknowledgedThrough(_ ticket: Ticket) -> UInt64 {
        state.withLock { state in
            state.window?.session == ticket.session ? state.window!.acknowledgedThrough : 0
        }
    }

    func end(_ ticket: Ticket) {
        state.withLock { state in
            if state.window?.session == ticket.session { state.window?.end(ticket.sequence) }
        }
        wakeNext()
    }

    /// Wakes as many as there is room for.
    private func wakeNext() {
        let woken = state.withLock { state -> [Waiter] in
            let count = state.window?.room ?? (state.isOpening ? 0 : 1)
            let woken = state.waiters.prefix(max(count, 0))
            state.waiters.removeFirst(woken.count)
            return Array(woken)
        }
        for waiter in woken { waiter.continuation.resume(returning: .tryAgain) }
    }

    /// Nobody can submit any more.
    func stop() {
        let waiters = state.withLock { state in
            state.isStopped = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: .stopped) }
    }
}
