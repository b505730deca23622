import ConsensusTypes
import Synchronization

/// Tells every task of a run to come to its end. Tasks are not cancelled: what they have begun they clean up.
public final class RunControl: Sendable {
    private let ending = Atomic(false)

    public init() {}

    public var isEnding: Bool { ending.load(ordering: .acquiring) }

    public func end() {
        ending.store(true, ordering: .releasing)
    }

    /// False where the run came to its end meanwhile.
    @discardableResult
    func sleep(milliseconds: Int) async -> Bool {
        await sleep(until: ChaosClock.now() + .milliseconds(milliseconds))
    }

    @discardableResult
    func sleep(until deadline: Instant) async -> Bool {
        while !isEnding {
            let left = (deadline - ChaosClock.now()).nanoseconds
            if left == 0 { return true }
            try? await Task.sleep(nanoseconds: min(left, 50_000_000))
        }
        return false
    }
}

/// Sleeps whether or not the run is ending.
func pause(milliseconds: Int) async {
    try? await Task.sleep(nanoseconds: UInt64(milliseconds) * 1_000_000)
}

/// Asks again and again; `nil` where the time is over.
func poll<Answer: Sendable>(
    forMilliseconds limit: Int, everyMilliseconds interval: Int = 50,
    _ ask: () async throws -> Answer?
) async rethrows -> Answer? {
    let deadline = ChaosClock.now() + .milliseconds(limit)
    while true {
        if let answer = try await ask() { return answer }
        guard ChaosClock.now() < deadline else { return nil }
        await pause(milliseconds: interval)
    }
}
