import ConsensusTypes
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

    public var description: String {
        switch self {
        case .dataDirectory(let error): "\(error)"
        case .snapshot(let error): "\(error)"
        case .snapshotContents(let file, let error):
            "snapshot: \(file) is damaged: \(error); restore this node from its peers"
        case .snapshotMissing(let directory, let index):
            "snapshot: the log starts after index \(index), and \(directory) has no snapshot of it; put it "
                + "back, or restore this node from its peers"
        }
    }

    /// Whether something that had been durable is not what it was, so that peers may make up for it.
    var isDamage: Bool {
        switch self {
        case .dataDirectory(let error): error.isLogDamage
        case .snapshot(let error):
            switch error {
            case .damaged, .missing: true
            default: false
            }
        case .snapshotContents, .snapshotMissing: true
        }
    }
}
