import ConsensusTypes

/// What has passed between this node and one peer since the transport started.
public struct PeerStatistics: Hashable, Sendable {
    public let peer: NodeID
    public internal(set) var isConnected = false
    /// Messages and their bytes on the wire, headers included; handshakes and pings are not counted.
    public internal(set) var sentFrames: UInt64 = 0
    public internal(set) var sentBytes: UInt64 = 0
    public internal(set) var receivedFrames: UInt64 = 0
    public internal(set) var receivedBytes: UInt64 = 0
    /// Messages that were not queued: no link, a full queue, or too large.
    public internal(set) var droppedFrames: UInt64 = 0
    /// How often a dialled link finished its handshake.
    public internal(set) var establishedLinks: UInt64 = 0
    /// What waits to be taken by the socket.
    public internal(set) var queuedBytes = 0
    /// The last ping's round trip, or `nil` before the first answer on the present link.
    public internal(set) var roundTrip: Interval?

    init(peer: NodeID) {
        self.peer = peer
    }
}
