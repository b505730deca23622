import ConsensusTypes
import PeerTransport
import struct SystemPackage.FilePath
import WriteAheadLog

/// What a node is started with.
public struct ReplicaNodeOptions: Sendable {
    public var nodeID: NodeID
    public var name: String
    /// Which cluster the node belongs to: of a new cluster, or of what is said of one that runs
    /// (``joinsCluster``), a number that follows from ``membership`` and must be the same at every start.
    public var clusterID: ClusterID
    /// The members that the node is told of, this node among them. What the data directory says goes before it.
    public var membership: Membership
    /// The members' addresses as they were given, where nothing else was.
    public private(set) var peers: [PeerAddress] = []
    /// Whether the cluster runs already and this node, where its directory is empty, joins it: then ``membership``
    /// names those who are asked, who must have added this node to theirs, and the cluster's id is had from them.
    public var joinsCluster = false
    /// Where the cluster runs already and the directory is empty: members that are asked to let this node join, any
    /// of them. See ``ClusterJoin``.
    public var seeds: [QuestionTarget] = []
    /// How long the members are asked before that is given up.
    public var joinTimeoutMilliseconds = 60_000
    /// The cluster's name, which who joins must know. Keeps clusters apart that could meet on the network.
    public var clusterName = ""
    /// Whether nodes may join by asking this one, without anybody's adding them before.
    public var acceptsJoins = false
    /// What a new directory is named; any number where it is `nil`.
    public var newDirectoryID: DirectoryID?
    /// Where peers are dialled instead of what the membership says, as through a proxy.
    public var routes: [PeerAddress] = []
    /// How the node reaches its peers.
    public var network: any NodeNetwork
    public var dataDirectory: FilePath
    public var replicaSettings = ReplicaSettings()
    public var logOptions = WriteAheadLogOptions()
    public var fileSystem: any FileSystem = RealFileSystem()
    /// An operator says that the node is to start with what is intact, whatever was lost.
    public var acceptsDataLoss = false
    /// For how long the machine has been suspended since it started.
    public var suspendedTime: @Sendable () -> Interval = MachineSuspension.total
    public var admissionSettings = AdmissionSettings()

    public init(
        nodeID: NodeID, name: String, clusterID: ClusterID, membership: Membership,
        network: any NodeNetwork, dataDirectory: FilePath
    ) {
        self.nodeID = nodeID
        self.name = name
        self.clusterID = clusterID
        self.membership = membership
        self.network = network
        self.dataDirectory = dataDirectory
    }

    /// All members vote, and nothing but their addresses is said of them.
    public init(
        nodeID: NodeID, name: String, clusterID: ClusterID, peers: [PeerAddress], network: any NodeNetwork,
        dataDirectory: FilePath
    ) {
        self.init(
            nodeID: nodeID, name: name, clusterID: clusterID, membership: Membership(voters: peers),
            network: network, dataDirectory: dataDirectory)
        self.peers = peers
    }
}

/// Why a node ends by itself.
public enum NodeEnding: Hashable, Sendable {
    /// It cannot go on. What was acknowledged is durable; the log that is open is not to be trusted.
    case failed(String)
    /// It must be started again, and will then be adopted by a leader.
    case restart(String)
}
