import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension PeerTransport {
    /// A connection with its ``PeerConnection`` in place.
    func connect(to address: PeerAddress) -> EventLoopFuture<any Channel> {
        let transport = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = withLinkOptions(ClientBootstrap(group: loop))
            .connectTimeout(.milliseconds(Int64(limits.connectTimeoutMilliseconds)))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try transport.value.certificates?.secureDialled(channel, host: address.host)
                    let connection = PeerConnection(transport: transport.value, stage: .connecting)
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
        // A literal address needs no resolver, which would cost a failover a thread hop and a query.
        if let socketAddress = try? SocketAddress(ipAddress: address.host, port: address.port) {
            return bootstrap.connect(to: socketAddress)
        }
        return bootstrap.connect(host: address.host, port: address.port)
    }

    func bind(to address: ListenAddress) -> EventLoopFuture<any Channel> {
        let transport = NIOLoopBound(self, eventLoop: loop)
        var bootstrap = ServerBootstrap(group: loop, childGroup: loop)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.recvAllocator, value: Self.receiveAllocator)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try transport.value.certificates?.secureAccepted(channel)
                    let connection = PeerConnection(transport: transport.value, stage: .awaitingHello)
                    try channel.pipeline.syncOperations.addHandler(connection)
                    transport.value.accept(connection)
                }
            }
        if let option = Self.userTimeout {
            bootstrap = bootstrap.childChannelOption(option, value: userTimeoutValue)
        }
        return bootstrap.bind(host: address.host, port: address.port)
    }

    private func withLinkOptions(_ bootstrap: ClientBootstrap) -> ClientBootstrap {
        let bootstrap =
            bootstrap
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
        guard let option = Self.userTimeout else {
            return bootstrap
        }
        return bootstrap.channelOption(option, value: userTimeoutValue)
    }

    /// Starts large enough for a batch and grows for snapshots.
    private static var receiveAllocator: AdaptiveRecvByteBufferAllocator {
        AdaptiveRecvByteBufferAllocator(minimum: 4_096, initial: 65_536, maximum: 1 << 20)
    }

    private var userTimeoutValue: SocketOptionValue {
        SocketOptionValue(limits.pingTimeoutMilliseconds)
    }

    /// Lets the kernel give up a connection whose bytes the other side does not acknowledge. Elsewhere than on
    /// Linux the unanswered ping does it alone.
    private static var userTimeout: ChannelOptions.Types.SocketOption? {
        #if os(Linux)
            ChannelOptions.Types.SocketOption(
                level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_USER_TIMEOUT))
        #else
            nil
        #endif
    }
}

extension Error {
    /// The other machine answered that nothing listens, at each address that the name stands for.
    var isConnectionRefused: Bool {
        if let error = self as? IOError {
            return error.errnoCode == ECONNREFUSED
        }
        if let error = self as? NIOConnectionError {
            return !error.connectionErrors.isEmpty
                && error.connectionErrors.allSatisfy { $0.error.isConnectionRefused }
        }
        return false
    }
}
