import Logging
import NIOCore
import NIOPosix
import TransportSecurity

/// The client port: etcd's gRPC API over HTTP/2, and `/health`, `/version` and `/metrics` over HTTP/1.1, told
/// apart by the first bytes of a connection.
///
/// Everything runs on one event loop, which must be the one that the service lives on.
public final class EtcdServer: Sendable {
    public let eventLoop: any EventLoop
    private let limits: ServerLimits
    private let logger: Logger
    private let core: NIOLoopBound<ServerCore>
    private let listeners: NIOLoopBoundBox<[any Channel]>

    /// Must be called on `eventLoop`.
    ///
    /// - Parameters:
    ///   - startedAtSeconds: When the process started, in seconds since 1970; only shown.
    public init(
        service: any KeyValueService, eventLoop: any EventLoop, limits: ServerLimits = ServerLimits(),
        logger: Logger, startedAtSeconds: Int64 = 0
    ) {
        self.eventLoop = eventLoop
        self.limits = limits
        self.logger = logger
        core = NIOLoopBound(
            ServerCore(
                service: service, eventLoop: eventLoop, limits: limits, logger: logger,
                startedAtSeconds: startedAtSeconds),
            eventLoop: eventLoop)
        listeners = NIOLoopBoundBox([], eventLoop: eventLoop)
    }

    /// To be used on the event loop only.
    var coreForTests: ServerCore { core.value }

    /// Serves one more address; port 0 lets the system choose. Answers with the address that was bound, or
    /// with the system's error where that failed (for one, the port is in use), or with a
    /// ``TransportSecurity/TLSError``.
    public func start(
        host: String, port: Int, security: ClientSecurity = .plaintext
    ) -> EventLoopFuture<SocketAddress> {
        let core = core
        let listeners = listeners
        let certificates: CertificateStore?
        do throws(TLSError) {
            certificates = try makeStore(security)
        } catch {
            return eventLoop.makeFailedFuture(error)
        }
        return ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let core = core.value
                    guard core.hasRoomForConnection() else { throw ServerFull() }
                    try certificates?.secureAccepted(channel)
                    try channel.pipeline.syncOperations.addHandler(ProtocolDetector(core: core))
                }
            }
            .bind(host: host, port: port)
            .flatMapThrowing { channel in
                guard let address = channel.localAddress else { throw ChannelError.operationUnsupported }
                guard !core.value.isShuttingDown else {
                    channel.close(promise: nil)
                    throw ChannelError.alreadyClosed
                }
                listeners.value.append(channel)
                return address
            }
    }

    /// Serves one more address; see ``start(host:port:security:)->EventLoopFuture<SocketAddress>``.
    @discardableResult
    public func start(
        host: String, port: Int, security: ClientSecurity = .plaintext
    ) async throws -> SocketAddress {
        try await start(host: host, port: port, security: security).get()
    }

    private func makeStore(_ security: ClientSecurity) throws(TLSError) -> CertificateStore? {
        guard let files = security.certificateFiles else { return nil }
        return try CertificateStore(
            files, for: .clients, reloadIntervalMilliseconds: limits.certificateReloadIntervalMilliseconds,
            logger: logger)
    }

    /// Takes no more connections and calls, lets open calls end for as long as `gracePeriodMilliseconds`,
    /// and closes what is left.
    public func shutdown(gracePeriodMilliseconds: Int = 1_000) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        let core = core
        let listeners = listeners
        eventLoop.execute {
            for listener in listeners.value {
                listener.close(promise: nil)
            }
            listeners.value = []
            core.value.shutDown(grace: .milliseconds(Int64(gracePeriodMilliseconds))) {
                promise.succeed(())
            }
        }
        return promise.futureResult
    }

    /// See ``shutdown(gracePeriodMilliseconds:)->EventLoopFuture<Void>``.
    public func shutdown(gracePeriodMilliseconds: Int = 1_000) async {
        // The future cannot fail.
        try? await shutdown(gracePeriodMilliseconds: gracePeriodMilliseconds).get()
    }
}

/// Ends a connection before it begins.
private struct ServerFull: Error {}
