import ConsensusTypes
import PeerTransport
import RaftCore
import ReplicaRuntime
import struct SystemPackage.FilePath
import WriteAheadLog

/// A ``NodeConfiguration`` that was checked, in the terms of the node below.
struct NodePlan: Sendable {
    let configuration: NodeConfiguration
    let options: ReplicaNodeOptions

    /// - Parameter purpose: what the cluster is for, such as `election scheduler`: clusters for different
    ///   purposes do not meet, and do not share a directory.
    init(
        _ configuration: NodeConfiguration, purpose: String, directoryName: String
    ) throws(HoldfastConfigurationError) {
        self.configuration = configuration
        let listener = try configuration.check()
        let cluster = "\(configuration.clusterName)\n\(purpose)"
        var members: [PeerAddress] = []
        for peer in configuration.peers {
            // Addresses mean nothing to nodes in one process.
            let address = HostAndPort(peer.address)
            members.append(
                PeerAddress(
                    node: StableHash.node(peer.name, cluster: cluster), host: address?.host ?? "memory",
                    port: address?.port ?? 1))
        }
        let node = StableHash.node(configuration.name, cluster: cluster)
        var replicaSettings = ReplicaSettings()
        replicaSettings.raft = try configuration.raftSettings()
        let directory = FilePath(configuration.dataDirectory).appending(directoryName)
        let network: any NodeNetwork
        switch configuration.transport {
        case .sockets:
            network = SocketNetwork(listeningOn: [listener])
        case .inMemory(let memory):
            network = memory.network
            memory.register(node, name: configuration.name)
        }
        var options = ReplicaNodeOptions(
            nodeID: node, name: configuration.name, clusterID: StableHash.cluster(cluster), peers: members,
            network: network, dataDirectory: directory)
        if case .inMemory(let memory) = configuration.transport {
            options.dataDirectory = FilePath("/").appending(directoryName)
            options.fileSystem = memory.disk(of: configuration.name)
            options.logOptions = WriteAheadLogOptions(segmentSizeBytes: 1 << 20)
        }
        options.replicaSettings = replicaSettings
        self.options = options
    }

    /// The names of the members that were configured.
    var names: [NodeID: String] {
        Dictionary(
            zip(options.peers.map(\.node), configuration.peers.map(\.name)), uniquingKeysWith: { $1 })
    }
}
