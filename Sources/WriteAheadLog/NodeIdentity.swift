import ConsensusTypes

/// Whose data a directory holds.
public struct NodeIdentity: Hashable, Sendable {
    public static let maximumNameBytes = 1_024

    public let cluster: ClusterID
    public let node: NodeID
    /// At most ``maximumNameBytes`` of UTF-8.
    public let name: String

    public init(cluster: ClusterID, node: NodeID, name: String) {
        self.cluster = cluster
        self.node = node
        self.name = name
    }
}
