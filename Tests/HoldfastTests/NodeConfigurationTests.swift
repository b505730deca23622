import Testing

@testable import Holdfast

@Suite struct NodeConfigurationTests {
    static var valid: NodeConfiguration {
        NodeConfiguration(
            name: "a", peers: ["a": "127.0.0.1:7001", "b": "127.0.0.1:7002", "c": "[::1]:7003"],
            dataDirectory: "/tmp/a")
    }

    static func field(_ change: (inout NodeConfiguration) -> Void) -> String? {
        var configuration = valid
        change(&configuration)
        do throws(HoldfastConfigurationError) {
            _ = try NodePlan(configuration, purpose: "test", directoryName: "test")
            return nil
        } catch {
            #expect(!error.remedy.isEmpty)
            #expect("\(error)".contains(error.field))
            return error.field
        }
    }

    @Test func whatIsRightIsTaken() {
        #expect(Self.field { _ in } == nil)
        #expect(Self.field { $0.listenAddress = "127.0.0.2:1" } == nil)
        #expect(
            Self.field {
                $0.security = .plaintext
                $0.peers[1].address = "b.example.org:7002"
            } == nil)
    }

    @Test func eachMistakeIsNamed() {
        #expect(Self.field { $0.name = "d" } == "name")
        #expect(Self.field { $0.name = "" } == "name")
        #expect(Self.field { $0.name = "../a" } == "name")
        #expect(Self.field { $0.clusterName = "a b" } == "clusterName")
        #expect(Self.field { $0.dataDirectory = "" } == "dataDirectory")
        #expect(Self.field { $0.peers[1].name = "a" } == "peers")
        #expect(Self.field { $0.peers[1].address = "127.0.0.1:7001" } == "peers")
        #expect(Self.field { $0.peers[1].address = "127.0.0.1" } == "peers")
        #expect(Self.field { $0.peers[1].address = "127.0.0.1:0" } == "peers")
        #expect(Self.field { $0.peers[1].address = "::1:7002" } == "peers")
        #expect(Self.field { $0.peers[1].address = "10.0.0.1:7002" } == "peers")
        #expect(Self.field { $0.listenAddress = "0.0.0.0:7001" } == "listenAddress")
        #expect(Self.field { $0.heartbeatIntervalMilliseconds = 0 } == "electionTimeoutMilliseconds")
        #expect(Self.field { $0.electionTimeoutMilliseconds = 499 } == "electionTimeoutMilliseconds")
        #expect(Self.field { $0.resignationPauseMilliseconds = -1 } == "resignationPauseMilliseconds")
        #expect(
            Self.field {
                $0.security = .mutualTLS(certificateFile: "/a.pem", keyFile: "/a.key", trustFile: "/ca.pem")
            } == "security")
        #expect(Self.field { $0.minimumVoters = 0 } == "minimumVoters")
        #expect(Self.field { $0.peers[2].isWitness = true } == nil)
        #expect(
            Self.field {
                $0.peers[1].isWitness = true
                $0.peers[2].isWitness = true
            } == "peers")
        #expect(Self.field { $0.evictAfterMilliseconds = 1_000 } == "evictAfterMilliseconds")
        #expect(
            Self.field { $0.maximumClockDriftPartsPerMillion = 900_000 } == "maximumClockDriftPartsPerMillion"
        )
    }

    @Test func loopbackAddresses() {
        for text in ["localhost:1", "127.0.0.1:1", "127.255.0.3:65535", "[::1]:9"] {
            #expect(HostAndPort(text)?.isLoopback == true, "\(text)")
        }
        for text in ["127.example.org:1", "10.0.0.1:1", "127.0.0.1.evil.org:1", "[::2]:1", "0.0.0.0:1"] {
            #expect(HostAndPort(text)?.isLoopback == false, "\(text)")
        }
        for text in ["", ":1", "a", "a:", "a:b", "a:70000", "1::2:3", "[]:1"] {
            #expect(HostAndPort(text) == nil, "\(text)")
        }
    }

    /// Ids do not depend on addresses, and clusters for different purposes do not meet.
    @Test func idsFollowNames() throws {
        let plan = try NodePlan(Self.valid, purpose: "x", directoryName: "x")
        var moved = Self.valid
        moved.peers[0].address = "127.0.0.1:8001"
        #expect(
            try NodePlan(moved, purpose: "x", directoryName: "x").options.nodeID == plan.options.nodeID)
        #expect(
            try NodePlan(Self.valid, purpose: "y", directoryName: "x").options.clusterID
                != plan.options.clusterID)
        #expect(plan.options.membership.voters.count == 3)
        #expect(plan.options.membership.name(of: plan.options.nodeID) == "a")
    }
}
