import ConsensusTypes
import struct SystemPackage.FilePath

/// The whole state of a ``SimulatedFileSystem`` as a value: files, names as seen and names as durable.
struct SimulatedDisk: Sendable {
    enum Node: Hashable, Sendable {
        case directory
        case file(Int)
    }

    /// A change of names that its directory's sync has not made durable yet.
    private struct NameChange: Sendable {
        let directory: FilePath
        /// `nil` removes the name.
        let changes: [(path: FilePath, node: Node?)]
    }

    var capacityBytes: Int?
    private(set) var names: [FilePath: Node]
    private var durableNames: [FilePath: Node]
    private var pending: [NameChange] = []
    private var inodes: [SimulatedInode] = []

    init() {
        names = ["/": .directory]
        durableNames = names
    }

    // MARK: Names

    func file(_ path: FilePath, _ operation: FileOperation) throws(FileSystemError) -> Int {
        switch names[path] {
        case .file(let inode): return inode
        case .directory: throw FileSystemError(operation: operation, path: path, code: .isDirectory)
        case nil: throw FileSystemError(operation: operation, path: path, code: .noSuchFileOrDirectory)
        }
    }

    func requireDirectory(_ path: FilePath, _ operation: FileOperation) throws(FileSystemError) {
        switch names[path] {
        case .directory: return
        case .file: throw FileSystemError(operation: operation, path: path, code: .notDirectory)
        case nil: throw FileSystemError(operation: operation, path: path, code: .noSuchFileOrDirectory)
        }
    }

    mutating func createFile(_ path: FilePath) throws(FileSystemError) -> Int {
        let parent = path.removingLastComponent()
        try requireDirectory(parent, .open)
        inodes.append(SimulatedInode())
        change(parent, [(path, .file(inodes.count - 1))])
        return inodes.count - 1
    }

    mutating func createDirectory(_ path: FilePath) throws(FileSystemError) {
        let parent = path.removingLastComponent()
        try requireDirectory(parent, .createDirectory)
        change(parent, [(path, .directory)])
    }

    mutating func rename(_ path: FilePath, to newPath: FilePath) throws(FileSystemError) {
        let parent = path.removingLastComponent()
        precondition(newPath.removingLastComponent() == parent, "files are renamed within their directory")
        let inode = try file(path, .rename)
        change(parent, [(path, nil), (newPath, .file(inode))])
    }

    mutating func remove(_ path: FilePath) throws(FileSystemError) {
        _ = try file(path, .remove)
        change(path.removingLastComponent(), [(path, nil)])
    }

    func list(_ directory: FilePath) -> [String] {
        var found: [String] = []
        for path in names.keys where path != directory && path.removingLastComponent() == directory {
            if let name = path.lastComponent?.string { found.append(name) }
        }
        return found.sorted()
    }

    mutating func synchronizeDirectory(_ directory: FilePath) {
        for change in pending where change.directory == directory {
            SimulatedDisk.apply(change, to: &durableNames)
        }
        pending.removeAll { $0.directory == directory }
    }

    private mutating func change(_ directory: FilePath, _ changes: [(path: FilePath, node: Node?)]) {
        let change = NameChange(directory: directory, changes: changes)
        SimulatedDisk.apply(change, to: &names)
        pending.append(change)
    }

    private static func apply(_ change: NameChange, to names: inout [FilePath: Node]) {
        for (path, node) in change.changes {
            names[path] = node
        }
    }

    // MARK: Contents

    subscript(inode: Int) -> SimulatedInode {
        get { inodes[inode] }
        _modify { yield &inodes[inode] }
    }

    /// What the files with a name take up, in whole pages.
    var usedBytes: Int {
        var total = 0
        for node in names.values {
            if case .file(let inode) = node { total += inodes[inode].allocatedBytes }
        }
        return total
    }

    func hasRoom(for inode: Int, ofSize sizeBytes: Int) -> Bool {
        guard let capacityBytes else { return true }
        let needed =
            SimulatedInode.pagesNeeded(for: sizeBytes) * SimulatedInode.pageSizeBytes
            - inodes[inode].allocatedBytes
        return needed <= 0 || usedBytes + needed <= capacityBytes
    }

    // MARK: Crashes

    mutating func loseProcess(_ random: inout SeededRandom) {
        for inode in inodes.indices {
            inodes[inode].loseProcess(&random)
        }
    }

    mutating func losePower(_ random: inout SeededRandom) {
        for inode in inodes.indices {
            inodes[inode].losePower(&random)
        }
        let style = random.next(below: 4)
        for change in pending {
            // Style 0 loses all, 1 keeps all, the others keep any subset.
            if style == 1 || (style > 1 && random.chance(1, outOf: 2)) {
                SimulatedDisk.apply(change, to: &durableNames)
            }
        }
        pending.removeAll()
        // What stands in a directory that is gone is gone too.
        let kept = durableNames
        durableNames = kept.filter { path, _ in
            var parent = path
            while parent.removeLastComponent(), !parent.isEmpty {
                guard kept[parent] == .directory else { return false }
            }
            return true
        }
        names = durableNames
        releaseUnnamed()
    }

    /// Frees the contents of files that no name leads to any more.
    private mutating func releaseUnnamed() {
        var named = [Bool](repeating: false, count: inodes.count)
        for node in names.values {
            if case .file(let inode) = node { named[inode] = true }
        }
        for inode in inodes.indices where !named[inode] {
            inodes[inode] = SimulatedInode()
        }
    }
}
