import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Keeps other processes out of a directory, by an advisory lock on its file `LOCK`, for as long as the
/// value lives. The operating system lets go of the lock when the process dies, however it dies.
///
/// The file holds the holder's process id in decimal, for people and for error texts only.
struct DirectoryLock: Sendable {
    static let fileName = "LOCK"

    private let file: any File

    /// `nil` and the holder's process id, where that can be read, when another process holds the lock.
    static func take(
        _ directory: FilePath, _ fileSystem: any FileSystem
    ) throws(FileSystemError) -> (lock: DirectoryLock?, holder: Int32?) {
        let file = try fileSystem.open(directory.appending(fileName), .createOrOpen)
        guard try file.tryLock() else {
            let text = String(decoding: (try? file.readBytes(16, at: 0)) ?? [], as: UTF8.self)
            return (nil, Int32(text.prefix { $0 != "\n" }))
        }
        // Not synced: after a power cut nobody holds the lock, whatever the file says. A full disk must not
        // keep a node from starting, so a failure to write the process id is let pass.
        try? file.truncate(to: 0)
        try? file.write(Array("\(getpid())\n".utf8), at: 0)
        return (DirectoryLock(file: file), nil)
    }
}
