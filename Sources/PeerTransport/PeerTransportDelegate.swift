import ConsensusTypes

/// What a ``PeerTransport`` tells its owner. Every call comes on the transport's event loop, and may call
/// the transport back.
public protocol PeerTransportDelegate: AnyObject {
    /// A message arrived whole and undamaged.
    ///
    /// The payload shares its storage with what else was read at the same time: who keeps a small part of it
    /// for long copies it (``ConsensusTypes/ByteSlice/bytes``).
    func transport(didReceive payload: ByteSlice, kind: UInt8, from peer: NodeID)

    /// Nothing more of what one connection had to read is left. Comes once after one or more calls of
    /// ``transport(didReceive:kind:from:)``, so that the owner can act once on all of them.
    func transportDidFinishReading()

    /// Messages to the peer can be sent from now on.
    func transport(peerConnected peer: NodeID)

    /// The link to the peer broke. Messages that were queued may be lost.
    func transport(peerDisconnected peer: NodeID)

    /// The peer's process ended: nothing listens at its address any more, or another incarnation of it
    /// answers. Comes at most once for each incarnation that was seen.
    ///
    /// This is strong evidence, no proof (a firewall may refuse connections too), and the peer may be up again
    /// already: use it to begin what a false alarm does not harm, such as a pre-vote.
    func transport(peerStopped peer: NodeID)

    /// A member told this node, which was started without knowing, which cluster it belongs to. Comes once.
    func transport(learnedCluster cluster: ClusterID, from peer: NodeID)

    /// A node of this cluster that is no peer wants to connect. It was refused; it is let in when it comes again
    /// if it is a peer by then. It may know of later members than this node does.
    func transport(strangerKnocked address: PeerAddress)

    /// The peer says that this node was a member of the cluster and is none any more. It is asked again, seldom.
    func transport(removalReportedBy peer: NodeID)

    /// A stranger asks something, in the words of the protocol above; how many may do so is bounded. `answer` is
    /// to be called on the loop, once, within ``PeerTransportLimits/questionTimeoutMilliseconds``, with at most
    /// ``PeerQuestion/maximumAnswerSizeBytes``. `false`: this node answers no questions.
    func transport(asked question: ByteSlice, answer: @escaping ([UInt8]) -> Void) -> Bool
}

extension PeerTransportDelegate {
    public func transport(learnedCluster cluster: ClusterID, from peer: NodeID) {}
    public func transport(strangerKnocked address: PeerAddress) {}
    public func transport(removalReportedBy peer: NodeID) {}
    public func transport(asked question: ByteSlice, answer: @escaping ([UInt8]) -> Void) -> Bool { false }
}
