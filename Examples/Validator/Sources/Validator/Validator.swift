import Holdfast
import Logging
import ServiceLifecycle
import ValidatorCore

/// One of three signers of a chain of blocks.
///
///     validator NAME a=127.0.0.1:7101,b=127.0.0.1:7102,c=127.0.0.1:7103 DATA-DIRECTORY DEVICE [--without-fence]
@main struct Validator {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst().filter { !$0.hasPrefix("--") }
        guard arguments.count == 4 else {
            print("usage: validator NAME NAME=HOST:PORT,... DATA-DIRECTORY DEVICE [--without-fence]")
            return
        }
        let (name, data, path) = (arguments[0], arguments[2], arguments[3])
        let peers = arguments[1].split(separator: ",").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1)
            return Peer(name: String(parts[0]), address: String(parts.last!))
        }
        var configuration = NodeConfiguration(name: name, peers: peers, dataDirectory: data)
        configuration.electionTimeoutMilliseconds = 500
        configuration.heartbeatIntervalMilliseconds = 50
        let election = try LeaderElection(named: "signer", configuration)
        let device = SigningDevice(
            path: path, isFenced: !CommandLine.arguments.contains("--without-fence"))
        let group = ServiceGroup(
            services: [election, Signer(name: name, election: election, device: device)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: Logger(label: "validator"))
        try await group.run()
    }
}
