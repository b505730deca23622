import ConsensusTypes
import KeyValueCore
import RaftCore
import struct SystemPackage.FilePath
import WriteAheadLog

/// Why a node cannot start. Each prints one line with the place and what to do.
public enum NodeError: Error, Sendable, CustomStringConvertible {
    case dataDirectory(DataDirectoryError)
    case snapshot(SnapshotError)
    /// A snapshot whose checksums are right, but which does not decode.
    case snapshotContents(file: FilePath, ByteDecodingError)
    /// The log starts after a snapshot that is not there.
    case snapshotMissing(directory: FilePath, index: LogIndex)
    /// The members that the data was written with are not those that the node was started with.
    case membershipDiffers(stored: String, given: String)

    public var description: String {
        switch self {
        case .dataDirectory(let error): "\(error)"
        case .snapshot(let error): "\(error)"
        case .snapshotContents(let file, let error):
            "snapshot: \(file) is damaged: \(error); restore this node from its peers"
        case .snapshotMissing(let directory, let index):
            "snapshot: the log starts after index \(index), and \(directory) has no snapshot of it; put it "
                + "back, or restore this node from its peers"
        case .membershipDiffers(let stored, let given):
            "the data belongs to a cluster of the members \(stored), but --initial-cluster names \(given); "
                + "start with the members of before, or with another --data-dir"
        }
    }
}

/// What a node's data directory held.
public struct RecoveredNode {
    public let directory: DataDirectory
    public let log: WriteAheadLog
    public let snapshots: SnapshotStore
    public let store: KeyValueStore
    public let state: RestoredState
    public let report: RecoveryReport

    /// Opens the directory, and reads the log and the snapshot that it starts after.
    ///
    /// - Parameter membership: what a directory without a snapshot starts with, and what one with a snapshot
    ///   must agree with.
    public init(
        directory path: FilePath, identity: NodeIdentity, membership: Membership,
        logOptions: WriteAheadLogOptions, fileSystem: any FileSystem
    ) throws(NodeError) {
        let opened: WriteAheadLog.Opened
        do throws(DataDirectoryError) {
            directory = try DataDirectory.open(path, identity: identity, fileSystem: fileSystem)
            opened = try directory.openLog(options: logOptions)
            snapshots = try directory.openSnapshots()
        } catch {
            throw .dataDirectory(error)
        }
        log = opened.log
        report = opened.report
        let found = opened.groups.first { $0.group == KeyValueNode.groupID }
        if let snapshot = found?.snapshot {
            guard snapshot.membership == membership else {
                throw .membershipDiffers(
                    stored: RecoveredNode.text(snapshot.membership), given: RecoveredNode.text(membership))
            }
            store = try RecoveredNode.restore(snapshot, snapshots)
        } else {
            store = KeyValueStore()
        }
        state = RestoredState(
            hardState: found?.hardState ?? HardState(),
            snapshot: found?.snapshot
                ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership),
            entries: found?.entries ?? [])
    }

    private static func restore(
        _ metadata: SnapshotMetadata, _ snapshots: SnapshotStore
    ) throws(NodeError) -> KeyValueStore {
        let file: SnapshotFile
        var bytes = ByteSlice()
        var reader = SnapshotReader()
        do throws(SnapshotError) {
            let isThere = try snapshots.contains(
                KeyValueNode.groupID, index: metadata.index, term: metadata.term)
            file =
                isThere
                ? try snapshots.open(KeyValueNode.groupID, metadata)
                : try missing(metadata, snapshots)
        } catch {
            if case .missing = error {
                throw .snapshotMissing(directory: snapshots.directory, index: metadata.index)
            }
            throw .snapshot(error)
        }
        var offset: UInt64 = 0
        while offset < file.sizeBytes {
            do throws(SnapshotError) {
                bytes = try file.read(at: offset, maximum: 4 << 20)
            } catch {
                throw .snapshot(error)
            }
            offset += UInt64(bytes.count)
            do throws(ByteDecodingError) {
                try reader.receive(bytes)
            } catch {
                throw .snapshotContents(file: file.path, error)
            }
        }
        do throws(ByteDecodingError) {
            return try reader.finish()
        } catch {
            throw .snapshotContents(file: file.path, error)
        }
    }

    private static func missing(
        _ metadata: SnapshotMetadata, _ snapshots: SnapshotStore
    ) throws(SnapshotError) -> SnapshotFile {
        throw .missing(file: snapshots.directory)
    }

    private static func text(_ membership: Membership) -> String {
        membership.members.map(\.description).joined(separator: ", ")
    }
}
