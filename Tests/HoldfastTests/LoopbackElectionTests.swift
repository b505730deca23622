import Foundation
import Logging
import TestSupport
import Testing

@testable import Holdfast

/// Nodes on sockets and files, as in production.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LoopbackElectionTests {
    private static func configurations(_ directory: URL) throws -> [NodeConfiguration] {
        let peers = try TestMembers.names.map { Peer(name: $0, address: "127.0.0.1:\(try FreePorts.take())") }
        return peers.map { peer in
            var configuration = NodeConfiguration(
                name: peer.name, peers: peers, dataDirectory: directory.appendingPathComponent(peer.name).path
            )
            configuration.electionTimeoutMilliseconds = 500
            configuration.heartbeatIntervalMilliseconds = 50
            configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            return configuration
        }
    }

    private static func withDirectory(_ body: (URL) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("holdfast-\(UUID())")
        defer { try? FileManager.default.removeItem(at: directory) }
        try await body(directory)
    }

    @Test func leadersResignAndTokensGrowOverRestarts() async throws {
        try await Self.withDirectory { directory in
            let configurations = try Self.configurations(directory)
            var last = FencingToken(0)
            for _ in 0..<2 {
                let elections = try configurations.map { try LeaderElection(named: "test", $0) }
                let token = try await whileRunning(elections) {
                    let (first, leadership) = try await elections.leader()
                    await elections[first].resign()
                    let next = try await elections.leader(except: first).leadership.fencingToken
                    #expect(next > leadership.fencingToken)
                    return next
                }
                #expect(token > last)
                last = token
            }
        }
    }

    @Test func aStateIsOnDisk() async throws {
        try await Self.withDirectory { directory in
            let configurations = try Self.configurations(directory)
            for round in 1...2 {
                let machines = try configurations.map { try ReplicatedStateMachine(TallyState.self, $0) }
                let sum = try await whileRunning(machines) {
                    try await machines[round].submit(round, timeout: .seconds(120))
                }
                #expect(sum == round * (round + 1) / 2)
            }
        }
    }

    /// A node whose certificate another authority signed neither leads nor follows.
    @Test func nodesWithCertificatesElectAndStrangersStayOut() async throws {
        try await Self.withDirectory { directory in
            let (authority, other) = (try TestAuthority(), try TestAuthority(named: "Other"))
            var configurations = try Self.configurations(directory)
            for position in configurations.indices {
                let signer = position < 2 ? authority : other
                let identity = try signer.issue(configurations[position].name)
                configurations[position].security = .mutualTLS(
                    certificateFile: identity.certificateFile, keyFile: identity.keyFile,
                    trustFile: signer.trustFile)
            }
            // The first start asks all three, so the third has had a good certificate once.
            let stranger = configurations[2].security
            let identity = try authority.issue("third")
            configurations[2].security = .mutualTLS(
                certificateFile: identity.certificateFile, keyFile: identity.keyFile,
                trustFile: authority.trustFile)
            let first = try configurations.map { try LeaderElection(named: "test", $0) }
            _ = try await whileRunning(first) { try await first.leader() }
            configurations[2].security = stranger
            let elections = try configurations.map { try LeaderElection(named: "test", $0) }
            try await whileRunning(elections) {
                let (leader, _) = try await elections.leader()
                #expect(leader < 2)
                #expect(elections[2].leadership == .unknown)
            }
        }
    }

    @Test func aPortThatIsTakenIsSaid() async throws {
        try await Self.withDirectory { directory in
            var configuration = try Self.configurations(directory)[0]
            configuration.peers = [configuration.peers[0]]
            let first = try LeaderElection(named: "first", configuration)
            try await whileRunning([first]) { [configuration] in
                try await eventually("a leader") { first.leadership.leadership != nil }
                let second = try LeaderElection(named: "second", configuration)
                await #expect {
                    try await second.run()
                } throws: { error in
                    if case NodeRunError.cannotStart = error { true } else { false }
                }
            }
        }
    }
}
