import EtcdClient
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import EtcdAPI

/// A server on a loopback port over an ``InMemoryService``.
final class TestServer: Sendable {
    let group: MultiThreadedEventLoopGroup
    let server: EtcdServer
    let port: Int
    private let service: NIOLoopBound<InMemoryService>
    private let core: NIOLoopBound<ServerCore>

    private init(limits: ServerLimits, security: ClientSecurity) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let eventLoop = group.next()
        let (server, service, core) = try await eventLoop.submit {
            let service = InMemoryService(eventLoop: eventLoop)
            let server = EtcdServer(
                service: service, eventLoop: eventLoop, limits: limits, logger: Logger(label: "test"),
                startedAtSeconds: 1_700_000_000)
            return (
                server, NIOLoopBound(service, eventLoop: eventLoop),
                NIOLoopBound(server.coreForTests, eventLoop: eventLoop)
            )
        }.get()
        self.group = group
        self.server = server
        self.service = service
        self.core = core
        do {
            port = try await server.start(host: "127.0.0.1", port: FreePorts.take(), security: security).port!
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Clients in tests wait for their turn on a busy machine; a server that is not tested for its patience
    /// must not lose it meanwhile.
    static var patientLimits: ServerLimits {
        var limits = ServerLimits()
        limits.handshakeTimeoutMilliseconds = 600_000
        limits.keepaliveTimeoutMilliseconds = 600_000
        return limits
    }

    /// Runs a test against a fresh server.
    static func run(
        limits: ServerLimits = TestServer.patientLimits, security: ClientSecurity = .plaintext,
        _ body: (TestServer) async throws -> Void
    ) async throws {
        let server = try await TestServer(limits: limits, security: security)
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func stop() async {
        await server.shutdown(gracePeriodMilliseconds: 200)
        try? await group.shutdownGracefully()
    }

    /// Looks at the service, or changes it, on its loop.
    @discardableResult
    func with<T: Sendable>(_ body: @escaping @Sendable (InMemoryService) throws -> T) async throws -> T {
        let service = service
        return try await group.next().submit { try body(service.value) }.get()
    }

    func withCore<T: Sendable>(_ body: @escaping @Sendable (ServerCore) throws -> T) async throws -> T {
        let core = core
        return try await group.next().submit { try body(core.value) }.get()
    }

    func client() async throws -> EtcdClient {
        try await EtcdClient.connect(host: "127.0.0.1", port: port)
    }

    func socket() async throws -> WireConnection {
        try await WireConnection.connect(port: port)
    }

    /// The server still answers someone new.
    func expectAlive(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let client = try await client()
        let response = try await client.put("alive", "yes")
        #expect(response.header.revision > 0, sourceLocation: sourceLocation)
        await client.close()
    }

    /// Waits until something is true on the server's loop.
    func until(
        _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: @escaping @Sendable (ServerCore, InMemoryService) -> Bool
    ) async throws {
        let core = core
        let service = service
        for _ in 0..<20_000 {
            if try await group.next().submit({ condition(core.value, service.value) }).get() { return }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("never happened: \(what)", sourceLocation: sourceLocation)
    }
}

extension ServerCore {
    /// Calls that have not been answered.
    var openStreamCount: Int {
        connections.values.reduce(0) { $0 + $1.streams.values.count { !$0.isFinished } }
    }

    var deferredCount: Int { connections.values.reduce(0) { $0 + $1.deferred.count } }
}

/// The status that a call fails with, or `nil` where it succeeds.
func failure(_ body: () async throws -> Void) async -> GRPCStatus? {
    do {
        try await body()
        return nil
    } catch let status as GRPCStatus {
        return status
    } catch {
        Issue.record("not a status: \(error)")
        return nil
    }
}
