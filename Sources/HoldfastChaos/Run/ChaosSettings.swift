/// What a run does.
public struct ChaosSettings: Sendable {
    /// The program whose `serve` and `chaos` commands are run.
    public var executable: String
    public var nodeCount = 3
    public var basePort = 23_790
    /// Where the nodes keep their data and logs; `nil` for a temporary directory that goes with the run.
    public var directory: String?
    public var milliseconds = 60_000
    /// Of the schedule of faults and of what the clients do; the cluster's own timing has none.
    public var seed: UInt64 = 1
    public var kinds: [FaultKind] = FaultKind.allCases
    public var clientCount = 6
    public var snapshotCount = 2_000
    /// Of the log's files; small, so that a short run goes through many, and a full disk is noticed soon.
    public var logSegmentBytes = 128 << 10
    public var diskMebibytes = 64
    public var historyPath: String?
    /// Measures the loss of the leader instead of following a schedule.
    public var failoverPlan: FailoverMeasurement.Plan?
    /// Passed on to `holdfast serve`.
    public var serveOptions: [String] = []

    public init(executable: String) {
        self.executable = executable
    }
}

/// What came of a run.
public struct ChaosVerdict: Sendable {
    /// Nothing where all was well.
    public let violations: [String]

    public var isGood: Bool { violations.isEmpty }
}
