import ConsensusTypes

/// What a person asked the simulator for: which service and which scenario, with which seed. One job is one
/// run; the same job gives the same run everywhere.
public struct SimulationJob: Hashable, Sendable {
    public var seed: UInt64 = 1
    public var stepCount: Int?
    public var nodeCount: Int?
    /// A name of ``Scenario/all`` with a simulated proof; `nil`: swarm.
    public var scenario: String?
    public var stateMachine = SimulationJob.keyValue
    /// Whether a random run changes the members and moves the leadership too. `nodeCount` are the first voters
    /// then, and two more nodes may join.
    public var changesMembers = false
    /// Whether the last of three or four voters, or the last two of more, are witnesses.
    public var hasWitnesses = false
    /// Exactly these instead of what the seed would inject.
    public var faults: [Fault]?

    public static let keyValue = "key-value"

    public init() {}

    /// Why the job cannot be run, or `nil`.
    public var problem: String? {
        if let nodeCount, !(1...7).contains(nodeCount) { return "--nodes must be from 1 to 7" }
        if hasWitnesses, scenario != nil { return "--witnesses does not go with --scenario" }
        if hasWitnesses, let nodeCount, nodeCount < 3 {
            return "--nodes must be from 3 to 7 with --witnesses"
        }
        if changesMembers, scenario != nil { return "--churn does not go with --scenario" }
        if changesMembers, let nodeCount, !(3...5).contains(nodeCount) {
            return "--nodes must be from 3 to 5 with --churn"
        }
        if let stepCount, stepCount < 1 { return "--steps must be at least 1" }
        if let name = scenario {
            guard let found = Scenario.named(name) else {
                return "there is no scenario \(name); --list-scenarios lists them"
            }
            switch found.proof {
            case .simulated: break
            case .elsewhere(let place): return "the scenario \(name) is not simulated: \(place)"
            case .waiting(let reason): return "the scenario \(name) cannot be run yet: it \(reason)"
            }
        }
        return nil
    }

    public var settings: SimulationSettings {
        var settings = SimulationSettings(seed: seed)
        if let scenario, let found = Scenario.named(scenario)?.settings(seed: seed) { settings = found }
        if let stepCount { settings.stepCount = stepCount }
        if let nodeCount { settings.nodeCount = nodeCount }
        if changesMembers {
            let voterCount = nodeCount ?? 3 + Int(seed % 3)
            settings.changesMembers = true
            settings.voterCount = voterCount
            settings.nodeCount = voterCount + 2
        }
        if hasWitnesses {
            if nodeCount == nil, !changesMembers { settings.nodeCount = seed % 2 == 0 ? 3 : 5 }
            settings.witnessCount = (settings.voterCount ?? settings.nodeCount) > 4 ? 2 : 1
        }
        settings.faults = faults
        return settings
    }

    /// The command line that repeats the run, without its faults where they were given.
    public var command: String {
        let settings = settings
        var words = ["holdfast simulate --seed \(seed)"]
        if let scenario { words.append("--scenario \(scenario)") }
        words.append("--steps \(settings.stepCount)")
        if changesMembers {
            // How many nodes there are follows from the seed, where nobody said it.
            words.append(nodeCount.map { "--nodes \($0) --churn" } ?? "--churn")
        } else {
            words.append("--nodes \(settings.nodeCount)")
        }
        if hasWitnesses { words.append("--witnesses") }
        if stateMachine != SimulationJob.keyValue { words.append("--state-machine \(stateMachine)") }
        return words.joined(separator: " ")
    }
}
