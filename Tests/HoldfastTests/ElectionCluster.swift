import ConsensusTypes
import Logging
import Testing

@testable import Holdfast

struct NeverHappened: Error, CustomStringConvertible {
    let description: String
}

/// Waits, for a minute and a half at most.
func eventually(_ what: String, _ condition: @Sendable () async throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(90)
    while try await !condition() {
        guard ContinuousClock.now < end else { throw NeverHappened(description: "\(what) never happened") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// Three configurations for nodes in this process.
struct TestMembers: Sendable {
    static let names = ["a", "b", "c"]
    var names = TestMembers.names
    var witnesses: [String] = []
    let memory = InMemoryCluster()
    var electionTimeoutMilliseconds = 400
    var resignationPauseMilliseconds = 2_000
    var evictAfterMilliseconds: Int?

    func configuration(_ name: String) -> NodeConfiguration {
        var configuration = NodeConfiguration(
            name: name, peers: names.map { Peer(name: $0, address: "", isWitness: witnesses.contains($0)) },
            dataDirectory: "")
        configuration.transport = .inMemory(memory)
        configuration.electionTimeoutMilliseconds = electionTimeoutMilliseconds
        configuration.heartbeatIntervalMilliseconds = 40
        configuration.evictAfterMilliseconds = evictAfterMilliseconds
        configuration.resignationPauseMilliseconds = resignationPauseMilliseconds
        configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return configuration
    }

    /// That of a node which comes later.
    func joining(_ name: String) -> NodeConfiguration {
        var configuration = configuration("a")
        configuration.name = name
        configuration.peers.append(Peer(name: name, address: ""))
        configuration.joinsRunningCluster = true
        return configuration
    }

    func elections(_ name: String = "test") throws -> [LeaderElection] {
        try names.map { try LeaderElection(named: name, configuration($0)) }
    }
}

/// Runs elections until the body ends.
func whileRunning<Value: Sendable>(
    _ elections: [LeaderElection], _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for election in elections { group.addTask { try await election.run() } }
        let value = try await body()
        group.cancelAll()
        try await group.waitForAll()
        return value
    }
}

extension [LeaderElection] {
    /// The one that is certain to lead.
    func leader(except: Int? = nil) async throws -> (position: Int, leadership: Leadership) {
        let found = Box<(position: Int, leadership: Leadership)>()
        try await eventually("a leader") {
            for (position, election) in enumerated() where position != except {
                if let leadership = election.leadership.leadership { found.value = (position, leadership) }
            }
            return found.value != nil
        }
        return found.value!
    }
}
