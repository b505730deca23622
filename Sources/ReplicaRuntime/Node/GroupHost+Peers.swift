import ConsensusTypes
import Logging

/// What a frame between nodes carries.
package enum NodeFrameKind: UInt8 {
    /// A message of the protocol; it begins with its group's number.
    case raft = 1
    /// Of the first group.
    case aside = 2
    /// Of the first group.
    case repair = 3
    /// The group's number, and what ``aside`` carries.
    case groupAside = 4
    /// The group's number, and what ``repair`` carries.
    case groupRepair = 5
}

// What comes from peers for this group, and what goes to them.
extension GroupHost {
    package func receiveRaft(_ payload: ByteSlice, from peer: NodeID, now: Instant) {
        switch admission.standing(of: peer) {
        case .accepted:
            take(payload, from: peer, now: now)
        case .beingRemembered:
            keep(payload, from: peer)
        case .apart:
            admission.ignoredMessage(from: peer)
            carryOutAdmission()
        }
    }

    private func take(_ payload: ByteSlice, from peer: NodeID, now: Instant) {
        guard let group else { return }
        do throws(ByteDecodingError) {
            let (groupID, message) = try RaftMessageCoding.decode(payload)
            guard groupID == id, message.from == peer else {
                logger.warning("a message names another group or sender", metadata: ["peer": "\(peer)"])
                return
            }
            node?.lastHeard = now
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

    package func receiveAside(_ payload: ByteSlice, from peer: NodeID, now: Instant) {
        replica?.receiveAside(payload, from: peer, now: now)
    }

    package func receiveRepair(_ payload: ByteSlice, from peer: NodeID, now: Instant) {
        do throws(ByteDecodingError) {
            admission.receive(try RepairMessageCoding.decode(payload), from: peer, now: now)
        } catch {
            logger.warning("a repair message cannot be decoded: \(error)", metadata: ["peer": "\(peer)"])
        }
        carryOutAdmission()
    }

    func peerAccepted(_ peer: NodeID) {
        let now = ReplicaNode.now()
        let messages = kept.filter { $0.peer == peer }
        kept.removeAll { $0.peer == peer }
        keptSizeBytes = kept.reduce(0) { $0 + $1.payload.count }
        guard let replica, let node else { return }
        if node.transport.isConnected(to: peer) {
            replica.peerConnected(peer, now: now)
            if let ownAnnouncement { group.announce(ownAnnouncement, to: peer) }
        }
        for message in messages { take(message.payload, from: peer, now: now) }
        scheduleTurn()
    }

    package func peerConnected(_ peer: NodeID, now: Instant) {
        // Before anything else: without an introduction nothing counts.
        admission.peerConnected(peer, now: now)
        carryOutAdmission()
        replica?.peerConnected(peer, now: now)
        if let ownAnnouncement { group?.announce(ownAnnouncement, to: peer) }
    }

    package func peerDisconnected(_ peer: NodeID, now: Instant) {
        admission.peerDisconnected(peer, now: now)
        carryOutAdmission()
        replica?.peerDisconnected(peer, now: now)
    }

    package func peerStopped(_ peer: NodeID, now: Instant) {
        replica?.peerStopped(peer, now: now)
    }

    // MARK: Sending

    func sendAside(_ bytes: [UInt8], to peer: NodeID) {
        send(bytes, first: .aside, other: .groupAside, to: peer)
    }

    func sendRepair(_ message: RepairMessage, to peer: NodeID) {
        send(RepairMessageCoding.encode(message), first: .repair, other: .groupRepair, to: peer)
    }

    private func send(_ bytes: [UInt8], first: NodeFrameKind, other: NodeFrameKind, to peer: NodeID) {
        guard let node else { return }
        if isFirst {
            _ = node.transport.send(bytes, kind: first.rawValue, to: peer)
            return
        }
        _ = node.transport.send(GroupFrame.encode(bytes, group: id), kind: other.rawValue, to: peer)
    }
}

/// The payload of a frame that names a group in front of what the first group's frames carry alone.
enum GroupFrame {
    static let headerSizeBytes = 8

    static func encode(_ bytes: [UInt8], group: GroupID) -> [UInt8] {
        var writer = ByteWriter(reserving: headerSizeBytes + bytes.count)
        writer.write(group.rawValue)
        bytes.withUnsafeBytes { writer.writeRaw($0) }
        return writer.bytes
    }
}
