import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

final class RealFile: File {
    let path: FilePath
    private let descriptor: CInt

    init(descriptor: CInt, path: FilePath) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        // What had to be durable was synced, and that is where errors show; nothing can be done here.
        close(descriptor)
    }

    func sizeBytes() throws(FileSystemError) -> Int {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else {
            throw failure(.inspect)
        }
        return Int(information.st_size)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileSystemError) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        var filled = 0
        while filled < buffer.count {
            let count = try RealFileSystem.retrying(.read, path, at: offset + filled) {
                pread(descriptor, base + filled, buffer.count - filled, off_t(offset + filled))
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileSystemError) {
        guard let base = bytes.baseAddress else { return }
        var written = 0
        while written < bytes.count {
            let count = try RealFileSystem.retrying(.write, path) {
                pwrite(descriptor, base + written, bytes.count - written, off_t(offset + written))
            }
            guard count > 0 else {
                throw FileSystemError(operation: .write, path: path, code: .noSpace)
            }
            written += count
        }
    }

    func truncate(to sizeBytes: Int) throws(FileSystemError) {
        _ = try RealFileSystem.retrying(.truncate, path) { ftruncate(descriptor, off_t(sizeBytes)) }
    }

    func tryLock() throws(FileSystemError) -> Bool {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        guard errno == EWOULDBLOCK else {
            throw failure(.lock)
        }
        return false
    }

    #if canImport(Darwin)
        func allocate(_ sizeBytes: Int) throws(FileSystemError) {
            let present = try self.sizeBytes()
            guard present < sizeBytes else { return }
            var request = fstore_t(
                fst_flags: UInt32(F_ALLOCATEALL), fst_posmode: F_PEOFPOSMODE, fst_offset: 0,
                fst_length: off_t(sizeBytes - present), fst_bytesalloc: 0)
            guard fcntl(descriptor, F_PREALLOCATE, &request) != -1 else {
                throw failure(.allocate)
            }
            try truncate(to: sizeBytes)
        }

        func synchronize() throws(FileSystemError) {
            guard fcntl(descriptor, F_FULLFSYNC) != -1 else {
                throw failure(.synchronize)
            }
        }
    #else
        func allocate(_ sizeBytes: Int) throws(FileSystemError) {
            while true {
                let code = posix_fallocate(descriptor, 0, off_t(sizeBytes))
                if code == 0 { return }
                guard code == EINTR else {
                    throw FileSystemError(operation: .allocate, path: path, code: Errno(rawValue: code))
                }
            }
        }

        func synchronize() throws(FileSystemError) {
            guard fdatasync(descriptor) == 0 else {
                throw failure(.synchronize)
            }
        }
    #endif

    private func failure(_ operation: FileOperation) -> FileSystemError {
        FileSystemError(operation: operation, path: path, code: Errno(rawValue: errno))
    }
}
