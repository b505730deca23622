import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The operating system's files.
public struct RealFileSystem: FileSystem {
    public init() {}

    public func open(_ path: FilePath, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
        let access =
            switch mode {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .createOrOpen: O_RDWR | O_CREAT
            }
        let descriptor = try RealFileSystem.retrying(.open, path) {
            systemOpen(path, access | O_CLOEXEC, 0o600)
        }
        return RealFile(descriptor: descriptor, path: path)
    }

    public func createDirectory(_ path: FilePath) throws(FileSystemError) -> Bool {
        let status = path.withPlatformString { mkdir($0, 0o700) }
        if status == 0 { return true }
        guard errno == EEXIST else {
            throw FileSystemError(operation: .createDirectory, path: path, code: Errno(rawValue: errno))
        }
        var information = stat()
        guard path.withPlatformString({ stat($0, &information) }) == 0 else {
            throw FileSystemError(operation: .createDirectory, path: path, code: Errno(rawValue: errno))
        }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw FileSystemError(operation: .createDirectory, path: path, code: .notDirectory)
        }
        return false
    }

    public func list(_ directory: FilePath) throws(FileSystemError) -> [String] {
        guard let stream = directory.withPlatformString({ opendir($0) }) else {
            throw FileSystemError(operation: .list, path: directory, code: Errno(rawValue: errno))
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else {
                    throw FileSystemError(operation: .list, path: directory, code: Errno(rawValue: errno))
                }
                break
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." {
                names.append(name)
            }
        }
        return names.sorted()
    }

    public func exists(_ path: FilePath) throws(FileSystemError) -> Bool {
        var information = stat()
        if path.withPlatformString({ stat($0, &information) }) == 0 { return true }
        guard errno == ENOENT || errno == ENOTDIR else {
            throw FileSystemError(operation: .inspect, path: path, code: Errno(rawValue: errno))
        }
        return false
    }

    public func rename(_ path: FilePath, to newPath: FilePath) throws(FileSystemError) {
        let status = path.withPlatformString { old in
            newPath.withPlatformString { new in systemRename(old, new) }
        }
        guard status == 0 else {
            throw FileSystemError(operation: .rename, path: path, code: Errno(rawValue: errno))
        }
    }

    public func remove(_ path: FilePath) throws(FileSystemError) {
        guard path.withPlatformString({ unlink($0) }) == 0 else {
            throw FileSystemError(operation: .remove, path: path, code: Errno(rawValue: errno))
        }
    }

    public func removeDirectory(_ path: FilePath) throws(FileSystemError) {
        guard path.withPlatformString({ rmdir($0) }) == 0 else {
            throw FileSystemError(operation: .removeDirectory, path: path, code: Errno(rawValue: errno))
        }
    }

    public func synchronizeDirectory(_ path: FilePath) throws(FileSystemError) {
        let descriptor = try RealFileSystem.retrying(.synchronizeDirectory, path) {
            systemOpen(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw FileSystemError(operation: .synchronizeDirectory, path: path, code: Errno(rawValue: errno))
        }
    }

    public func freeSpaceBytes(_ path: FilePath) throws(FileSystemError) -> UInt64 {
        var information = statvfs()
        guard path.withPlatformString({ statvfs($0, &information) }) == 0 else {
            throw FileSystemError(operation: .inspect, path: path, code: Errno(rawValue: errno))
        }
        return UInt64(information.f_bavail) * UInt64(information.f_frsize)
    }

    /// Calls again while a signal interrupts. Never used for syncs: their failures are final.
    static func retrying<Number: SignedInteger>(
        _ operation: FileOperation, _ path: FilePath, at offset: Int? = nil, _ call: () -> Number
    ) throws(FileSystemError) -> Number {
        while true {
            let result = call()
            if result >= 0 { return result }
            guard errno == EINTR else {
                throw FileSystemError(
                    operation: operation, path: path, code: Errno(rawValue: errno), offset: offset)
            }
        }
    }
}

private func systemOpen(_ path: FilePath, _ flags: CInt, _ permissions: mode_t) -> CInt {
    path.withPlatformString { open($0, flags, permissions) }
}

private func systemRename(_ old: UnsafePointer<CChar>, _ new: UnsafePointer<CChar>) -> CInt {
    rename(old, new)
}
