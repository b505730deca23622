import ConsensusTypes
import Synchronization

/// A fault that was injected.
public struct InjectedFault: Hashable, Sendable {
    public let kind: FaultKind
    public let begin: Instant
    /// `nil` while it holds.
    public var end: Instant?
    /// The nodes that it stopped or cut off; what is seen through them says nothing about the others.
    public let nodes: [Int]
}

/// What was injected, and what was drawn and could not be.
final class FaultLog: Sendable {
    private struct State {
        var faults: [InjectedFault] = []
        var skipped: [FaultKind: Int] = [:]
        var violations: [String] = []
    }

    private let state = Mutex(State())

    /// The number to end it by.
    func begin(_ kind: FaultKind, nodes: [Int]) -> Int {
        state.withLock { state in
            state.faults.append(InjectedFault(kind: kind, begin: ChaosClock.now(), nodes: nodes))
            return state.faults.count - 1
        }
    }

    func end(_ number: Int) {
        state.withLock { $0.faults[number].end = ChaosClock.now() }
    }

    func skip(_ kind: FaultKind) {
        state.withLock { $0.skipped[kind, default: 0] += 1 }
    }

    /// Something that must never happen, whatever is injected.
    func violate(_ what: String) {
        state.withLock { state in
            if state.violations.count < 100 { state.violations.append(what) }
        }
    }

    var faults: [InjectedFault] { state.withLock(\.faults) }
    var violations: [String] { state.withLock(\.violations) }

    /// `kill 3, pause 2`, in the order of the kinds.
    var counts: String {
        state.withLock { state in
            let texts = FaultKind.allCases.compactMap { kind -> String? in
                let count = state.faults.count { $0.kind == kind }
                let skipped = state.skipped[kind, default: 0]
                guard count > 0 || skipped > 0 else { return nil }
                return "\(kind) \(count)" + (skipped > 0 ? " (\(skipped) skipped)" : "")
            }
            return texts.isEmpty ? "none" : texts.joined(separator: ", ")
        }
    }
}
