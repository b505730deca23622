import ConsensusTypes
import PeerTransport
import RaftCore
import ReplicaRuntime
import struct SystemPackage.FilePath
import WriteAheadLog

/// A ``NodeConfiguration`` that was checked, in the terms of the node below.
struct NodePlan: Sendable {
    let configuration: NodeConfiguration
    /// Tells clusters apart; also a part of what nodes' ids are made from.
    let cluster: String
    var options: ReplicaNodeOptions

    /// - Parameter purpose: what the cluster is for, such as `election scheduler`: clusters for different
    ///   purposes do not meet, and do not share a directory.
    init(
        _ configuration: NodeConfiguration, purpose: String, directoryName: String
    ) throws(HoldfastConfigurationError) {
        self.configuration = configuration
        let listener = try configuration.check()
        let cluster = "\(configuration.clusterName)\n\(purpose)"
        self.cluster = cluster
        let members = configuration.peers.map { Self.description($0, cluster: cluster) }
        let node = StableHash.node(configuration.name, cluster: cluster)
        var replicaSettings = ReplicaSettings()
        replicaSettings.raft = try configuration.raftSettings()
        replicaSettings.members = try configuration.memberSettings()
        let directory = FilePath(configuration.dataDirectory).appending(directoryName)
        let network: any NodeNetwork
        switch configuration.transport {
        case .sockets:
            network = SocketNetwork(listeningOn: [listener], security: configuration.peerSecurity)
        case .inMemory(let memory):
            network = memory.network
            memory.register(node, name: configuration.name)
        }
        var options = ReplicaNodeOptions(
            nodeID: node, name: configuration.name, clusterID: StableHash.cluster(cluster),
            membership: Membership(voters: members.map(\.node), descriptions: members), network: network,
            dataDirectory: directory)
        options.joinsCluster = configuration.joinsRunningCluster
        options.seeds = configuration.seeds.map { seed in
            let address = HostAndPort(seed)
            return QuestionTarget(
                host: address?.host ?? seed, port: address?.port ?? 1,
                node: StableHash.node(seed, cluster: cluster))
        }
        options.joinTimeoutMilliseconds = configuration.joinTimeoutMilliseconds
        options.clusterName = cluster
        options.acceptsJoins = configuration.acceptsJoins
        if case .inMemory(let memory) = configuration.transport {
            options.dataDirectory = FilePath("/").appending(directoryName)
            options.fileSystem = memory.disk(of: configuration.name)
            options.logOptions = WriteAheadLogOptions(segmentSizeBytes: 1 << 20)
        }
        options.replicaSettings = replicaSettings
        self.options = options
    }

    /// What the cluster is told of a member.
    static func description(_ peer: Peer, cluster: String) -> MemberDescription {
        // Addresses mean nothing to nodes in one process.
        let address = HostAndPort(peer.address)
        return MemberDescription(
            node: StableHash.node(peer.name, cluster: cluster), isWitness: peer.isWitness,
            information: MemberInformation(
                name: peer.name,
                peerAddresses: [.init(host: address?.host ?? "memory", port: address?.port ?? 1)]
            ).encode())
    }
}
