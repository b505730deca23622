import ConsensusTypes
import EtcdAPI
import EtcdClient
import HoldfastSimulation

/// What is looked at when the faults are over and the clients have stopped.
struct FinalCheck {
    static let patienceMilliseconds = 60_000

    let workload: Workload
    /// Whether nobody else writes to the cluster.
    let isAlone: Bool

    /// What is wrong; and the history, for a file.
    func run() async -> (violations: [String], history: ChaosHistory) {
        var violations: [String] = []
        guard let last = await writeLast() else {
            workload.watchControl.end()
            return (
                ["no progress: the cluster took no write within 60 s after the last fault"],
                history(to: workload.log.entries.last?.event.revision ?? workload.firstRevision - 1)
            )
        }
        await waitForLeases()
        // Deletions by leases are changes too.
        let final = await writeLast() ?? last
        violations += await checkEqual(at: final)
        await readAll()
        workload.lastRevision.value = final
        let isTold = await poll(forMilliseconds: 30_000) {
            workload.watchControl.isEnding || workload.log.entries.last?.event.revision ?? 0 >= final
                ? true : nil
        }
        if isTold == nil {
            violations.append("watch: the watches did not reach revision \(final) within 30 s")
        }
        violations += await checkHistories(to: final)
        let entries = workload.log.entries
        violations += LeaseCheck.violations(workload.leases.all, entries, endedAt: ChaosClock.now())
        violations += checkProbers(entries)
        if isAlone { violations += checkContinuity(entries) }
        return (violations, history(to: final))
    }

    private func history(to revision: Int64) -> ChaosHistory {
        ChaosHistory(
            records: workload.recorder.records,
            events: workload.log.entries.map(\.event).filter { $0.key.hasPrefix("\(workload.prefix)key/") },
            initialRevision: workload.firstRevision - 1, lastRevision: revision)
    }

    /// A write through each node in turn until one is acknowledged; its revision.
    private func writeLast() async -> Int64? {
        await poll(forMilliseconds: FinalCheck.patienceMilliseconds, everyMilliseconds: 100) {
            for endpoint in workload.endpoints {
                let response = await endpoint.ask { client throws(GRPCStatus) in
                    try await client.put(
                        Request.put("\(workload.prefix)end", "end"), timeoutMilliseconds: 3_000)
                }
                if let response { return response.header.revision }
            }
            return nil
        }
    }

    /// Until the keys of all leases are gone, for as long as that may take: their time, the time that a new leader
    /// grants once more, and some seconds.
    private func waitForLeases() async {
        guard !workload.leases.all.isEmpty else { return }
        let limit = Int(2 * LeaseClient.timeToLiveSeconds) * 1_000 + 12_000
        _ = await poll(forMilliseconds: limit, everyMilliseconds: 250) {
            for endpoint in workload.endpoints {
                let response = await endpoint.ask { client throws(GRPCStatus) in
                    try await client.range(
                        Request.range(prefix: "\(workload.prefix)lease/"), timeoutMilliseconds: 3_000)
                }
                if let response { return response.kvs.isEmpty ? true : nil }
            }
            return nil
        }
    }

    /// All nodes have the same data at the revision.
    private func checkEqual(at revision: Int64) async -> [String] {
        var hashes: [String] = []
        var distinct: Set<UInt32> = []
        for (node, endpoint) in workload.endpoints.enumerated() {
            let level = await poll(forMilliseconds: FinalCheck.patienceMilliseconds) {
                if let status = await endpoint.status(), status.header.revision >= revision { return true }
                return nil
            }
            guard level != nil else {
                return ["unequal: node \(node + 1) did not come to revision \(revision) within 60 s"]
            }
            let response = await endpoint.ask { client throws(GRPCStatus) in
                try await client.hashKeyValue(revision: revision)
            }
            guard let response else { return ["unequal: node \(node + 1) does not tell its data's hash"] }
            hashes.append("node \(node + 1) \(response.hash)")
            distinct.insert(response.hash)
        }
        guard distinct.count > 1 else { return [] }
        return ["unequal: the nodes' data differ at revision \(revision): \(hashes.joined(separator: ", "))"]
    }

    /// Every key once more, through every node, as operations of the history.
    private func readAll() async {
        let keys = Set(workload.recorder.records.map(\.key)).sorted()
        await withTaskGroup(of: Void.self) { group in
            for (node, endpoint) in workload.endpoints.enumerated() {
                group.addTask {
                    guard let client = try? await endpoint.connect() else { return }
                    for key in keys {
                        let invokedAt = ChaosClock.now()
                        guard
                            let answer = try? await KeyValueClient.perform(
                                .get, key, client, timeoutMilliseconds: 5_000)
                        else {
                            workload.recorder.addFailure()
                            continue
                        }
                        workload.recorder.add(
                            HistoryRecord(
                                client: 1_000 + node, node: node, key: key, action: .get,
                                invokedAt: invokedAt, endedAt: ChaosClock.now(),
                                outcome: .acknowledged(answer)))
                    }
                    await client.close()
                }
            }
        }
    }

    /// Every node tells the same history from the first revision on.
    private func checkHistories(to revision: Int64) async -> [String] {
        let known = workload.log.entries.map(\.event)
        var violations: [String] = []
        for (node, endpoint) in workload.endpoints.enumerated() {
            let told = await FinalCheck.events(
                at: endpoint, prefix: workload.watchedPrefix, from: workload.firstRevision, to: revision)
            guard told != known else { continue }
            let place = zip(told, known).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            violations.append(
                "watch: node \(node + 1) tells \(told.count) changes up to revision \(revision), the watches were "
                    + "told \(known.count)"
                    + (place.map { "; change \($0 + 1) is the first that differs" } ?? ""))
        }
        return violations
    }

    static func events(
        at endpoint: Endpoint, prefix: String, from first: Int64, to last: Int64
    ) async -> [HistoryEvent] {
        guard let client = try? await endpoint.connect() else { return [] }
        let stream = await client.watch()
        stream.send(Request.watch(prefix: prefix, from: first))
        let timeout = Task {
            try? await Task.sleep(nanoseconds: 30_000_000_000)
            stream.cancel()
        }
        var events: [HistoryEvent] = []
        do {
            for try await response in stream.responses {
                events += response.events.map { HistoryEvent($0) }
                if response.canceled || events.last?.revision ?? 0 >= last { break }
            }
        } catch {
            // The comparison says what is missing.
        }
        timeout.cancel()
        stream.cancel()
        await client.close()
        return events
    }

    /// What the probers were told is there.
    private func checkProbers(_ entries: [EventLog.Entry]) -> [String] {
        var values: [String: HistoryEvent] = [:]
        for entry in entries where entry.event.key.hasPrefix("\(workload.prefix)prober/") {
            if let value = entry.event.value { values[value] = entry.event }
        }
        var violations: [String] = []
        for prober in workload.probers {
            for write in prober.acknowledgements {
                let event = values[write.value]
                if event?.revision != write.revision || event?.key != prober.key {
                    violations.append(
                        "lost write: \(write.value.prefix(20)), acknowledged at revision \(write.revision) through node "
                            + "\(prober.node + 1), is not there")
                }
            }
        }
        return Array(violations.prefix(20))
    }

    /// Where all changes are watched, no revision is missing.
    private func checkContinuity(_ entries: [EventLog.Entry]) -> [String] {
        var expected = workload.firstRevision
        for entry in entries where entry.event.revision != expected - 1 {
            if entry.event.revision != expected {
                return ["watch: revision \(expected) is missing, \(entry.event.revision) comes instead"]
            }
            expected += 1
        }
        return []
    }
}
