import Foundation
import Logging
import TestSupport
import Testing

@testable import Holdfast
@testable import ReplicaRuntime

/// Nodes that join by the address of one member.
@Suite(.serialized, .timeLimit(.minutes(10))) struct JoinBySeedTests {
    private static func joining(
        _ name: String, by seed: String, _ members: TestMembers
    ) -> NodeConfiguration {
        var configuration = members.configuration("a")
        configuration.name = name
        configuration.peers = [Peer(name: name, address: "")]
        configuration.seeds = [seed]
        configuration.joinsRunningCluster = true
        configuration.joinTimeoutMilliseconds = 60_000
        return configuration
    }

    private static func error(of election: LeaderElection) async -> String {
        do {
            try await election.run()
            return "none"
        } catch NodeRunError.cannotJoin(let reason) {
            return reason
        } catch {
            return "another: \(error)"
        }
    }

    @Test(arguments: ["a", "b", "c"]) func aNodeJoinsByAnyMemberAndLeads(_ seed: String) async throws {
        let members = TestMembers()
        let elections = try members.elections()
        let joining = try LeaderElection(named: "test", Self.joining("d", by: seed, members))
        try await whileRunning(elections) {
            let running = Task { try await joining.run() }
            try await eventually("a vote for the new member") {
                let roles = try? await ClusterMembershipTests.roles(elections[0].membership)
                return roles?["d"] == .voter
            }
            try await eventually("its leadership") {
                for election in elections where election.leadership.leadership != nil {
                    try? await election.transferLeadership(to: "d")
                }
                return joining.leadership.leadership != nil
            }
            running.cancel()
            try await running.value
            // Started again, it asks nobody: it is a member.
            var again = Self.joining("d", by: "nobody", members)
            again.joinTimeoutMilliseconds = 0
            let restarted = try LeaderElection(named: "test", again)
            try await whileRunning([restarted]) {
                try await eventually("a leader it knows") { restarted.leadership != .unknown }
            }
        }
    }

    @Test func aNodeThatLostTheAnswerOrItsDiskAsksAgain() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        let configuration = Self.joining("d", by: "b", members)
        try await whileRunning(elections) {
            for _ in 0..<3 {
                // As of a node that crashed when it was a member and had not written that down.
                let asking = try LeaderElection(named: "test", configuration)
                _ = try await asking.joinedOptions()
                members.memory.wipeDisk(of: "d")
            }
            #expect(try await ClusterMembershipTests.roles(elections[0].membership).count == 4)
            for _ in 0..<2 {
                let joining = try LeaderElection(named: "test", configuration)
                try await whileRunning([joining]) {
                    try await eventually("a vote, and a leader") {
                        let roles = try await ClusterMembershipTests.roles(elections[0].membership)
                        return roles["d"] == .voter && joining.leadership != .unknown
                    }
                }
                members.memory.wipeDisk(of: "d")
            }
        }
    }

    @Test func aNameThatALivingMemberHasIsRefused() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        try await whileRunning(elections) {
            let other = TestMembers()
            // Another disk, the same network.
            var configuration = Self.joining("b", by: "a", members)
            _ = try await elections.leader()
            try await eventually("three members that follow") {
                elections.allSatisfy { $0.leadership != .unknown }
            }
            configuration.dataDirectory = "elsewhere"
            var plan = try NodePlan(
                configuration, purpose: "election test", directoryName: "election-test")
            plan.options.fileSystem = other.memory.disk(of: "b")
            let loop = NodeLoops.next()
            for name in ["a", "c"] {
                plan.options.seeds = [
                    QuestionTarget(host: name, port: 1, node: StableHash.node(name, cluster: plan.cluster))
                ]
                await #expect {
                    _ = try await ClusterJoin.joining(
                        plan.options, loop: loop, logger: configuration.logger)
                } throws: { error in
                    if case JoinError.nameTaken = error { true } else { false }
                }
            }
        }
    }

    @Test func membersThatAcceptNobodySayHowToJoin() async throws {
        let members = TestMembers()
        let elections = try members.names.map { name in
            var configuration = members.configuration(name)
            configuration.acceptsJoins = false
            return try LeaderElection(named: "test", configuration)
        }
        let joining = try LeaderElection(named: "test", Self.joining("d", by: "c", members))
        try await whileRunning(elections) {
            _ = try await elections.leader()
            let reason = await Self.error(of: joining)
            #expect(reason.contains("acceptsJoins") && reason.contains("add the node"), "\(reason)")
            #expect(try await ClusterMembershipTests.roles(elections[0].membership).count == 3)
        }
    }

    @Test func withoutALeaderAndWithoutAMemberItIsSaidAfterATime() async throws {
        let members = TestMembers()
        let elections = try members.elections()
        var configuration = Self.joining("d", by: "a", members)
        configuration.joinTimeoutMilliseconds = 300
        let unreachable = try LeaderElection(named: "test", configuration)
        #expect(await Self.error(of: unreachable).contains("no such node runs"))
        let leaderless = try LeaderElection(named: "test", configuration)
        try await whileRunning([elections[0]]) {
            #expect(await Self.error(of: leaderless).contains("no member is known to lead"))
        }
    }

    @Test func aNodeThatIsToldToStopStopsAsking() async throws {
        let members = TestMembers()
        let joining = try LeaderElection(named: "test", Self.joining("d", by: "a", members))
        let running = Task { try await joining.run() }
        running.cancel()
        try await running.value
    }

    // MARK: On sockets

    @Test func overSocketsAnAddressOrAnElectionOfOthersIsRefused() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("holdfast-\(UUID())")
        defer { try? FileManager.default.removeItem(at: directory) }
        let first = "127.0.0.1:\(try FreePorts.take())"
        let second = "127.0.0.1:\(try FreePorts.take())"
        @Sendable func configuration(
            _ name: String, _ address: String, seed: String?
        ) -> NodeConfiguration {
            let data = directory.appendingPathComponent(name).path
            var result =
                seed.map { NodeConfiguration(name: name, address: address, seed: $0, dataDirectory: data) }
                ?? NodeConfiguration(name: name, peers: [name: address], dataDirectory: data)
            result.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            return result
        }
        let election = try LeaderElection(named: "test", configuration("a", first, seed: nil))
        try await whileRunning([election]) {
            let other = try LeaderElection(named: "other", configuration("b", second, seed: first))
            #expect(await Self.error(of: other).contains("another cluster or election"))
            let joining = try LeaderElection(named: "test", configuration("b", second, seed: first))
            try await whileRunning([joining]) {
                try await eventually("two voters") {
                    let roles = try? await ClusterMembershipTests.roles(election.membership)
                    return roles == ["a": .voter, "b": .voter]
                }
                // Whoever asks need not listen: its name and addresses are compared first.
                let namesake = try LeaderElection(named: "test", configuration("c", second, seed: first))
                #expect(await Self.error(of: namesake).contains("has the address \(second)"))
            }
        }
    }
}
