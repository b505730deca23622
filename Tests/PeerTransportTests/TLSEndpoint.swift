import NIOCore
import NIOPosix
import NIOSSL
import TestSupport

/// One side of TLS that verifies nothing, with or without a certificate: what no node is.
struct TLSEndpoint: Sendable {
    private let context: NIOSSLContext

    init(_ identity: TestAuthority.Identity?, isServer: Bool, maximumVersion: TLSVersion? = nil) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let identity {
            let chain = try NIOSSLCertificate.fromPEMFile(identity.certificateFile).map {
                NIOSSLCertificateSource.certificate($0)
            }
            let key = NIOSSLPrivateKeySource.privateKey(
                try NIOSSLPrivateKey(file: identity.keyFile, format: .pem))
            if isServer {
                configuration = .makeServerConfiguration(certificateChain: chain, privateKey: key)
            }
            configuration.certificateChain = chain
            configuration.privateKey = key
        }
        configuration.certificateVerification = .none
        configuration.maximumTLSVersion = maximumVersion
        context = try NIOSSLContext(configuration: configuration)
    }

    /// Dials a node and says `bytes`; gives what the node answered until it closed.
    func dial(_ port: Int, saying bytes: [UInt8]) async throws -> [UInt8] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let closed = loop.makePromise(of: [UInt8].self)
        let timeout = loop.scheduleTask(in: .seconds(120)) {
            closed.fail(NeverHappened(description: "the connection was not closed"))
        }
        closed.futureResult.whenComplete { _ in timeout.cancel() }
        let context = context
        do {
            let channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers([
                            NIOSSLClientHandler(context: context, serverHostname: nil),
                            CollectingHandler(closed: closed, reaction: { _, _ in }),
                        ])
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
            // Fails where the handshake does.
            try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        } catch {
            closed.succeed([])
            throw error
        }
        return try await closed.futureResult.get()
    }

    /// Listens, and answers whatever a test wants.
    func listen(reaction: @escaping @Sendable (any Channel, ByteBuffer) -> Void) async throws -> RawServer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let context = context
        let channel = try await ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    let closed = child.eventLoop.makePromise(of: [UInt8].self)
                    try child.pipeline.syncOperations.addHandlers([
                        NIOSSLServerHandler(context: context),
                        CollectingHandler(closed: closed, reaction: reaction),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return RawServer(channel: channel)
    }
}
