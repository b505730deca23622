import ConsensusTypes
import struct SystemPackage.FilePath

/// Why the write-ahead log cannot be opened, or cannot go on. Each prints one line with the place and what
/// to do about it.
public enum WriteAheadLogError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file system failed. A log that was open is unusable from then on: open it anew after a restart.
    case fileSystem(FileSystemError)
    /// Another process has the directory open.
    case locked(directory: FilePath, holder: Int32?)
    /// Bytes that had been durable are not what was written.
    case damaged(file: FilePath, offset: Int, reason: String)
    /// Intact bytes that make no sense in their place: entries that leave a hole, a term that goes back.
    case inconsistent(file: FilePath, offset: Int, reason: String)
    /// The log ends before what the anchor says was durable.
    case endLost(file: FilePath, offset: Int, reason: String)
    /// A file that must be there is not.
    case missingSegment(file: FilePath, reason: String)
    /// Written by a later version of Holdfast.
    case unsupportedVersion(file: FilePath, found: UInt32, supported: UInt32)
    /// A file with a segment's name that is none.
    case foreign(file: FilePath)
    /// The directory holds no log although it must.
    case empty(directory: FilePath)
    /// The current segment is full and there is no room for another one.
    case noSpace(directory: FilePath, neededBytes: Int)
    case invalidOptions(String)
    /// The log was closed before.
    case closed(directory: FilePath)

    /// Whether a lack of room was the reason.
    public var isNoSpace: Bool {
        switch self {
        case .noSpace: true
        case .fileSystem(let error): error.isNoSpace
        default: false
        }
    }

    /// Whether data that had been durable is lost, so that ``WriteAheadLog/salvage(directory:fileSystem:options:)``
    /// finds what is left.
    public var isDamage: Bool {
        switch self {
        case .damaged, .inconsistent, .endLost, .missingSegment, .empty: true
        default: false
        }
    }

    public var description: String {
        switch self {
        case .fileSystem(let error):
            "write-ahead log: \(error)"
        case .locked(let directory, let holder):
            "write-ahead log: \(directory) is in use by another process"
                + (holder.map { " (process id \($0))" } ?? "")
                + "; stop it, or give this node a data directory of its own"
        case .damaged(let file, let offset, let reason):
            "write-ahead log: \(file) is damaged at byte \(offset): \(reason); "
                + "restore this node from its peers, do not delete the file to make it start"
        case .inconsistent(let file, let offset, let reason):
            "write-ahead log: \(file) is inconsistent at byte \(offset): \(reason); "
                + "restore this node from its peers and report this as a fault in Holdfast"
        case .endLost(let file, let offset, let reason):
            "write-ahead log: \(file) lost its end at byte \(offset): \(reason); "
                + "restore this node from its peers, do not delete the file to make it start"
        case .missingSegment(let file, let reason):
            "write-ahead log: \(file) is missing at byte 0: \(reason); "
                + "put the file back, or restore this node from its peers"
        case .unsupportedVersion(let file, let found, let supported):
            "write-ahead log: \(file) has format version \(found) at byte 8, this program reads "
                + "version \(supported); use the Holdfast release that wrote it, or a later one"
        case .foreign(let file):
            "write-ahead log: \(file) does not begin like a segment at byte 0; "
                + "move the file away if it is not Holdfast's, else restore this node from its peers"
        case .empty(let directory):
            "write-ahead log: \(directory) holds no segments although this node has run before; "
                + "put its files back, or remove the node from the cluster and add it anew"
        case .noSpace(let directory, let neededBytes):
            "write-ahead log: no room for a segment of \(neededBytes) bytes in \(directory); make room there"
        case .invalidOptions(let reason):
            "write-ahead log: \(reason)"
        case .closed(let directory):
            "write-ahead log: \(directory) was closed"
        }
    }
}
