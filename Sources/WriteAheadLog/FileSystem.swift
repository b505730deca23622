import SystemPackage

/// How a file is opened.
public enum FileOpenMode: Hashable, Sendable {
    case read
    case readWrite
    /// For reading and writing; the file must not exist.
    case create
    /// For reading and writing; the file is created where it does not exist.
    case createOrOpen
}

/// The part of an operating system's files that Holdfast's durable state stands on. The real one is
/// ``RealFileSystem``; ``SimulatedFileSystem`` keeps everything in memory and loses what was not synced.
///
/// Making a name durable (after a create, a rename or a remove) takes ``synchronizeDirectory(_:)`` of the
/// directory; making contents durable takes ``File/synchronize()``.
public protocol FileSystem: Sendable {
    func open(_ path: FilePath, _ mode: FileOpenMode) throws(FileSystemError) -> any File

    /// Creates one directory whose parent exists, and says whether it did not exist before.
    func createDirectory(_ path: FilePath) throws(FileSystemError) -> Bool

    /// The names in a directory, sorted, without "." and "..".
    func list(_ directory: FilePath) throws(FileSystemError) -> [String]

    /// Whether something has this name.
    func exists(_ path: FilePath) throws(FileSystemError) -> Bool

    /// Within one directory; a file that had the new name before is replaced. A directory may be renamed to
    /// a name that nothing has, after it was synced.
    func rename(_ path: FilePath, to newPath: FilePath) throws(FileSystemError)

    /// Removes a file.
    func remove(_ path: FilePath) throws(FileSystemError)

    /// Removes a directory with nothing in it.
    func removeDirectory(_ path: FilePath) throws(FileSystemError)

    /// Makes the names in a directory durable.
    func synchronizeDirectory(_ path: FilePath) throws(FileSystemError)

    /// What an ordinary user may still write to the file system that holds `path`, in bytes.
    func freeSpaceBytes(_ path: FilePath) throws(FileSystemError) -> UInt64
}

/// An open file. It is closed, and its lock let go, when the last reference to it goes.
public protocol File: AnyObject, Sendable {
    /// The name that it was opened by.
    var path: FilePath { get }

    func sizeBytes() throws(FileSystemError) -> Int

    /// Fills the buffer from `offset` on; returns less than its size only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileSystemError) -> Int

    /// Writes all of `bytes`, growing the file where needed. Not durable before ``synchronize()``.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileSystemError)

    /// Reserves space so that writing the first `sizeBytes` cannot fail for lack of it, and makes the file
    /// at least that long; new bytes are zero.
    func allocate(_ sizeBytes: Int) throws(FileSystemError)

    func truncate(to sizeBytes: Int) throws(FileSystemError)

    /// Makes contents and size durable: `fdatasync`, and `F_FULLFSYNC` on Darwin.
    func synchronize() throws(FileSystemError)

    /// Takes the advisory lock of the file for this open file; `false` where another one holds it.
    func tryLock() throws(FileSystemError) -> Bool
}

/// What was asked of the file system.
public enum FileOperation: String, Hashable, Sendable {
    case open
    case createDirectory = "create directory"
    case list
    case inspect
    case rename
    case remove
    case removeDirectory = "remove directory"
    case synchronizeDirectory = "sync directory"
    case read
    case write
    case allocate = "allocate space for"
    case truncate
    case synchronize = "sync"
    case lock
}

/// The file system refused an operation, or failed at it.
public struct FileSystemError: Error, Hashable, Sendable, CustomStringConvertible {
    public let operation: FileOperation
    public let path: FilePath
    public let code: Errno
    /// Where in the file, for a read: a device may be unable to read a part of it.
    public let offset: Int?

    public init(operation: FileOperation, path: FilePath, code: Errno, offset: Int? = nil) {
        self.operation = operation
        self.path = path
        self.code = code
        self.offset = offset
    }

    /// Whether there was no room: the one failure that passes by itself.
    public var isNoSpace: Bool {
        code == .noSpace || code == .diskQuotaExceeded
    }

    public var description: String {
        "cannot \(operation.rawValue) \(path)\(offset.map { " at byte \($0)" } ?? ""): \(code)\(remedy)"
    }

    private var remedy: String {
        switch code {
        case .noSpace, .diskQuotaExceeded: "; make room on this file system"
        case .permissionDenied, .notPermitted: "; check who owns it and its permissions"
        case .readOnlyFileSystem: "; remount the file system for writing"
        case .ioError: "; check the device, this copy of the data can no longer be trusted"
        case .noSuchFileOrDirectory: "; check the path"
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem: "; raise the limit on open files"
        default: ""
        }
    }
}

extension File {
    /// Up to `count` bytes from `offset` on; fewer only at the end of the file.
    func readBytes(_ count: Int, at offset: Int) throws(FileSystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let filled = try bytes.withMutableBytes { (buffer) throws(FileSystemError) in
            try read(into: buffer, at: offset)
        }
        bytes.removeLast(count - filled)
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(FileSystemError) {
        try bytes.withBytes { (buffer) throws(FileSystemError) in
            try write(buffer, at: offset)
        }
    }
}

extension [UInt8] {
    /// `withUnsafeBytes` with a typed error.
    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBufferPointer { (buffer) throws(Failure) in
            try body(UnsafeRawBufferPointer(buffer))
        }
    }

    /// `withUnsafeMutableBytes` with a typed error.
    mutating func withMutableBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeMutableBufferPointer { (buffer) throws(Failure) in
            try body(UnsafeMutableRawBufferPointer(buffer))
        }
    }
}
