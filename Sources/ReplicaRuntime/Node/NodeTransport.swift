import ConsensusTypes
import Logging
import NIOCore
import PeerTransport

/// What a ``ReplicaNode`` needs of the links to its peers. Every call comes on the node's loop, and every call
/// of the delegate goes there.
public protocol NodeTransport: AnyObject {
    var delegate: (any PeerTransportDelegate)? { get set }

    /// Begins to listen and to connect.
    func start() -> EventLoopFuture<Void>

    /// Replaces the set of peers. Links to peers whose address did not change stay. Who has departed was a
    /// peer, and is told that it is none any more when it connects. `memberSince` says where in its log this
    /// node knew itself to be a member, and one more, or is zero where it does not know yet.
    func update(peers: [PeerAddress], departed: [DepartedPeer], memberSince: UInt64)

    /// The peers that messages can be sent to, sorted.
    var connectedPeers: [NodeID] { get }

    func isConnected(to peer: NodeID) -> Bool

    /// Queues one message, or drops it and answers `false`. It leaves with ``flush()``.
    func send(_ payload: [UInt8], kind: UInt8, to peer: NodeID) -> Bool

    func flush()

    /// Closes everything. No call of the delegate comes after.
    func shutdown() -> EventLoopFuture<Void>
}

/// Who connects to whom.
public struct TransportStart: Sendable {
    public let nodeID: NodeID
    /// Zero where the node joins a cluster and does not know its id: then it takes that of the first peer that
    /// answers.
    public let clusterID: ClusterID
    /// Unique to this start of the node: peers know a restart by it.
    public let incarnation: UInt64
    /// The other nodes, and this one, where its address is known.
    public let peers: [PeerAddress]

    public init(nodeID: NodeID, clusterID: ClusterID, incarnation: UInt64, peers: [PeerAddress]) {
        self.nodeID = nodeID
        self.clusterID = clusterID
        self.incarnation = incarnation
        self.peers = peers
    }
}

/// Makes the links of a node: ``SocketNetwork`` for those between processes, ``InMemoryNetwork`` for nodes in
/// one process.
public protocol NodeNetwork: Sendable {
    /// Called on `loop`, which the transport then lives on.
    func makeTransport(_ start: TransportStart, loop: any EventLoop, logger: Logger) -> any NodeTransport

    /// Asks a node whose peer this process need not be; see ``PeerTransport/PeerQuestion``.
    func ask(
        _ question: [UInt8], at target: QuestionTarget, loop: any EventLoop, logger: Logger
    ) -> EventLoopFuture<[UInt8]>

    /// Whether nodes are found by their addresses, so that each must have its own.
    var isAddressed: Bool { get }
}

/// Whom a stranger asks.
public struct QuestionTarget: Hashable, Sendable, CustomStringConvertible {
    public let host: String
    public let port: Int
    /// Its id, where that is known; what finds it in an ``InMemoryNetwork``.
    public let node: NodeID?

    public init(host: String, port: Int, node: NodeID? = nil) {
        self.host = host
        self.port = port
        self.node = node
    }

    public var description: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}

/// Peers are reached over TCP.
public struct SocketNetwork: NodeNetwork {
    public var listeners: [ListenAddress]
    public var limits: PeerTransportLimits
    public var security: PeerSecurity

    public init(
        listeningOn listeners: [ListenAddress], limits: PeerTransportLimits = PeerTransportLimits(),
        security: PeerSecurity = .plaintext
    ) {
        self.listeners = listeners
        self.limits = limits
        self.security = security
    }

    public func makeTransport(
        _ start: TransportStart, loop: any EventLoop, logger: Logger
    ) -> any NodeTransport {
        SocketTransport(
            PeerTransport(
                loop: loop, nodeID: start.nodeID, clusterID: start.clusterID,
                incarnation: start.incarnation, peers: start.peers, limits: limits, security: security,
                logger: logger),
            listeners: listeners)
    }
}

extension SocketNetwork {
    public func ask(
        _ question: [UInt8], at target: QuestionTarget, loop: any EventLoop, logger: Logger
    ) -> EventLoopFuture<[UInt8]> {
        PeerQuestion.ask(
            question, host: target.host, port: target.port, limits: limits, security: security, loop: loop,
            logger: logger)
    }

    public var isAddressed: Bool { true }
}

/// A ``PeerTransport`` with the addresses that it will listen on.
private final class SocketTransport: NodeTransport {
    private let transport: PeerTransport
    private let listeners: [ListenAddress]

    init(_ transport: PeerTransport, listeners: [ListenAddress]) {
        self.transport = transport
        self.listeners = listeners
    }

    var delegate: (any PeerTransportDelegate)? {
        get { transport.delegate }
        set { transport.delegate = newValue }
    }

    func start() -> EventLoopFuture<Void> {
        transport.start(listeningOn: listeners).map { _ in }
    }

    func update(peers: [PeerAddress], departed: [DepartedPeer], memberSince: UInt64) {
        transport.update(peers: peers, departed: departed, memberSince: memberSince)
    }

    var connectedPeers: [NodeID] { transport.connectedPeers }

    func isConnected(to peer: NodeID) -> Bool {
        transport.isConnected(to: peer)
    }

    func send(_ payload: [UInt8], kind: UInt8, to peer: NodeID) -> Bool {
        transport.send(payload, kind: kind, to: peer)
    }

    func flush() {
        transport.flush()
    }

    func shutdown() -> EventLoopFuture<Void> {
        transport.shutdown()
    }
}
