import Holdfast
import ServiceLifecycle

/// Signs one block after the other, whenever this process is the active signer.
public struct Signer: Service {
    private let name: String
    private let election: LeaderElection
    private let device: SigningDevice

    public init(name: String, election: LeaderElection, device: SigningDevice) {
        self.name = name
        self.election = election
        self.device = device
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await election.withLeadership { try await sign($0) }
                } catch is ElectionEndedError {
                    return
                } catch {
                    // The loss of the leadership, or a refusal of the device: wait to be elected again.
                    if !(error is CancellationError) { print("\(name): \(error)") }
                }
                try? await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    private func sign(_ leadership: Leadership) async throws {
        var height = device.signatures().last?.height ?? 0
        // Saves useless trips to the device; what keeps heights from being signed twice is the token.
        while leadership.isCertain {
            try Task.checkCancellation()
            height += 1
            try device.sign(height: height, token: leadership.fencingToken, signer: name)
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
