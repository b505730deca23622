import ConsensusTypes
import WriteAheadLog

extension NodeAdmission {
    /// Others are members now. What is known of those that stay is kept.
    ///
    /// - Parameters:
    ///   - membership: the one in force.
    ///   - nodes: everyone whom links are kept to: those of the membership, and those that have left it and may
    ///     not know that yet.
    ///   - records: what this node remembers.
    public func update(membership: Membership, nodes: [NodeID], records: [MemberRecord], now: Instant) {
        self.membership = membership
        for peer in peers where !nodes.contains(peer.node) {
            peerDisconnected(peer.node, now: now)
        }
        peers.removeAll { !nodes.contains($0.node) }
        for node in nodes where node != nodeID && position(of: node) == nil {
            peers.append(Peer(node: node, record: records.first { $0.node == node }))
        }
        peers.sort { $0.node < $1.node }
        if mode == .asking { admitIfKnownToBeFirst(now: now) }
        if isRepairing { work(now: now) }
    }
}
