/// Bounds and times of a ``PeerTransport``. Times are in milliseconds, sizes in bytes.
public struct PeerTransportLimits: Hashable, Sendable {
    /// The largest payload of one message, sent or received. Must hold one AppendEntries with its largest
    /// single entry.
    public var maximumPayloadBytes = 16 << 20
    /// What may wait for one peer, counting what was handed to the socket and not yet taken by it. A message
    /// that does not fit is dropped.
    public var maximumQueuedBytesPerPeer = 64 << 20
    /// Accepted connections that have not finished their handshake. One more pushes the oldest out.
    public var maximumPendingConnections = 64
    /// Strangers' questions that are being answered at the same time; more are refused.
    public var maximumQuestionsAtOnce = 8
    /// Strangers' questions in a second; more are refused.
    public var maximumQuestionsPerSecond = 20
    /// How long a question may take, from its arrival until its answer is read.
    public var questionTimeoutMilliseconds = 20_000
    public var connectTimeoutMilliseconds = 1_000
    /// How long either side waits for the other's half of the handshake.
    public var handshakeTimeoutMilliseconds = 5_000
    /// How often the node that dialled asks for a sign of life, and measures the round trip.
    public var pingIntervalMilliseconds = 1_000
    /// A dialled link whose ping is not answered for this long is closed and dialled again. An accepted
    /// connection that is silent for three times as long is closed.
    public var pingTimeoutMilliseconds = 5_000
    /// The first pause between two attempts to dial; it doubles with each failure.
    public var minimumRedialDelayMilliseconds = 2
    public var maximumRedialDelayMilliseconds = 500
    /// The pause after a peer said that this node is no member any more.
    public var removedRedialDelayMilliseconds = 5_000
    /// A link that lasted for less than this is not dialled again at once when it breaks.
    public var stableLinkMilliseconds = 1_000
    /// A new link reads the certificates again if they were not read for this long.
    public var certificateReloadIntervalMilliseconds = 5_000

    public init() {}

    /// Why these limits cannot work, in one line, or `nil`.
    public var problem: String? {
        if maximumPayloadBytes < 1 || maximumPayloadBytes > 1 << 30 {
            return "the maximum payload (\(maximumPayloadBytes) bytes) must be between 1 byte and 1 GiB"
        }
        if maximumQueuedBytesPerPeer < maximumPayloadBytes + FrameHeader.size {
            return
                "the queue of a peer (\(maximumQueuedBytesPerPeer) bytes) must hold at least one message of "
                + "the maximum size (\(maximumPayloadBytes) bytes and \(FrameHeader.size) more)"
        }
        if maximumPendingConnections < 1 {
            return "at least one connection must be able to wait for its handshake"
        }
        if maximumQuestionsAtOnce < 0 || maximumQuestionsPerSecond < 0 || questionTimeoutMilliseconds < 1 {
            return "questions must have a time of at least 1 ms, and their numbers cannot be negative"
        }
        if connectTimeoutMilliseconds < 1 || handshakeTimeoutMilliseconds < 1 || pingIntervalMilliseconds < 1
        {
            return "timeouts and intervals must be at least 1 ms"
        }
        if pingTimeoutMilliseconds < 2 * pingIntervalMilliseconds {
            return
                "the ping timeout (\(pingTimeoutMilliseconds) ms) must be at least twice the ping interval "
                + "(\(pingIntervalMilliseconds) ms)"
        }
        if minimumRedialDelayMilliseconds < 1
            || maximumRedialDelayMilliseconds < minimumRedialDelayMilliseconds
        {
            return "the redial delay must start at 1 ms or more and not exceed its maximum"
        }
        if certificateReloadIntervalMilliseconds < 0 {
            return "the certificates cannot be read again before they were read"
        }
        if removedRedialDelayMilliseconds < 1 {
            return "the pause after a removal must be at least 1 ms"
        }
        return nil
    }
}
