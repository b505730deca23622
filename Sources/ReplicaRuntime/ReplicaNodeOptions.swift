import ConsensusTypes
import PeerTransport
import struct SystemPackage.FilePath
import WriteAheadLog

/// What a node is started with.
public struct ReplicaNodeOptions: Sendable {
    public var nodeID: NodeID
    public var name: String
    public var clusterID: ClusterID
    /// All members with their addresses; this node is among them.
    public var peers: [PeerAddress]
    /// How the node reaches its peers.
    public var network: any NodeNetwork
    public var dataDirectory: FilePath
    public var replicaSettings = ReplicaSettings()
    public var logOptions = WriteAheadLogOptions()
    public var fileSystem: any FileSystem = RealFileSystem()
    /// An operator says that the node is to start with what is intact, whatever was lost.
    public var acceptsDataLoss = false
    public var admissionSettings = AdmissionSettings()

    public init(
        nodeID: NodeID, name: String, clusterID: ClusterID, peers: [PeerAddress], network: any NodeNetwork,
        dataDirectory: FilePath
    ) {
        self.nodeID = nodeID
        self.name = name
        self.clusterID = clusterID
        self.peers = peers
        self.network = network
        self.dataDirectory = dataDirectory
    }
}

/// Why a node ends by itself.
public enum NodeEnding: Hashable, Sendable {
    /// It cannot go on. What was acknowledged is durable; the log that is open is not to be trusted.
    case failed(String)
    /// It must be started again, and will then be adopted by a leader.
    case restart(String)
}
