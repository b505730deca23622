import Holdfast
import Hummingbird

/// An HTTP service of three replicas. Any of them takes any request; two of them are enough.
///
///     CounterService NAME a=PORT,b=PORT,c=PORT HTTP-PORT DATA-DIRECTORY
@main struct CounterService {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let port = Int(arguments[3]) else {
            print("usage: CounterService NAME a=PORT,b=PORT,c=PORT HTTP-PORT DATA-DIRECTORY")
            return
        }
        let peers = arguments[2].split(separator: ",").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1)
            return Peer(name: String(parts[0]), address: "127.0.0.1:\(parts.last!)")
        }
        let counters = try ReplicatedStateMachine(
            Counters.self,
            NodeConfiguration(name: arguments[1], peers: peers, dataDirectory: arguments[4]))
        var application = Application(
            router: router(counters), configuration: .init(address: .hostname("127.0.0.1", port: port)))
        // Both stop gracefully together: requests end, and another replica leads.
        application.addServices(counters)
        try await application.runService()
    }

    static func router(
        _ counters: ReplicatedStateMachine<Counters>
    ) -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/counters/:name") { request, context in
            let name = try context.parameters.require("name")
            let isFresh = request.uri.queryParameters["stale"] == nil
            return try await answering {
                try await counters.read(
                    name, consistency: isFresh ? .linearizable : .stale, timeout: .seconds(5))
            }
        }
        router.post("/counters/:name") { request, context in
            let name = try context.parameters.require("name")
            let amount = request.uri.queryParameters["by"].flatMap { Int($0) } ?? 1
            return try await answering {
                try await counters.submit(.init(name: name, amount: amount), timeout: .seconds(5))
            }
        }
        router.get("/leader") { _, _ in "\(counters.leadership)\n" }
        return router
    }

    /// What the client can do about an error: try again, or find out whether its increment counts.
    private static func answering(_ body: () async throws -> Int) async throws -> String {
        do {
            return "\(try await body())\n"
        } catch SubmitError.outcomeUnknown {
            throw HTTPError(.gatewayTimeout, message: "no answer in time: the increment may count or not")
        } catch {
            throw HTTPError(.serviceUnavailable, message: "\(error)")
        }
    }
}
