import ConsensusTypes
import EtcdAPI
import EtcdClient

/// All clients of a run: key-value clients, leases, probers and watches.
final class Workload: Sendable {
    struct Settings: Sendable {
        var clientCount = 6
        var pauseMilliseconds = 15
        var proberIntervalMilliseconds = 20
        /// Added to each value that a prober writes, so that logs grow.
        var proberPaddingBytes = 512
        var watchCount = 2
        var seed: UInt64 = 1
        var trustsRefusals = true
    }

    let endpoints: [Endpoint]
    /// All keys of the run begin so, and no others do.
    let prefix: String
    /// What the watches watch.
    let watchedPrefix: String
    let firstRevision: Int64
    let settings: Settings
    /// Ends the clients that write.
    let control = RunControl()
    /// Ends the watches.
    let watchControl = RunControl()
    let recorder = OperationRecorder()
    let log = EventLog()
    let leases = LeaseRecords()
    let probers: [Prober]
    let lastRevision = Atomic64(0)
    /// 1 when all watches were told everything, or gave up.
    let finishedWatches = Atomic64(0)
    let begin = ChaosClock.now()

    /// - Parameter isAlone: whether nobody else writes to the cluster, so that all its changes are watched.
    init(
        endpoints: [Endpoint], prefix: String, isAlone: Bool, firstRevision: Int64, settings: Settings
    ) {
        self.endpoints = endpoints
        self.prefix = prefix
        watchedPrefix = isAlone ? "" : prefix
        self.firstRevision = firstRevision
        self.settings = settings
        let control = control
        probers = endpoints.enumerated().map {
            Prober(
                node: $0.offset, endpoint: $0.element, prefix: prefix,
                intervalMilliseconds: settings.proberIntervalMilliseconds,
                paddingBytes: settings.proberPaddingBytes, control: control)
        }
    }

    /// Returns when ``control`` ended and all clients have what they will get.
    func runClients() async {
        await withTaskGroup(of: Void.self) { group in
            for number in 1...max(1, settings.clientCount) {
                var client = KeyValueClient(
                    number: number, endpoints: endpoints, prefix: prefix,
                    trustsRefusals: settings.trustsRefusals, pauseMilliseconds: settings.pauseMilliseconds,
                    seed: settings.seed, control: control, recorder: recorder, begin: begin)
                group.addTask { await client.run() }
            }
            for number in 1...2 {
                var client = LeaseClient(
                    number: number, endpoints: endpoints, prefix: prefix, seed: settings.seed,
                    control: control, records: leases)
                group.addTask { await client.run() }
            }
            group.addTask { await self.runProbers() }
        }
    }

    /// Returns when ``control`` ended.
    func runProbers() async {
        await withTaskGroup(of: Void.self) { group in
            for prober in probers {
                group.addTask { await prober.run() }
            }
        }
    }

    /// Returns when all watches were told everything up to ``lastRevision``, or ``watchControl`` ended.
    func runWatches() async {
        defer { finishedWatches.value = 1 }
        await withTaskGroup(of: Void.self) { group in
            for number in 1...max(1, settings.watchCount) {
                var watch = WatchClient(
                    number: number, endpoints: endpoints, prefix: watchedPrefix,
                    firstRevision: firstRevision, log: log, control: watchControl, lastRevision: lastRevision)
                group.addTask {
                    if await !watch.run() {
                        self.log.violate("watch \(number) was not told everything within the time it had")
                    }
                }
            }
        }
    }

    /// A prefix that no other run has.
    static func uniquePrefix(_ prefix: String) -> String {
        "\(prefix)\(String(ChaosClock.now().nanoseconds, radix: 36))/"
    }
}
