import ConsensusTypes
import Synchronization

/// The time in which faults are injected, and what follows it.
struct RunSession: Sendable {
    let workload: Workload
    let runner: FaultRunner
    let context: FaultContext
    /// Whether nobody else writes to the cluster.
    let isAlone: Bool
    let historyPath: String?
    /// Where the history goes of a run in which something was violated, where nobody asked for it.
    var fallbackHistoryPath: String?
    let report: @Sendable (String) -> Void

    /// - Parameter waitUntilHealthy: throws where the cluster does not get well when everything is healed.
    func run(
        _ schedule: FaultSchedule, waitUntilHealthy: @Sendable () async throws(ChaosFailure) -> Void
    ) async throws(ChaosFailure) -> ChaosVerdict {
        let clients = Task { await workload.runClients() }
        let watches = Task { await workload.runWatches() }
        let progress = Task { await reportProgress() }
        let fallen = Task { () async -> ChaosFailure? in
            do throws(ChaosFailure) {
                try await runner.watchOver()
                return nil
            } catch {
                return error
            }
        }
        var failure: ChaosFailure?
        do throws(ChaosFailure) {
            try await runner.run(schedule)
            await context.control.sleep(until: context.deadline)
        } catch {
            failure = error
        }
        let wasInterrupted = context.control.isEnding
        // How the cluster gets over the last fault is to be seen too.
        if failure == nil && !wasInterrupted { await pause(milliseconds: 2_000) }
        context.control.end()
        if let error = await fallen.value { failure = failure ?? error }
        workload.control.end()
        await clients.value
        progress.cancel()
        if let failure {
            workload.watchControl.end()
            await watches.value
            throw failure
        }
        report(
            wasInterrupted ? "interrupted; everything is healed, checking" : "everything is healed, checking")
        return try await judge(watches, waitUntilHealthy)
    }

    private func judge(
        _ watches: Task<Void, Never>, _ waitUntilHealthy: @Sendable () async throws(ChaosFailure) -> Void
    ) async throws(ChaosFailure) -> ChaosVerdict {
        var violations = context.log.violations
        do throws(ChaosFailure) {
            try await waitUntilHealthy()
        } catch {
            violations.append("no progress: \(error)")
        }
        let (found, history) = await FinalCheck(workload: workload, isAlone: isAlone).run()
        violations += found
        _ = await poll(forMilliseconds: 20_000) { workload.finishedWatches.value == 1 ? true : nil as Bool? }
        workload.watchControl.end()
        await watches.value
        violations += workload.log.violations
        let begin = ChaosClock.now()
        violations += HistoryVerdict.violations(in: history)
        let checkMilliseconds = ChaosClock.now().milliseconds(since: begin)
        if let historyPath = historyPath ?? (violations.isEmpty ? nil : fallbackHistoryPath) {
            try HistoryFile.write(history, to: historyPath)
            report("the history is in \(historyPath)")
        }
        summarize(history, checkMilliseconds)
        for line in ChaosReport.verdictLines(violations) { report(line) }
        return ChaosVerdict(violations: violations)
    }

    private func summarize(_ history: ChaosHistory, _ checkMilliseconds: Double) {
        let counts = workload.recorder.counts
        let probes = workload.probers.reduce(0) { $0 + $1.acknowledgements.count }
        report("faults injected: \(context.log.counts)")
        report(
            "operations: \(counts.acknowledged) acknowledged, \(counts.failed) failed, \(counts.unknown) of unknown "
                + "outcome; \(probes) more writes acknowledged to probers, \(workload.leases.all.count) leases"
        )
        report(
            "checked: \(history.records.count) operations and \(workload.log.count) changes in "
                + "\(decimal(checkMilliseconds / 1_000, 1)) s")
        for line in ChaosReport(faults: context.log.faults, probers: workload.probers).gapLines() {
            report(line)
        }
    }

    private func reportProgress() async {
        while await context.control.sleep(milliseconds: 5_000), !Task.isCancelled {
            let counts = workload.recorder.counts
            let now = ChaosClock.now()
            let silent = workload.probers.map { prober in
                prober.lastAcknowledgement.map { now.milliseconds(since: $0) > 200 } ?? true
            }
            let down = silent.enumerated().filter(\.element).map { "\($0.offset + 1)" }
            let under = context.log.faults.filter { $0.end == nil }.map(\.kind.rawValue)
            report(
                "\(decimal(now.milliseconds(since: workload.begin) / 1_000, 0)) s: \(counts.acknowledged) operations "
                    + "acknowledged, \(counts.failed) failed, \(counts.unknown) unknown; "
                    + "\(context.log.faults.count) faults"
                    + (under.isEmpty ? "" : ", now \(under.joined(separator: " and "))")
                    + (down.isEmpty ? "" : "; no writes through node \(down.joined(separator: ", "))"))
        }
    }
}
