import ConsensusTypes
import Logging
import PeerTransport

/// What a frame between nodes carries.
enum NodeFrameKind: UInt8 {
    case raft = 1
    case aside = 2
    case repair = 3
}

extension ReplicaNode: PeerTransportDelegate {
    public func transport(didReceive payload: ByteSlice, kind: UInt8, from peer: NodeID) {
        let now = Self.now()
        switch NodeFrameKind(rawValue: kind) {
        case .raft:
            switch admission.standing(of: peer) {
            case .accepted: receiveRaft(payload, from: peer, now: now)
            case .beingRemembered: keep(payload, from: peer)
            case .apart:
                admission.ignoredMessage(from: peer)
                carryOutAdmission()
            }
        case .aside:
            replica?.receiveAside(payload, from: peer, now: now)
        case .repair:
            do throws(ByteDecodingError) {
                admission.receive(try RepairMessageCoding.decode(payload), from: peer, now: now)
            } catch {
                logger.warning("a repair message cannot be decoded: \(error)", metadata: ["peer": "\(peer)"])
            }
            carryOutAdmission()
        case nil:
            logger.warning("a frame of unknown kind \(kind)", metadata: ["peer": "\(peer)"])
        }
    }

    private func receiveRaft(_ payload: ByteSlice, from peer: NodeID, now: Instant) {
        guard let group else { return }
        do throws(ByteDecodingError) {
            let (groupID, message) = try RaftMessageCoding.decode(payload)
            guard groupID == Self.groupID, message.from == peer else {
                logger.warning("a message names another group or sender", metadata: ["peer": "\(peer)"])
                return
            }
            lastHeard = now
            group.receiveMessage(message, now: now)
        } catch {
            logger.warning("a message cannot be decoded: \(error)", metadata: ["peer": "\(peer)"])
        }
    }

    /// Until the peer is remembered. What does not fit is dropped: the protocol sends again.
    private func keep(_ payload: ByteSlice, from peer: NodeID) {
        guard replica != nil, keptSizeBytes + payload.count <= Self.maximumKeptSizeBytes else {
            return
        }
        keptSizeBytes += payload.count
        kept.append((peer, payload))
    }

    func peerAccepted(_ peer: NodeID) {
        let now = Self.now()
        let messages = kept.filter { $0.peer == peer }
        kept.removeAll { $0.peer == peer }
        keptSizeBytes = kept.reduce(0) { $0 + $1.payload.count }
        guard let replica else { return }
        if transport.isConnected(to: peer) {
            replica.peerConnected(peer, now: now)
            if let ownAnnouncement { group.announce(ownAnnouncement, to: peer) }
        }
        for message in messages { receiveRaft(message.payload, from: peer, now: now) }
        scheduleTurn()
    }

    public func transportDidFinishReading() {
        scheduleTurn()
    }

    public func transport(peerConnected peer: NodeID) {
        let now = Self.now()
        logger.info("peer connected", metadata: ["peer": "\(peer)"])
        // Before anything else: without an introduction nothing counts.
        admission.peerConnected(peer, now: now)
        carryOutAdmission()
        replica?.peerConnected(peer, now: now)
        if let ownAnnouncement { group?.announce(ownAnnouncement, to: peer) }
    }

    public func transport(peerDisconnected peer: NodeID) {
        logger.info("peer disconnected", metadata: ["peer": "\(peer)"])
        admission.peerDisconnected(peer, now: Self.now())
        carryOutAdmission()
        replica?.peerDisconnected(peer, now: Self.now())
    }

    public func transport(peerStopped peer: NodeID) {
        logger.info("peer stopped", metadata: ["peer": "\(peer)"])
        replica?.peerStopped(peer, now: Self.now())
    }
}
