import Foundation
import Holdfast
import Testing
import ValidatorCore

/// No height is signed twice, whatever happens to the active signer; and the fence is what keeps it so.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ValidatorTests {
    @Test func killedSignersAreReplaced() async throws {
        let signers = try SignerProcesses(isFenced: true)
        defer { signers.stop() }
        for _ in 0..<3 {
            let active = try await signers.activeSigner(after: signers.device.signatures().count)
            signers.kill9(active)
            _ = try await signers.activeSigner(otherThan: active)
            try signers.start(active)
        }
        #expect(signers.doubleSignatures == [])
    }

    /// Stopped for longer than any lease lasts, and then let go on where it was.
    @Test func pausedSignersDoNoHarm() async throws {
        let signers = try SignerProcesses(isFenced: true)
        defer { signers.stop() }
        for _ in 0..<3 {
            let active = try await signers.activeSigner(after: signers.device.signatures().count)
            try signers.pause(active)
            let next = try await signers.activeSigner(otherThan: active)
            signers.signal(SIGCONT, active)
            // The others go on, with the paused one among them again.
            let count = signers.device.signatures().count
            _ = try await signers.activeSigner(after: count + 20)
            #expect(signers.doubleSignatures == [])
            #expect(next != active)
        }
        let heights = signers.device.signatures().map(\.height)
        #expect(heights == Array(1...heights.count), "the chain has no gap")
    }

    @Test func withoutTheFenceAHeightIsSignedTwice() async throws {
        let signers = try SignerProcesses(isFenced: false)
        defer { signers.stop() }
        for _ in 0..<40 where signers.doubleSignatures.isEmpty {
            let active = try await signers.activeSigner(after: signers.device.signatures().count)
            try signers.pause(active)
            _ = try await signers.activeSigner(otherThan: active)
            signers.signal(SIGCONT, active)
            _ = try await signers.activeSigner(after: signers.device.signatures().count + 10)
        }
        #expect(!signers.doubleSignatures.isEmpty)
    }

    /// Cut off from the others, but not from the device.
    @Test func aSignerThatIsCutOffStops() async throws {
        let memory = InMemoryCluster()
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("device-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let device = SigningDevice(path: path, isFenced: true, delayMicroseconds: 1_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in SignerProcesses.names {
                var configuration = NodeConfiguration(
                    name: name, peers: SignerProcesses.names.map { Peer(name: $0, address: "") },
                    dataDirectory: "")
                configuration.transport = .inMemory(memory)
                configuration.electionTimeoutMilliseconds = 500
                configuration.heartbeatIntervalMilliseconds = 50
                let election = try LeaderElection(named: "signer", configuration)
                group.addTask { try await election.run() }
                group.addTask { try await Signer(name: name, election: election, device: device).run() }
            }
            for _ in 0..<3 {
                let count = device.signatures().count
                let active = try await signer(device) { $0.count > count }
                memory.isolate(active)
                // Once another has signed the one that is cut off never does.
                _ = try await signer(device) { $0.last!.signer != active }
                let taken = device.signatures().count
                _ = try await signer(device) { $0.count > taken + 20 }
                #expect(!device.signatures()[taken...].contains { $0.signer == active })
                memory.healAll()
            }
            group.cancelAll()
        }
        let heights = device.signatures().map(\.height)
        #expect(heights == Array(1...heights.count))
    }

    private func signer(
        _ device: SigningDevice, when condition: ([SigningDevice.Signature]) -> Bool
    ) async throws -> String {
        for _ in 0..<6_000 {
            let signatures = device.signatures()
            if let last = signatures.last, condition(signatures) { return last.signer }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw SignerProcesses.NobodySigns(logs: "")
    }
}
