import Synchronization

/// What the writers of ``KilledLeadersTests`` did, and how far they may go.
final class WriteHistory: Sendable {
    struct Acknowledgement: Sendable {
        let pair: Int
        let revision: Int64
        let sentAt: ContinuousClock.Instant
        let receivedAt: ContinuousClock.Instant
    }

    struct State {
        var nextPair = 0
        /// Pairs from this one on are not begun yet, so that there are still some when the next node dies.
        var limit = 0
        var acknowledgements: [Acknowledgement] = []
        var attempts: [Int]
        var lastAt = ContinuousClock.now
        var longestGap = Duration.zero
        var failures: [String: Int] = [:]
    }

    let count: Int
    private let state: Mutex<State>

    init(count: Int) {
        self.count = count
        state = Mutex(State(attempts: Array(repeating: 0, count: count)))
    }

    func with<Result: Sendable>(_ body: (inout sending State) -> sending Result) -> Result {
        state.withLock(body)
    }

    /// The next pair to write; `nil` where there are no more.
    func next() async throws -> Int? {
        while true {
            let answer: Int?? = with { state in
                if state.nextPair == count { return .some(nil) }
                guard state.nextPair < state.limit else { return nil }
                state.nextPair += 1
                return state.nextPair - 1
            }
            if let answer { return answer }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    func begin(_ pair: Int) {
        with { $0.attempts[pair] += 1 }
    }

    func acknowledge(_ pair: Int, revision: Int64, sentAt: ContinuousClock.Instant) {
        let now = ContinuousClock.now
        with { state in
            state.longestGap = max(state.longestGap, now - state.lastAt)
            state.lastAt = now
            state.acknowledgements.append(
                Acknowledgement(pair: pair, revision: revision, sentAt: sentAt, receivedAt: now))
        }
    }

    func fail(_ reason: String) {
        with { $0.failures[reason, default: 0] += 1 }
    }

    var acknowledgedCount: Int { with { $0.acknowledgements.count } }
    var retryCount: Int { with { $0.attempts.reduce(0, +) } - count }

    func allow(_ limit: Int) {
        with { $0.limit = min(limit, count) }
    }

    func reached(_ target: Int) async throws {
        _ = try await waitFor(
            "only \(acknowledgedCount) of \(target) writes are acknowledged; failures: \(with { $0.failures })",
            within: .seconds(60), every: .milliseconds(1)
        ) { acknowledgedCount >= target ? true : nil }
    }
}
