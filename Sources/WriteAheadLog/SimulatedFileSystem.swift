import ConsensusTypes
import Synchronization
import struct SystemPackage.Errno
import struct SystemPackage.FilePath

/// An operation that changes the simulated disk.
public struct SimulatedOperation: Hashable, Sendable {
    /// Counts the operations from zero on, since the file system was made.
    public let number: Int
    public let operation: FileOperation
    public let path: FilePath
}

/// What happens to an operation on the simulated disk.
public enum SimulatedFault: Hashable, Sendable {
    case none
    /// It fails with this code. A sync that fails leaves each sector that it should have written on the
    /// disk or not, at random, and all of them marked clean, as Linux does.
    case fail(Errno)
    /// It reports success and did nothing: a lost write, or a sync by a device that lies.
    case lose
    /// A write that goes to another place of the same file, and is seen and synced there: the place modulo
    /// the file's size, rounded down to a sector. For other operations the same as ``lose``.
    case misdirect(to: Int)
    /// The process dies within it, having done any part of it. Everything fails from then on, until
    /// ``SimulatedFileSystem/restart(after:)``.
    case crash
}

/// What the node lost.
public enum SimulatedCrash: Hashable, Sendable {
    /// Its process: what it wrote is in the operating system's memory and still seen.
    case process
    /// Its power: of everything not synced, any part may be gone, and any other part there.
    case power
}

/// Files in memory which forget, in a crash, what was not synced: writes by sectors of 512 bytes (now and
/// then within one, in steps of eight bytes) and changes of names one by one, in any combination.
///
/// Deterministic for one seed as long as one thread uses it. Paths must be absolute, without "." and "..". A
/// node that restarts after a crash opens its files anew; files that were opened before fail from then on.
public final class SimulatedFileSystem: FileSystem {
    struct State: Sendable {
        var disk = SimulatedDisk()
        var random: SeededRandom
        var generation = 0
        var operationCount = 0
        var isCrashed = false
        var plan: (@Sendable (SimulatedOperation) -> SimulatedFault)?
        /// Faults that happen once, to the first operation that fits.
        var pendingFaults: [(fault: SimulatedFault, operation: FileOperation, path: FilePath?)] = []
        /// Which open file holds a file's lock, by the number of the file.
        var lockOwner: [Int: ObjectIdentifier] = [:]
    }

    let state: Mutex<State>

    public init(seed: UInt64) {
        state = Mutex(State(random: SeededRandom(seed: seed)))
    }

    private init(_ copied: State) {
        state = Mutex(copied)
    }

    /// The same disk once more, sharing nothing that either changes; files opened on the original belong to
    /// the original.
    public func copy() -> SimulatedFileSystem {
        SimulatedFileSystem(
            state.withLock { state in
                var copied = state
                copied.lockOwner.removeAll()
                return copied
            })
    }

    // MARK: Faults

    /// Decides about every operation that changes the disk; `nil` lets all pass.
    public func setPlan(_ plan: (@Sendable (SimulatedOperation) -> SimulatedFault)?) {
        state.withLock { $0.plan = plan }
    }

    /// How many operations have changed the disk, or tried to.
    public var operationCount: Int { state.withLock { $0.operationCount } }

    /// Whether the plan crashed the process and nobody restarted it yet.
    public var isCrashed: Bool { state.withLock { $0.isCrashed } }

    /// The size of the disk, in bytes; `nil` for no bound.
    public func setCapacity(_ bytes: Int?) {
        state.withLock { $0.disk.capacityBytes = bytes }
    }

    /// What the files take up, in bytes.
    public var usedBytes: Int { state.withLock { $0.disk.usedBytes } }

    /// Crashes the process or the machine and starts it again: every file opened before is closed.
    public func restart(after crash: SimulatedCrash) {
        state.withLock { state in
            state.generation += 1
            state.isCrashed = false
            state.lockOwner.removeAll()
            switch crash {
            case .process: state.disk.loseProcess(&state.random)
            case .power: state.disk.losePower(&state.random)
            }
        }
    }

    // MARK: Operations

    public func open(_ path: FilePath, _ mode: FileOpenMode) throws(FileSystemError) -> any File {
        let name = path.string
        let opened = try state.withLock { (state) throws(FileSystemError) -> (inode: Int, generation: Int) in
            try state.requireRunning(.open, path)
            if state.disk.names[name] != nil || mode == .read || mode == .readWrite {
                if mode == .create {
                    throw FileSystemError(operation: .open, path: path, code: .fileExists)
                }
                return (try state.disk.file(name, .open), state.generation)
            }
            try state.perform(.open, path) { (disk) throws(FileSystemError) in _ = try disk.createFile(name) }
            return (try state.disk.file(name, .open), state.generation)
        }
        return SimulatedFile(self, path, inode: opened.inode, generation: opened.generation)
    }

    public func createDirectory(_ path: FilePath) throws(FileSystemError) -> Bool {
        let name = path.string
        return try state.withLock { (state) throws(FileSystemError) in
            try state.requireRunning(.createDirectory, path)
            if state.disk.names[name] != nil {
                try state.disk.requireDirectory(name, .createDirectory)
                return false
            }
            try state.perform(.createDirectory, path) { (disk) throws(FileSystemError) in
                try disk.createDirectory(name)
            }
            return true
        }
    }

    public func list(_ directory: FilePath) throws(FileSystemError) -> [String] {
        let name = directory.string
        return try state.withLock { (state) throws(FileSystemError) in
            try state.requireRunning(.list, directory)
            try state.disk.requireDirectory(name, .list)
            return state.disk.list(name)
        }
    }

    public func exists(_ path: FilePath) throws(FileSystemError) -> Bool {
        let name = path.string
        return try state.withLock { (state) throws(FileSystemError) in
            try state.requireRunning(.inspect, path)
            return state.disk.names[name] != nil
        }
    }

    public func rename(_ path: FilePath, to newPath: FilePath) throws(FileSystemError) {
        let (name, newName) = (path.string, newPath.string)
        try state.withLock { (state) throws(FileSystemError) in
            try state.perform(.rename, path) { (disk) throws(FileSystemError) in
                try disk.rename(name, to: newName)
            }
        }
    }

    public func remove(_ path: FilePath) throws(FileSystemError) {
        let name = path.string
        try state.withLock { (state) throws(FileSystemError) in
            try state.perform(.remove, path) { (disk) throws(FileSystemError) in try disk.remove(name) }
        }
    }

    public func removeDirectory(_ path: FilePath) throws(FileSystemError) {
        let name = path.string
        try state.withLock { (state) throws(FileSystemError) in
            try state.perform(.removeDirectory, path) { (disk) throws(FileSystemError) in
                try disk.removeDirectory(name)
            }
        }
    }

    public func synchronizeDirectory(_ path: FilePath) throws(FileSystemError) {
        let name = path.string
        try state.withLock { (state) throws(FileSystemError) in
            try state.disk.requireDirectory(name, .synchronizeDirectory)
            try state.perform(.synchronizeDirectory, path) { $0.synchronizeDirectory(name) }
        }
    }

    public func freeSpaceBytes(_ path: FilePath) throws(FileSystemError) -> UInt64 {
        try state.withLock { (state) throws(FileSystemError) in
            try state.requireRunning(.inspect, path)
            guard let capacity = state.disk.capacityBytes else { return 1 << 40 }
            return UInt64(max(0, capacity - state.disk.usedBytes))
        }
    }
}

extension SimulatedFileSystem.State {
    func requireRunning(_ operation: FileOperation, _ path: FilePath) throws(FileSystemError) {
        if isCrashed { throw FileSystemError(operation: operation, path: path, code: .ioError) }
    }

    mutating func nextFault(_ operation: FileOperation, _ path: FilePath) -> SimulatedFault {
        let number = operationCount
        operationCount += 1
        if !pendingFaults.isEmpty,
            let next = pendingFaults.firstIndex(where: {
                $0.operation == operation && $0.path ?? path == path
            })
        {
            return pendingFaults.remove(at: next).fault
        }
        return plan?(SimulatedOperation(number: number, operation: operation, path: path)) ?? .none
    }

    /// Does something that happens as a whole or not at all, as the plan decides.
    mutating func perform(
        _ operation: FileOperation, _ path: FilePath,
        _ change: (inout SimulatedDisk) throws(FileSystemError) -> Void
    ) throws(FileSystemError) {
        try requireRunning(operation, path)
        switch nextFault(operation, path) {
        case .none:
            try change(&disk)
        case .lose, .misdirect:
            break
        case .fail(let code):
            throw FileSystemError(operation: operation, path: path, code: code)
        case .crash:
            if random.chance(1, outOf: 2) { try change(&disk) }
            isCrashed = true
            throw FileSystemError(operation: operation, path: path, code: .ioError)
        }
    }
}
