import ConsensusTypes
import Synchronization

/// Injects the faults of a schedule. What stops nodes never stops more than a minority of them at the same time,
/// unless it is meant to stop all.
final class FaultRunner: Sendable {
    private struct State {
        /// Nodes with a fault that another one of its sort would disturb.
        var claimed: Set<Int> = []
        var hasAll = false
    }

    private let target: any FaultTarget
    private let context: FaultContext
    private let report: @Sendable (String) -> Void
    private let state = Mutex(State())

    init(target: any FaultTarget, context: FaultContext, report: @escaping @Sendable (String) -> Void) {
        self.target = target
        self.context = context
        self.report = report
    }

    /// Returns when the run is over or the schedule's next fault would begin after the end, and all faults are
    /// healed.
    func run(_ schedule: FaultSchedule) async throws(ChaosFailure) {
        let begin = ChaosClock.now()
        let failure = FirstFailure()
        await withTaskGroup(of: Void.self) { group in
            var schedule = schedule
            while true {
                let fault = schedule.next()
                guard begin + .milliseconds(fault.startMilliseconds) < context.deadline,
                    await context.control.sleep(until: begin + .milliseconds(fault.startMilliseconds)),
                    failure.value == nil
                else { break }
                group.addTask {
                    do throws(ChaosFailure) {
                        try await self.inject(fault)
                    } catch {
                        failure.note(error)
                    }
                }
            }
        }
        if let failure = failure.value { throw failure }
    }

    private func inject(_ fault: ScheduledFault) async throws(ChaosFailure) {
        let node: Int
        switch fault.target {
        case .node(let index): node = index
        // Where nobody leads, as the fault before has not been got over, one is as good as another.
        case .leader: node = await target.leader() ?? fault.number % target.nodeCount
        }
        guard claim(fault, node) else {
            context.log.skip(fault.kind)
            return
        }
        defer { release(fault, node) }
        try await target.inject(fault, at: node, context: context)
    }

    private func claim(_ fault: ScheduledFault, _ node: Int) -> Bool {
        state.withLock { state in
            guard !state.hasAll else { return false }
            if fault.kind == .killAll {
                guard state.claimed.isEmpty else { return false }
                state.hasAll = true
                return true
            }
            let isOfProcess = fault.kind.stopsNode || fault.kind == .slowDisk || fault.kind == .diskFull
            guard isOfProcess else { return true }
            guard !state.claimed.contains(node), state.claimed.count < (target.nodeCount - 1) / 2 else {
                return false
            }
            state.claimed.insert(node)
            return true
        }
    }

    private func release(_ fault: ScheduledFault, _ node: Int) {
        state.withLock { state in
            if fault.kind == .killAll {
                state.hasAll = false
            } else if fault.kind.stopsNode || fault.kind == .slowDisk || fault.kind == .diskFull {
                state.claimed.remove(node)
            }
        }
    }

    /// Notices, while the run lasts, nodes that end by themselves.
    func watchOver() async throws(ChaosFailure) {
        while await context.control.sleep(milliseconds: 200) {
            for fallen in try await target.restartFallen() {
                context.log.violate("a node ended by itself: \(fallen)")
                report("VIOLATION: a node ended by itself: \(fallen)")
            }
        }
    }
}
