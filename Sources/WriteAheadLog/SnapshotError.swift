import ConsensusTypes
import struct SystemPackage.FilePath

/// Why a snapshot cannot be written or read. Each prints one line with the place and what to do.
public enum SnapshotError: Error, Hashable, Sendable, CustomStringConvertible {
    case fileSystem(FileSystemError)
    case damaged(file: FilePath, offset: Int, reason: String)
    case unsupportedVersion(file: FilePath, found: UInt32, supported: UInt32)
    /// There is no such snapshot.
    case missing(file: FilePath)
    /// More was asked for than there is.
    case outOfRange(file: FilePath, offset: UInt64, sizeBytes: UInt64)
    /// The writer failed before, was finished or abandoned.
    case notWritable(file: FilePath)

    /// Whether a lack of room was the reason; that passes, and the snapshot can be begun again.
    public var isNoSpace: Bool {
        if case .fileSystem(let error) = self { error.isNoSpace } else { false }
    }

    public var description: String {
        switch self {
        case .fileSystem(let error):
            "snapshot: \(error)"
        case .damaged(let file, let offset, let reason):
            "snapshot: \(file) is damaged at byte \(offset): \(reason); "
                + "restore this node from its peers, do not delete the file to make it start"
        case .unsupportedVersion(let file, let found, let supported):
            "snapshot: \(file) has format version \(found) at byte 8, this program reads version "
                + "\(supported); use the Holdfast release that wrote it, or a later one"
        case .missing(let file):
            "snapshot: \(file) is not there; put it back, or restore this node from its peers"
        case .outOfRange(let file, let offset, let sizeBytes):
            "snapshot: byte \(offset) was asked for of \(file), which has \(sizeBytes)"
        case .notWritable(let file):
            "snapshot: \(file) was finished, abandoned, or failed before; begin it again"
        }
    }
}

/// Calls the file system on behalf of snapshots.
func wrappingSnapshot<Result>(
    _ body: () throws(FileSystemError) -> Result
) throws(SnapshotError) -> Result {
    do throws(FileSystemError) {
        return try body()
    } catch {
        throw .fileSystem(error)
    }
}
