import ConsensusTypes

/// A run of `holdfast chaos --against`: faults in the processes of a cluster that runs already.
public final class ForeignRun: Sendable {
    /// What is done to which cluster.
    public struct Settings: Sendable {
        public var executable: String
        public var endpoints: [Endpoint]
        public var processIDs: [Int32]
        /// A shell command that starts node `{index}` again and prints its process id last.
        public var restartCommand: String?
        public var prefix = "holdfast-chaos/"
        /// `nil` for all that are possible.
        public var kinds: [FaultKind]?
        public var milliseconds = 60_000
        public var seed: UInt64 = 1
        public var clientCount = 6
        public var historyPath: String?

        public init(executable: String, endpoints: [Endpoint], processIDs: [Int32]) {
            self.executable = executable
            self.endpoints = endpoints
            self.processIDs = processIDs
        }
    }

    private let settings: Settings
    private let control: RunControl
    private let report: @Sendable (String) -> Void

    public init(settings: Settings, control: RunControl, report: @escaping @Sendable (String) -> Void) {
        self.settings = settings
        self.control = control
        self.report = report
    }

    public func run() async throws(ChaosFailure) -> ChaosVerdict {
        let possible = ForeignCluster.kinds(hasRestartCommand: settings.restartCommand != nil)
        let kinds = settings.kinds ?? possible
        for kind in kinds where !possible.contains(kind) {
            throw ChaosFailure(
                kind == .kill
                    ? "kill needs --restart-command, or nobody would start the node again"
                    : "\(kind) cannot be injected into a cluster that runs already; kill and pause can")
        }
        let (directory, _) = try RunDirectory.make(nil)
        let verdict: Result<ChaosVerdict, ChaosFailure>
        do throws(ChaosFailure) {
            let cluster = try ForeignCluster(
                endpoints: settings.endpoints, processIDs: settings.processIDs,
                restartCommand: settings.restartCommand, executable: settings.executable, directory: directory
            )
            do throws(ChaosFailure) {
                verdict = .success(try await run(cluster, kinds))
            } catch {
                verdict = .failure(error)
            }
            await cluster.release()
        } catch {
            verdict = .failure(error)
        }
        await RunDirectory.remove(directory)
        return try verdict.get()
    }

    private func run(_ cluster: ForeignCluster, _ kinds: [FaultKind]) async throws(ChaosFailure)
        -> ChaosVerdict
    {
        for endpoint in cluster.endpoints {
            guard await endpoint.isHealthy() else {
                throw ChaosFailure("\(endpoint) is not healthy: begin with a cluster that works")
            }
        }
        // The highest revision that any node knows: keys of the run come after it.
        var revision: Int64 = 0
        for endpoint in cluster.endpoints {
            revision = max(revision, await endpoint.status()?.header.revision ?? 0)
        }
        var workloadSettings = Workload.Settings()
        workloadSettings.seed = settings.seed
        workloadSettings.clientCount = settings.clientCount
        // Another system's refusals may mean something else.
        workloadSettings.trustsRefusals = false
        let workload = Workload(
            endpoints: cluster.endpoints, prefix: Workload.uniquePrefix(settings.prefix), isAlone: false,
            firstRevision: revision + 1, settings: workloadSettings)
        report(
            "keys begin with \(workload.prefix) and stay; processes "
                + settings.processIDs.map { "\($0)" }.joined(separator: ", ") + " will be met with "
                + kinds.map(\.rawValue).joined(separator: " and "))
        let context = FaultContext(
            control: control, log: FaultLog(),
            deadline: ChaosClock.now() + .milliseconds(settings.milliseconds))
        let runner = FaultRunner(target: cluster, context: context, report: report)
        let schedule = FaultSchedule(
            seed: settings.seed, kinds: kinds, nodeCount: cluster.endpoints.count)
        return try await RunSession(
            workload: workload, runner: runner, context: context, isAlone: false,
            historyPath: settings.historyPath, report: report
        ).run(schedule) { () async throws(ChaosFailure) in
            for endpoint in cluster.endpoints {
                let isHealthy = await poll(forMilliseconds: 60_000) {
                    await endpoint.isHealthy() ? true : nil
                }
                guard isHealthy != nil else {
                    throw ChaosFailure("\(endpoint) did not become healthy within 60 s")
                }
            }
        }
    }
}
