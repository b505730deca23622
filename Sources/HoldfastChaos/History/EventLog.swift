import ConsensusTypes
import Synchronization

/// What several watches of the same keys tell. The first one that is told a change adds it; all others must be
/// told the same, in the same order, without a gap or a repeat.
final class EventLog: Sendable {
    struct Entry: Sendable {
        let event: HistoryEvent
        /// When the first watch was told.
        let seenAt: Instant
    }

    private struct State {
        var entries: [Entry] = []
        var violations: [String] = []
    }

    private let state = Mutex(State())

    /// A watch was told a change as its next one; `position` counts the changes that it was told before.
    /// False where it differs from what another watch was told.
    @discardableResult
    func take(_ event: HistoryEvent, position: Int, from watcher: String) -> Bool {
        let now = ChaosClock.now()
        return state.withLock { state in
            if position < state.entries.count {
                let known = state.entries[position].event
                if known == event { return true }
                Self.violate(
                    &state,
                    "\(watcher) was told \(Self.text(event)) where another was told \(Self.text(known))")
                return false
            }
            if let last = state.entries.last?.event, event.revision < last.revision {
                Self.violate(&state, "\(watcher) was told \(Self.text(event)) after \(Self.text(last))")
                return false
            }
            state.entries.append(Entry(event: event, seenAt: now))
            return true
        }
    }

    func violate(_ what: String) {
        state.withLock { Self.violate(&$0, what) }
    }

    private static func violate(_ state: inout State, _ what: String) {
        if state.violations.count < 50 { state.violations.append("watch: \(what)") }
    }

    private static func text(_ event: HistoryEvent) -> String {
        "\(event.key) = \(event.value ?? "nothing") at revision \(event.revision)"
    }

    var count: Int { state.withLock { $0.entries.count } }
    var entries: [Entry] { state.withLock(\.entries) }
    var violations: [String] { state.withLock(\.violations) }
}
