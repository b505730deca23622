import ConsensusTypes

/// One row of the list of faults that broke others: a situation that is provoked on purpose, or the place
/// where it is shown that Holdfast is right about it.
public struct Scenario: Sendable {
    /// How it is shown.
    public enum Proof: Sendable {
        /// Runs of the simulator under this plan.
        case simulated(ScenarioSetup)
        /// A test of another kind.
        case elsewhere(String)
        /// A feature that is not there yet.
        case waiting(String)
    }

    /// As on the command line.
    public let name: String
    /// Which row it belongs to, from 1 to 40; zero: to none.
    public let row: Int
    /// What would go wrong.
    public let shows: String
    public let proof: Proof
    /// The seeds that are always run.
    public let seeds: ClosedRange<UInt64>

    public init(
        _ name: String, row: Int, _ shows: String, seeds: ClosedRange<UInt64> = 1...5, _ proof: Proof
    ) {
        self.name = name
        self.row = row
        self.shows = shows
        self.seeds = seeds
        self.proof = proof
    }

    /// `nil` where nothing is simulated.
    public func settings(seed: UInt64) -> SimulationSettings? {
        guard case .simulated(let setup) = proof else { return nil }
        var settings = SimulationSettings(
            seed: seed, stepCount: setup.stepCount, nodeCount: setup.nodeCount)
        settings.voterCount = setup.voterCount
        settings.witnessCount = setup.witnessCount
        settings.clientCount = setup.clientCount
        settings.plan = setup.plan
        return settings
    }

    public static func named(_ name: String) -> Scenario? {
        all.first { $0.name == name }
    }

    /// By row.
    public static let all: [Scenario] =
        (elections + members + reads + logs + disks + services).sorted {
            ($0.row, $0.name) < ($1.row, $1.name)
        }
}

/// What a simulated scenario runs.
public struct ScenarioSetup: Hashable, Sendable {
    public var nodeCount = 3
    /// How many of them are the first members; `nil`: all.
    public var voterCount: Int?
    /// How many of those are witnesses: the last ones.
    public var witnessCount = 0
    public var stepCount = 20_000
    public var clientCount = 4
    public var plan = FaultPlan()

    public init() {}

    static func make(_ change: (inout ScenarioSetup) -> Void) -> ScenarioSetup {
        var setup = ScenarioSetup()
        setup.plan.world.clientPauseMicroseconds = 40_000
        setup.plan.turnMicroseconds = 0
        change(&setup)
        return setup
    }

    /// Elections take a fraction of a second.
    mutating func setFastElections() {
        plan.world.electionTimeoutMilliseconds = 200
        plan.world.heartbeatIntervalMilliseconds = 20
        plan.world.requestTimeoutMilliseconds = 1_000
    }
}

extension Scenario.Proof {
    static func simulated(_ change: (inout ScenarioSetup) -> Void) -> Scenario.Proof {
        .simulated(.make(change))
    }
}
