import ConsensusTypes
import Logging
import PeerTransport

// What comes from peers goes to the group that it is for.
extension ReplicaNode: PeerTransportDelegate {
    public func transport(didReceive payload: ByteSlice, kind: UInt8, from peer: NodeID) {
        let now = Self.now()
        switch NodeFrameKind(rawValue: kind) {
        case .raft:
            addressee(payload, from: peer, now: now)?.receiveRaft(payload, from: peer, now: now)
        case .aside:
            groups[0].receiveAside(payload, from: peer, now: now)
        case .repair:
            groups[0].receiveRepair(payload, from: peer, now: now)
        case .groupAside:
            guard let group = addressee(payload, from: peer, now: now) else { return }
            group.receiveAside(payload[GroupFrame.headerSizeBytes..<payload.count], from: peer, now: now)
        case .groupRepair:
            guard let group = addressee(payload, from: peer, now: now) else { return }
            group.receiveRepair(payload[GroupFrame.headerSizeBytes..<payload.count], from: peer, now: now)
        case nil:
            logger.warning("a frame of unknown kind \(kind)", metadata: ["peer": "\(peer)"])
        }
    }

    /// The group whose number the payload begins with.
    private func addressee(_ payload: ByteSlice, from peer: NodeID, now: Instant) -> (any NodeGroup)? {
        var reader = ByteReader(payload)
        guard let number = try? reader.readUInt64() else {
            logger.warning("a message is too short", metadata: ["peer": "\(peer)"])
            return nil
        }
        if let group = group(GroupID(number)) { return group }
        strayMessageCount += 1
        if now >= nextStrayReport {
            nextStrayReport = now + .seconds(10)
            logger.warning(
                "messages for a group that this node does not host are dropped",
                metadata: [
                    "group": "\(number)", "peer": "\(peer)", "dropped-so-far": "\(strayMessageCount)",
                ])
        }
        return nil
    }

    public func transportDidFinishReading() {
        scheduleTurn()
    }

    public func transport(peerConnected peer: NodeID) {
        logger.info("peer connected", metadata: ["peer": "\(peer)"])
        removalReporters[peer] = nil
        for group in groups { group.peerConnected(peer, now: Self.now()) }
    }

    public func transport(peerDisconnected peer: NodeID) {
        logger.info("peer disconnected", metadata: ["peer": "\(peer)"])
        for group in groups { group.peerDisconnected(peer, now: Self.now()) }
    }

    public func transport(peerStopped peer: NodeID) {
        logger.info("peer stopped", metadata: ["peer": "\(peer)"])
        for group in groups { group.peerStopped(peer, now: Self.now()) }
    }
}
