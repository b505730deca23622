/// What one client port will take on. Every queue, window and buffer behind it is bounded by one of these.
public struct ServerLimits: Hashable, Sendable {
    /// Connections beyond this many are closed as soon as they are accepted.
    public var maximumConnections = 10_000
    /// Requests that one connection may have open.
    public var maximumConcurrentStreams = 4_096
    /// A request larger than this is refused with etcd's "request is too large" (etcd: `--max-request-bytes`).
    public var maximumRequestSizeBytes = 1_572_864
    /// A message larger than ``maximumRequestSizeBytes`` and this much more is not read at all.
    public var messageOverheadBytes = 512 * 1_024
    /// A response larger than this is replaced by an error.
    public var maximumResponseSizeBytes = Int(Int32.max)
    /// Operations of one transaction (etcd: `--max-txn-ops`).
    public var maximumTransactionOperations = 128
    /// A shorter time to live of a lease is raised to this (etcd: one and a half election timeouts).
    public var minimumLeaseTimeToLiveSeconds = 2
    /// Watches that one connection may have.
    public var maximumWatchesPerConnection = 16_384

    /// What a client may send on one stream, and on one connection, before we have read it.
    public var streamWindowSizeBytes = 1 << 20
    public var connectionWindowSizeBytes = 16 << 20
    /// Incomplete requests that one connection, and all of them together, may leave with us.
    public var maximumBufferedRequestBytesPerConnection = 32 << 20
    public var maximumBufferedRequestBytes = 256 << 20
    /// While a connection has more than this unsent (because its client does not read), no further request
    /// of it is carried out.
    public var unsentHighWatermarkBytes = 16 << 20
    /// Responses that are finished beyond this are dropped and answered with an error.
    public var maximumUnsentBytesPerConnection = 64 << 20
    public var maximumUnsentBytes = 512 << 20
    /// What a connection may hold of these when all of them together hold too much: those that hold more are
    /// restrained, so that a few cannot stop everybody else.
    public var shareBytesPerConnection = 64 << 10
    /// While one watch or keep-alive stream has more than this unsent, nothing more is put on it.
    public var streamUnsentHighWatermarkBytes = 256 << 10

    /// The names and values of one request's headers, and 32 bytes for each.
    public var maximumHeaderListSizeBytes = 16 << 10
    /// RST_STREAM frames that a client may send in ten seconds.
    public var maximumResetsPerTenSeconds = 2_000
    /// PING and SETTINGS frames that a client may send in a second.
    public var maximumControlFramesPerSecond = 20_000
    /// PING and SETTINGS frames that a client may send between two responses within thirty seconds.
    public var maximumIdleControlFrames = 1_000

    /// How long a connection may take to say what it speaks, or to finish the head of an HTTP/1.1 request.
    public var handshakeTimeoutMilliseconds = 10_000
    /// How long a request may take to arrive.
    public var requestTimeoutMilliseconds = 120_000
    /// After this much silence a client is asked whether it is still there.
    public var keepaliveIntervalMilliseconds = 60_000
    /// How long it may take to answer that.
    public var keepaliveTimeoutMilliseconds = 20_000
    /// How often an idle watch that asked for it is told the current revision.
    public var watchProgressIntervalMilliseconds = 600_000

    /// A new connection to a secured listener reads the certificates again if they were not read for this long.
    public var certificateReloadIntervalMilliseconds = 5_000

    public init() {}

    /// The largest message that is read.
    var maximumMessageSizeBytes: Int { maximumRequestSizeBytes + messageOverheadBytes }
}
