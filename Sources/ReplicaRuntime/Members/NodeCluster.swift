import ConsensusTypes
import struct SystemPackage.FilePath
import WriteAheadLog

/// Which cluster a node belongs to, by what its data directory says and, where that says nothing, by how it was
/// started.
package struct NodeCluster {
    package let record: ClusterRecord
    /// Whether ``record`` must be written down.
    package let isNew: Bool
    /// What the directory's `IDENTITY` says, or will say: the cluster's id as the node was first started with.
    package let identityCluster: ClusterID
    /// What was wrong and could be made up for.
    package let damage: String?

    static func find(_ options: ReplicaNodeOptions) throws(NodeError) -> NodeCluster {
        try find(
            options.dataDirectory, node: options.nodeID, clusterID: options.clusterID,
            membership: options.membership, joinsCluster: options.joinsCluster,
            fileSystem: options.fileSystem)
    }

    /// Reads what stands beside the log. Nothing is changed. The arguments are as in ``ReplicaNodeOptions``.
    package static func find(
        _ directory: FilePath, node: NodeID, clusterID: ClusterID, membership: Membership,
        joinsCluster: Bool, fileSystem: any FileSystem
    ) throws(NodeError) -> NodeCluster {
        do throws(DataDirectoryError) {
            let identity = try readIdentity(directory, fileSystem)
            var damage: DataDirectoryError?
            do throws(DataDirectoryError) {
                if let record = try ClusterFile.read(directory, fileSystem: fileSystem) {
                    return NodeCluster(
                        record: record, isNew: false,
                        identityCluster: identity?.cluster ?? clusterID, damage: nil)
                }
            } catch {
                // The id of a cluster that this node founded follows from its members: so they are the same.
                guard case .damaged = error, identity?.cluster == clusterID, !joinsCluster
                else { throw error }
                damage = error
            }
            let hasLog = try exists(directory.appending("log"), fileSystem)
            // A log without a record is one of a version that knew no joining.
            let joins = joinsCluster && !hasLog
            let first = joins ? membership.without(node) : membership
            let record = ClusterRecord(
                cluster: joins ? ClusterID(0) : clusterID, isJoined: joins, first: first,
                latest: first)
            return NodeCluster(
                record: record, isNew: true, identityCluster: clusterID,
                damage: damage.map { "\($0)" })
        } catch {
            throw .dataDirectory(error)
        }
    }

    /// `nil` where it is lost too: what then becomes of the node is decided when the directory is opened.
    private static func readIdentity(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> NodeIdentity? {
        do throws(DataDirectoryError) {
            return try DataDirectory.identity(directory, fileSystem: fileSystem)
        } catch {
            guard case .damaged = error else { throw error }
            return nil
        }
    }

    private static func exists(
        _ path: FilePath, _ fileSystem: any FileSystem
    ) throws(DataDirectoryError) -> Bool {
        do throws(FileSystemError) {
            return try fileSystem.exists(path)
        } catch {
            throw .fileSystem(error)
        }
    }

    /// A node that was started for another cluster than its data belongs to is stopped. One that names the
    /// members as they were first named, or as they are now, is not.
    func require(_ options: ReplicaNodeOptions, inForce: Membership) throws(NodeError) {
        let given = options.clusterID
        guard given != identityCluster, given != record.cluster, options.membership.members != inForce.members
        else { return }
        throw .dataDirectory(
            .mismatch(
                file: options.dataDirectory.appending("IDENTITY"), field: "cluster",
                found: identityCluster.description, expected: given.description))
    }
}

extension Membership {
    func without(_ node: NodeID) -> Membership {
        Membership(
            voters: voters.filter { $0 != node }, learners: learners.filter { $0 != node },
            descriptions: descriptions.filter { $0.node != node })
    }
}
