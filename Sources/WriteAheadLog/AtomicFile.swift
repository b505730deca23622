import struct SystemPackage.FilePath

/// Small files that are replaced as a whole.
enum AtomicFile {
    static let partialSuffix = ".partial"

    /// As a whole or not at all, durable on return. The directory must exist.
    static func write(
        _ bytes: [UInt8], _ directory: FilePath, _ name: String, _ fileSystem: any FileSystem
    ) throws(FileSystemError) {
        try write([bytes], directory, name, fileSystem)
    }

    /// The same for bytes in parts, one behind the other. Each is durable before the next is written, so that
    /// one write that the device loses cannot take two of them.
    static func write(
        _ parts: [[UInt8]], _ directory: FilePath, _ name: String, _ fileSystem: any FileSystem
    ) throws(FileSystemError) {
        let partial = directory.appending(name + partialSuffix)
        var file = try fileSystem.open(partial, .createOrOpen)
        var offset = 0
        for part in parts {
            do throws(FileSystemError) {
                // Cut afterwards: what the file has of the disk already must not be given up on a full one.
                try file.write(part, at: offset)
            } catch {
                // A block of the old file cannot be read, so that not a part of it can be written.
                guard error.code == .ioError, offset == 0 else { throw error }
                try fileSystem.remove(partial)
                file = try fileSystem.open(partial, .createOrOpen)
                try file.write(part, at: offset)
            }
            offset += part.count
            if offset == part.count { try file.truncate(to: parts.reduce(0) { $0 + $1.count }) }
            try file.synchronize()
        }
        try fileSystem.rename(partial, to: directory.appending(name))
        try fileSystem.synchronizeDirectory(directory)
    }

    /// Keeps room for the next ``write(_:_:_:_:)``, so that a disk that is full by then does not fail it.
    /// Without room now there is none kept.
    static func reserve(
        _ sizeBytes: Int, _ directory: FilePath, _ name: String, _ fileSystem: any FileSystem
    ) throws(FileSystemError) {
        do throws(FileSystemError) {
            let file = try fileSystem.open(directory.appending(name + partialSuffix), .createOrOpen)
            try file.allocate(sizeBytes)
        } catch {
            guard error.isNoSpace else { throw error }
        }
    }

    /// `nil` where there is none; one byte more than `limit` where the file is longer.
    static func read(
        _ directory: FilePath, _ name: String, limit: Int, _ fileSystem: any FileSystem
    ) throws(FileSystemError) -> ReadBytes? {
        let path = directory.appending(name)
        guard try fileSystem.exists(path) else { return nil }
        return try fileSystem.open(path, .read).readAroundFailures(limit + 1, at: 0)
    }
}
