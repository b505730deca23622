import ConsensusTypes
import EtcdAPI
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A run of `holdfast chaos` on a cluster of its own: starts it, injects faults while clients record what they are
/// told, heals everything, and judges.
public final class ChaosRun: Sendable {
    private let settings: ChaosSettings
    private let control: RunControl
    private let report: @Sendable (String) -> Void

    public init(
        settings: ChaosSettings, control: RunControl, report: @escaping @Sendable (String) -> Void
    ) {
        self.settings = settings
        self.control = control
        self.report = report
    }

    public func run() async throws(ChaosFailure) -> ChaosVerdict {
        let (directory, isTemporary) = try RunDirectory.make(settings.directory)
        var layout = ClusterLayout(
            nodeCount: settings.nodeCount, directory: directory, basePort: settings.basePort)
        layout.serveOptions =
            [
                "--snapshot-count", "\(settings.snapshotCount)", "--log-segment-bytes",
                "\(settings.logSegmentBytes)",
            ] + settings.serveOptions
        let cluster: ChaosCluster
        do throws(ChaosFailure) {
            cluster = try ChaosCluster(
                layout: layout, executable: settings.executable, seed: settings.seed,
                isDirectoryTemporary: isTemporary)
        } catch {
            if isTemporary { await RunDirectory.remove(directory) }
            throw error
        }
        let verdict: Result<ChaosVerdict, ChaosFailure>
        do throws(ChaosFailure) {
            verdict = .success(try await run(cluster))
        } catch {
            verdict = .failure(error)
        }
        await cluster.shutDown()
        if isTemporary {
            if case .success(let verdict) = verdict, verdict.isGood {
                await RunDirectory.remove(directory)
            } else {
                report("the nodes' data and logs are kept in \(directory)")
            }
        }
        return try verdict.get()
    }

    private func run(_ cluster: ChaosCluster) async throws(ChaosFailure) -> ChaosVerdict {
        let kinds = settings.failoverPlan == nil ? usableKinds() : [.kill, .pause]
        guard !kinds.isEmpty else { throw ChaosFailure("none of the faults can be injected here") }
        if kinds.contains(.diskFull) {
            try await cluster.disks.mount(sizeMebibytes: settings.diskMebibytes)
        }
        try await cluster.start(control: control)
        announce(cluster, kinds)
        guard let status = await cluster.endpoints[0].status() else {
            throw ChaosFailure("node n1 does not tell its status")
        }
        if let plan = settings.failoverPlan {
            return try await measure(plan, cluster, firstRevision: status.header.revision + 1)
        }
        let workload = makeWorkload(cluster, firstRevision: status.header.revision + 1)
        let context = FaultContext(
            control: control, log: FaultLog(),
            deadline: ChaosClock.now() + .milliseconds(settings.milliseconds))
        let runner = FaultRunner(target: cluster, context: context, report: report)
        let schedule = FaultSchedule(seed: settings.seed, kinds: kinds, nodeCount: settings.nodeCount)
        return try await RunSession(
            workload: workload, runner: runner, context: context, isAlone: true,
            historyPath: settings.historyPath,
            fallbackHistoryPath: "\(cluster.layout.directory)/history", report: report
        ).run(schedule) { () async throws(ChaosFailure) in
            try await cluster.waitUntilHealthy(milliseconds: 60_000, control: nil)
        }
    }

    private func makeWorkload(_ cluster: ChaosCluster, firstRevision: Int64) -> Workload {
        var workloadSettings = Workload.Settings()
        workloadSettings.seed = settings.seed
        workloadSettings.clientCount = settings.clientCount
        if settings.failoverPlan != nil {
            workloadSettings.proberIntervalMilliseconds = 4
            workloadSettings.proberPaddingBytes = 0
        }
        return Workload(
            endpoints: cluster.endpoints, prefix: "chaos/", isAlone: true, firstRevision: firstRevision,
            settings: workloadSettings)
    }

    /// Only the probers write, so that what is measured is not the machine's load.
    private func measure(
        _ plan: FailoverMeasurement.Plan, _ cluster: ChaosCluster, firstRevision: Int64
    ) async throws(ChaosFailure) -> ChaosVerdict {
        let workload = makeWorkload(cluster, firstRevision: firstRevision)
        let clients = Task { await workload.runProbers() }
        let watches = Task { await workload.runWatches() }
        let results: Result<[(loss: FailoverMeasurement.Loss, times: [Double])], ChaosFailure>
        do throws(ChaosFailure) {
            results = .success(
                try await FailoverMeasurement(
                    cluster: cluster, workload: workload, control: control, report: report
                ).run(plan))
        } catch {
            results = .failure(error)
        }
        workload.control.end()
        await clients.value
        var violations: [String] = []
        if case .success = results {
            violations = await FinalCheck(workload: workload, isAlone: true).run().violations
            _ = await poll(forMilliseconds: 20_000) {
                workload.finishedWatches.value == 1 ? true : nil as Bool?
            }
        }
        workload.watchControl.end()
        await watches.value
        for line in FailoverMeasurement.lines(try results.get()) { report(line) }
        violations += workload.log.violations
        let writes = workload.probers.reduce(0) { $0 + $1.acknowledgements.count }
        report(
            violations.isEmpty
                ? "\(writes) writes were acknowledged, none is lost"
                : "verdict: VIOLATED (\(violations.count))")
        for violation in violations.prefix(20) { report("  \(violation)") }
        return ChaosVerdict(violations: violations)
    }

    private func usableKinds() -> [FaultKind] {
        settings.kinds.filter { kind in
            if let obstacle = kind.obstacle { report("skipping \(kind): \(obstacle)") }
            return kind.obstacle == nil
        }
    }

    private func announce(_ cluster: ChaosCluster, _ kinds: [FaultKind]) {
        report(
            "\(settings.nodeCount) nodes are up, seed \(settings.seed), "
                + "\(decimal(Double(settings.milliseconds) / 1_000, 0)) s of: "
                + kinds.map(\.rawValue).joined(separator: ", "))
        for node in cluster.nodes {
            report(
                "  \(node.name)  http://127.0.0.1:\(cluster.layout.clientPort(node.index))  pid "
                    + "\(node.process?.processID ?? 0)"
                    + (cluster.disks.nodes.contains(node.index)
                        ? "  on a disk of \(settings.diskMebibytes) MiB" : ""))
        }
    }
}

/// Where a run's nodes keep their data.
enum RunDirectory {
    static func make(_ given: String?) throws(ChaosFailure) -> (path: String, isTemporary: Bool) {
        if let given {
            guard mkdir(given, 0o755) == 0 || errno == EEXIST else {
                throw ChaosFailure(
                    "cannot create \(given): \(errorText(errno)); choose another with --data-dir")
            }
            guard isEmpty(given) else {
                throw ChaosFailure(
                    "\(given) is not empty; a run begins with nothing: choose another --data-dir")
            }
            return (given, false)
        }
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/holdfast-chaos-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw ChaosFailure("cannot create a directory in \(base): \(errorText(errno))")
        }
        return (String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self), true)
    }

    private static func isEmpty(_ path: String) -> Bool {
        guard let directory = opendir(path) else { return false }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return count <= 2
    }

    static func remove(_ path: String) async {
        guard let program = TextFile.program("rm") else { return }
        try? await ChildProcess.run(program, ["-rf", "--", path], outputPath: "/dev/null")
    }
}
