import ConsensusTypes

/// Where a peer listens for other nodes.
public struct PeerAddress: Hashable, Sendable, CustomStringConvertible {
    /// Another place where the peer may be reached.
    public struct Alternative: Hashable, Sendable {
        public let host: String
        public let port: Int

        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    public let node: NodeID
    /// A host name, or an IPv4 or IPv6 address without brackets.
    public let host: String
    public let port: Int
    /// Dialled in turn where the peer does not answer at the one before.
    public let alternatives: [Alternative]

    public init(node: NodeID, host: String, port: Int, alternatives: [Alternative] = []) {
        self.node = node
        self.host = host
        self.port = port
        self.alternatives = alternatives
    }

    /// How many places there are.
    var count: Int { 1 + alternatives.count }

    /// One of them alone.
    func choice(_ position: Int) -> PeerAddress {
        guard position > 0 else { return PeerAddress(node: node, host: host, port: port) }
        let alternative = alternatives[position - 1]
        return PeerAddress(node: node, host: alternative.host, port: alternative.port)
    }

    /// A peer of which only the id is known: it is let in, and not dialled.
    public static func unknown(_ node: NodeID) -> PeerAddress {
        PeerAddress(node: node, host: "", port: 0)
    }

    var isKnown: Bool { !host.isEmpty }

    public var description: String {
        guard isKnown else { return "\(node) at an unknown address" }
        return "\(node) at \(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}

/// Where this node listens for its peers. Port 0 lets the system choose one.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    public var description: String {
        "\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}

/// A node that was a peer and is none any more.
public struct DepartedPeer: Hashable, Sendable {
    public let node: NodeID
    /// Where in the log it was removed, and one more. A node that knew itself to be a member at a later place was
    /// added again.
    public let position: UInt64

    public init(node: NodeID, position: UInt64) {
        self.node = node
        self.position = position
    }
}
