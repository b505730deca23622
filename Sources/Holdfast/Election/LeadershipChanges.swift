import Synchronization

/// The changes of who leads, as one node sees them, beginning with what is the case when the iteration begins.
///
/// A reader that is slow gets the newest state and misses what is outdated, but never a loss between two
/// leaderships of this node: after a ``LeadershipState/leader(_:)`` comes something else before the next one.
/// The sequence ends when the election stops on this node. May be iterated any number of times, at once too.
public struct LeadershipChanges: AsyncSequence, Sendable {
    public typealias Element = LeadershipState
    public typealias Failure = Never

    let board: LeadershipBoard

    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: LeadershipBoard.Reader(board))
    }

    public struct Iterator: AsyncIteratorProtocol {
        let reader: LeadershipBoard.Reader

        public mutating func next() async -> LeadershipState? {
            await reader.next()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> LeadershipState? {
            await reader.next()
        }
    }
}

/// Where the state of leadership is posted, and from where readers take it.
final class LeadershipBoard: Sendable {
    private struct Slot {
        /// What the reader has not taken: at most two states.
        var pending: [LeadershipState]
        var waiting: CheckedContinuation<LeadershipState?, Never>?
    }

    private struct State {
        var current = LeadershipState.unknown
        var hasEnded = false
        var lastReader: UInt64 = 0
        var slots: [UInt64: Slot] = [:]
    }

    private let state = Mutex(State())

    /// What was posted last, unless that was a leadership whose lease has ended meanwhile: whoever posts may be
    /// late.
    var current: LeadershipState {
        let posted = state.withLock { $0.current }
        if let leadership = posted.leadership, !leadership.isCertain { return .unknown }
        return posted
    }

    /// What was posted last.
    var posted: LeadershipState { state.withLock { $0.current } }

    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    var readerCount: Int { state.withLock { $0.slots.count } }

    func post(_ new: LeadershipState) {
        let resumed = state.withLock { state -> [CheckedContinuation<LeadershipState?, Never>] in
            guard !state.hasEnded, state.current != new else { return [] }
            precondition(
                state.current.leadership == nil || new.leadership == nil,
                "a leadership is posted before the loss of the one before it")
            state.current = new
            return state.slots.keys.compactMap { reader in
                if let waiting = state.slots[reader]!.waiting {
                    state.slots[reader]!.waiting = nil
                    return waiting
                }
                state.slots[reader]!.pending = LeadershipBoard.pending(state.slots[reader]!.pending, new)
                return nil
            }
        }
        for continuation in resumed { continuation.resume(returning: new) }
    }

    /// The newest state, and before a leadership the loss of the one that the reader may hold.
    static func pending(_ pending: [LeadershipState], _ new: LeadershipState) -> [LeadershipState] {
        guard new.leadership != nil, let loss = pending.last(where: { $0.leadership == nil }) else {
            return [new]
        }
        return [loss, new]
    }

    /// No further state comes.
    func end() {
        let resumed = state.withLock { state -> [CheckedContinuation<LeadershipState?, Never>] in
            state.hasEnded = true
            return state.slots.keys.compactMap { reader in
                defer { state.slots[reader]!.waiting = nil }
                return state.slots[reader]!.waiting
            }
        }
        for continuation in resumed { continuation.resume(returning: nil) }
    }

    private func subscribe() -> UInt64 {
        state.withLock { state in
            state.lastReader += 1
            state.slots[state.lastReader] = Slot(pending: [state.current])
            return state.lastReader
        }
    }

    private func unsubscribe(_ reader: UInt64) {
        let waiting = state.withLock { $0.slots.removeValue(forKey: reader)?.waiting }
        waiting?.resume(returning: nil)
    }

    private func next(_ reader: UInt64) async -> LeadershipState? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state -> LeadershipState?? in
                    guard var slot = state.slots[reader], !Task.isCancelled else { return .some(nil) }
                    precondition(slot.waiting == nil, "an iterator is used by two tasks at once")
                    if !slot.pending.isEmpty {
                        let first = slot.pending.removeFirst()
                        state.slots[reader] = slot
                        return first
                    }
                    if state.hasEnded { return .some(nil) }
                    slot.waiting = continuation
                    state.slots[reader] = slot
                    return nil
                }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                defer { state.slots[reader]?.waiting = nil }
                return state.slots[reader]?.waiting
            }
            waiting?.resume(returning: nil)
        }
    }

    /// One iteration. The board forgets it when it is released.
    final class Reader: Sendable {
        private let board: LeadershipBoard
        private let number: UInt64

        init(_ board: LeadershipBoard) {
            self.board = board
            number = board.subscribe()
        }

        func next() async -> LeadershipState? {
            await board.next(number)
        }

        deinit {
            board.unsubscribe(number)
        }
    }
}
