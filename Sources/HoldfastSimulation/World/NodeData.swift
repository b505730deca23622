import ConsensusTypes
import RaftCore
import ReplicaRuntime
import WriteAheadLog

/// What is on the disk of a node that starts, whatever state machine it has.
struct NodeData {
    let log: WriteAheadLog
    let snapshots: SnapshotStore
    let state: RestoredState

    init(
        number: Int, nodeCount: Int, disk: SimulatedFileSystem, segmentSizeBytes: Int
    ) throws(NodeError) {
        let opened: WriteAheadLog.Opened
        do throws(DataDirectoryError) {
            let directory = try DataDirectory.open(
                "/node",
                identity: NodeIdentity(
                    cluster: ClusterID(1), node: NodeNumber.id(number), name: "node\(number)"),
                fileSystem: disk)
            opened = try directory.openLog(
                options: WriteAheadLogOptions(segmentSizeBytes: segmentSizeBytes))
            snapshots = try directory.openSnapshots()
        } catch {
            throw .dataDirectory(error)
        }
        log = opened.log
        let found = opened.groups.first { $0.group == KeyValueNode.groupID }
        let membership = Membership(voters: (0..<nodeCount).map(NodeNumber.id))
        state = RestoredState(
            hardState: found?.hardState ?? HardState(),
            snapshot: found?.snapshot
                ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership),
            entries: found?.entries ?? [])
    }

    /// Gives the snapshot that the log starts after to `restorer`.
    func restore(into restorer: any SnapshotRestorer) throws(NodeError) {
        let file: SnapshotFile
        do throws(SnapshotError) {
            file = try snapshots.open(KeyValueNode.groupID, state.snapshot)
        } catch {
            if case .missing = error {
                throw .snapshotMissing(directory: snapshots.directory, index: state.snapshot.index)
            }
            throw .snapshot(error)
        }
        var offset: UInt64 = 0
        while offset < file.sizeBytes {
            let bytes: ByteSlice
            do throws(SnapshotError) {
                bytes = try file.read(at: offset, maximum: 4 << 20)
            } catch {
                throw .snapshot(error)
            }
            offset += UInt64(bytes.count)
            do throws(ByteDecodingError) {
                try restorer.receive(bytes)
            } catch {
                throw .snapshotContents(file: file.path, error)
            }
        }
        do throws(ByteDecodingError) {
            try restorer.finish()
        } catch {
            throw .snapshotContents(file: file.path, error)
        }
    }
}
