import SystemPackage

/// A file opened on a ``SimulatedFileSystem``.
final class SimulatedFile: File {
    let path: FilePath
    private let owner: SimulatedFileSystem
    private let inode: Int
    private let generation: Int

    init(_ owner: SimulatedFileSystem, _ path: FilePath, inode: Int, generation: Int) {
        self.owner = owner
        self.path = path
        self.inode = inode
        self.generation = generation
    }

    deinit {
        let (inode, identity) = (inode, identity)
        owner.state.withLock { state in
            if state.lockOwner[inode] == identity { state.lockOwner[inode] = nil }
        }
    }

    private var identity: ObjectIdentifier { ObjectIdentifier(self) }

    private func withState<Result: Sendable>(
        _ operation: FileOperation,
        _ body: (inout SimulatedFileSystem.State) throws(FileSystemError) -> Result
    ) throws(FileSystemError) -> Result {
        try owner.state.withLock { (state) throws(FileSystemError) in
            try state.requireRunning(operation, path)
            guard state.generation == generation else {
                throw FileSystemError(operation: operation, path: path, code: .badFileDescriptor)
            }
            return try body(&state)
        }
    }

    func sizeBytes() throws(FileSystemError) -> Int {
        try withState(.inspect) { $0.disk[inode].sizeBytes }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileSystemError) -> Int {
        try withState(.read) { (state) throws(FileSystemError) in
            if let place = state.disk[inode].firstUnreadable(in: offset..<offset + buffer.count) {
                throw FileSystemError(operation: .read, path: path, code: .ioError, offset: place)
            }
            return state.disk[inode].read(into: buffer, at: offset)
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileSystemError) {
        try withState(.write) { (state) throws(FileSystemError) in
            switch state.nextFault(.write, path) {
            case .none:
                guard state.disk.hasRoom(for: inode, ofSize: offset + bytes.count) else {
                    throw FileSystemError(operation: .write, path: path, code: .noSpace)
                }
                guard state.disk[inode].canWrite(offset..<offset + bytes.count) else {
                    throw FileSystemError(operation: .write, path: path, code: .ioError)
                }
                state.disk[inode].write(bytes, at: offset)
            case .lose:
                break
            case .misdirect(let place):
                let target = state.misdirected(place, bytes.count, inode)
                state.disk[inode].write(bytes, at: target)
            case .fail(let code):
                throw FileSystemError(operation: .write, path: path, code: code)
            case .crash:
                let count = Int(state.random.next(below: UInt64(bytes.count) + 1))
                state.disk[inode].write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset)
                state.isCrashed = true
                throw FileSystemError(operation: .write, path: path, code: .ioError)
            }
        }
    }

    func allocate(_ sizeBytes: Int) throws(FileSystemError) {
        try resize(.allocate, to: sizeBytes, shrinks: false)
    }

    func truncate(to sizeBytes: Int) throws(FileSystemError) {
        try resize(.truncate, to: sizeBytes, shrinks: true)
    }

    private func resize(
        _ operation: FileOperation, to sizeBytes: Int, shrinks: Bool
    ) throws(FileSystemError) {
        try withState(operation) { (state) throws(FileSystemError) in
            try state.perform(operation, path) { (disk) throws(FileSystemError) in
                guard disk.hasRoom(for: inode, ofSize: sizeBytes) else {
                    throw FileSystemError(operation: operation, path: path, code: .noSpace)
                }
                if shrinks || disk[inode].sizeBytes < sizeBytes {
                    disk[inode].resize(to: sizeBytes)
                }
            }
        }
    }

    func synchronize() throws(FileSystemError) {
        try withState(.synchronize) { (state) throws(FileSystemError) in
            switch state.nextFault(.synchronize, path) {
            case .none:
                state.disk[inode].synchronize()
            case .lose, .misdirect:
                break
            case .fail(let code):
                state.disk[inode].failSynchronize(&state.random)
                throw FileSystemError(operation: .synchronize, path: path, code: code)
            case .crash:
                state.disk[inode].writeBackSome(&state.random)
                state.isCrashed = true
                throw FileSystemError(operation: .synchronize, path: path, code: .ioError)
            }
        }
    }

    func tryLock() throws(FileSystemError) -> Bool {
        try withState(.lock) { state in
            if state.lockOwner[inode] == identity { return true }
            guard state.lockOwner[inode] == nil else { return false }
            state.lockOwner[inode] = identity
            return true
        }
    }
}
