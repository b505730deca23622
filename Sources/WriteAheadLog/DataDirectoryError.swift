import ConsensusTypes
import struct SystemPackage.FilePath

/// Why a data directory cannot be used. Each prints one line with the place and what to do.
public enum DataDirectoryError: Error, Hashable, Sendable, CustomStringConvertible {
    case fileSystem(FileSystemError)
    case locked(directory: FilePath, holder: Int32?)
    case damaged(file: FilePath, offset: Int, reason: String)
    case unsupportedVersion(file: FilePath, found: UInt32, supported: UInt32)
    /// The directory is another node's, or another cluster's.
    case mismatch(file: FilePath, field: String, found: String, expected: String)
    /// There is data, but nothing says whose.
    case identityMissing(file: FilePath)
    case invalidName(String)
    /// There is no room for more in the list of members.
    case tooManyMembers(file: FilePath, maximum: Int)
    case log(WriteAheadLogError)
    case snapshots(SnapshotError)

    public var isNoSpace: Bool {
        switch self {
        case .fileSystem(let error): error.isNoSpace
        case .log(let error): error.isNoSpace
        case .snapshots(let error): error.isNoSpace
        default: false
        }
    }

    /// Whether the log lost data, so that ``DataDirectory/salvageLog(options:)`` finds what is left.
    public var isLogDamage: Bool {
        if case .log(let error) = self { error.isDamage } else { false }
    }

    public var description: String {
        switch self {
        case .fileSystem(let error):
            "data directory: \(error)"
        case .locked(let directory, let holder):
            "data directory: \(directory) is in use by another process"
                + (holder.map { " (process id \($0))" } ?? "")
                + "; stop it, or give this node a data directory of its own"
        case .damaged(let file, let offset, let reason):
            "data directory: \(file) is damaged at byte \(offset): \(reason); restore this node from its peers"
        case .unsupportedVersion(let file, let found, let supported):
            "data directory: \(file) has format version \(found) at byte 8, this program reads version "
                + "\(supported); use the Holdfast release that wrote it, or a later one"
        case .mismatch(let file, let field, let found, let expected):
            "data directory: \(file) says \(field) \(found), but this node was started with \(expected); "
                + "correct the start options, or give this node a data directory of its own"
        case .identityMissing(let file):
            "data directory: \(file) is missing at byte 0 although there is data beside it; "
                + "put the file back, or restore this node from its peers"
        case .tooManyMembers(let file, let maximum):
            "data directory: \(file) holds \(maximum) members already, which is the most; "
                + "start this node with an empty data directory"
        case .invalidName(let reason):
            "data directory: \(reason)"
        case .log(let error):
            error.description
        case .snapshots(let error):
            error.description
        }
    }
}

/// Calls the file system on behalf of the data directory.
func wrappingDirectory<Result>(
    _ body: () throws(FileSystemError) -> Result
) throws(DataDirectoryError) -> Result {
    do throws(FileSystemError) {
        return try body()
    } catch {
        throw .fileSystem(error)
    }
}
