import ConsensusTypes
import PeerTransport
import WriteAheadLog

/// Whom a node keeps links to, and whom it tells that they are members no more.
///
/// Links follow the membership in force, which need not be committed. Nobody is cut off by it before a membership
/// without them is committed, and for a while longer, so that they can learn of it. A node that is behind may not
/// know its leader: such strangers are let in for as long as they are connected.
package struct KnownMembers {
    /// The most nodes that are let in although no membership names them.
    static let maximumVisitors = 16

    /// How long somebody is let in without being connected.
    private static let visit = Interval.milliseconds(30_000)

    let nodeID: NodeID
    /// Dialled instead of what the membership says, as through a proxy.
    private let routes: [PeerAddress]
    /// What the node was started with: for addresses that the membership does not give.
    private let given: [MemberDescription]
    /// How long a link to a node that left stays.
    private let patience: Interval

    package private(set) var inForce: Membership
    package private(set) var committed: Membership
    package private(set) var committedIndex: LogIndex
    /// Whom to ask until a committed membership has this node.
    private var introducers: [NodeID]
    private var leaving: [(node: NodeID, until: Instant)] = []
    private var visitors: [(address: PeerAddress, until: Instant)] = []
    /// Memberships of groups that follow these: links are kept to their members too.
    package var others: [Membership] = []
    package private(set) var departed: [ClusterRecord.Departed]
    /// See ``PeerTransport/PeerTransport/update(peers:departed:memberSince:)``.
    package private(set) var memberSince: UInt64 = 0

    package init(
        nodeID: NodeID, record: ClusterRecord, given: [MemberDescription], routes: [PeerAddress],
        patience: Interval
    ) {
        self.nodeID = nodeID
        self.given = given + record.latest.descriptions + record.first.descriptions
        self.routes = routes
        self.patience = patience
        inForce = record.latest
        committed = record.latest
        committedIndex = record.latestIndex
        introducers = (record.first.members + record.latest.members).filter { $0 != nodeID }
        departed = record.departed
    }

    // MARK: Events

    /// What the log holds when the node starts: the membership in force, and the one at the commit index, which
    /// may be behind what was written down.
    package mutating func start(
        inForce: Membership, committed: Membership, through index: LogIndex, now: Instant
    ) {
        self.inForce = inForce
        if index >= committedIndex {
            _ = self.committed(committed, index: index, now: now)
        } else {
            self.committed = committed
        }
        noteCommitted(index)
    }

    package mutating func changed(_ membership: Membership) {
        inForce = membership
    }

    /// Answers whether this changed anything.
    package mutating func committed(_ membership: Membership, index: LogIndex, now: Instant) -> Bool {
        committedIndex = max(committedIndex, index)
        guard membership != committed else { return false }
        let gone = KnownMembers.nodes(of: committed).filter {
            $0 != nodeID && !KnownMembers.nodes(of: membership).contains($0)
        }
        committed = membership
        for node in gone {
            leaving.removeAll { $0.node == node }
            leaving.append((node, now + patience))
            departed.removeAll { $0.node == node }
            departed.append(ClusterRecord.Departed(node: node, position: index.rawValue + 1))
        }
        departed.removeAll { KnownMembers.nodes(of: membership).contains($0.node) }
        departed.removeFirst(max(0, departed.count - ClusterRecord.maximumDeparted))
        noteCommitted(index)
        return true
    }

    private mutating func noteCommitted(_ index: LogIndex) {
        guard KnownMembers.nodes(of: committed).contains(nodeID) else { return }
        memberSince = index.rawValue + 1
        introducers = []
    }

    /// A node that no membership names wants to connect. Answers whether it is let in.
    package mutating func letIn(_ stranger: PeerAddress, now: Instant) -> Bool {
        guard stranger.node != nodeID, !nodes.contains(stranger.node),
            visitors.count < KnownMembers.maximumVisitors
        else { return false }
        visitors.append((stranger, now + KnownMembers.visit))
        return true
    }

    /// As ``letIn(_:now:)``, of a node whose address does not matter.
    package mutating func letIn(_ stranger: NodeID, now: Instant) -> Bool {
        letIn(PeerAddress(node: stranger, host: "address-unknown.invalid", port: 1), now: now)
    }

    /// Ends the time of those that left and of visitors that are not `connected`. Answers who was a member and is
    /// to be forgotten.
    package mutating func expire(connected: [NodeID], now: Instant) -> [NodeID] {
        let over = leaving.filter { $0.until <= now }.map(\.node)
        leaving.removeAll { $0.until <= now }
        let names =
            KnownMembers.nodes(of: inForce) + KnownMembers.nodes(of: committed)
            + others.flatMap(KnownMembers.nodes)
        visitors = visitors.compactMap { visitor in
            if names.contains(visitor.address.node) { return nil }
            guard visitor.until <= now else { return visitor }
            return connected.contains(visitor.address.node)
                ? (visitor.address, now + KnownMembers.visit) : nil
        }
        return over.filter { !names.contains($0) }
    }

    // MARK: What follows

    package var nextDeadline: Instant {
        (leaving.map(\.until) + visitors.map(\.until)).min() ?? .distantFuture
    }

    /// Whether a committed membership has removed this node. One that joins was never there.
    package var isRemoved: Bool { memberSince > 0 && !KnownMembers.nodes(of: committed).contains(nodeID) }

    /// Members, and those that were evicted and may come back.
    private static func nodes(of membership: Membership) -> [NodeID] {
        membership.members + membership.evicted
    }

    /// All nodes that links are kept to, sorted.
    package var nodes: [NodeID] {
        var all =
            KnownMembers.nodes(of: inForce) + KnownMembers.nodes(of: committed)
            + others.flatMap(KnownMembers.nodes) + introducers + leaving.map(\.node)
            + visitors.map(\.address.node)
        all.sort()
        var result: [NodeID] = []
        for node in all where node != nodeID && result.last != node { result.append(node) }
        return result
    }

    /// Their addresses, and this node's own, where it is known.
    var addresses: [PeerAddress] {
        let own = route(to: nodeID).map { [$0] } ?? []
        // Where no address is known the peer can still dial this node: to be let in it must be among the peers.
        return own
            + nodes.map { route(to: $0) ?? PeerAddress.unknown($0) }
    }

    private func route(to node: NodeID) -> PeerAddress? {
        routes.first { $0.node == node } ?? inForce.description(of: node)?.peerAddress
            ?? committed.description(of: node)?.peerAddress
            ?? others.compactMap { $0.description(of: node)?.peerAddress }.first
            ?? given.first { $0.node == node && $0.peerAddress != nil }?.peerAddress
            ?? visitors.first { $0.address.node == node }?.address
    }

    /// Whom to tell that they were removed.
    var departedPeers: [DepartedPeer] {
        departed.map { DepartedPeer(node: $0.node, position: $0.position) }
    }
}
