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
        let directory: String
        /// `nil` removes the name.
        let changes: [(path: String, node: Node?)]
    }

    var capacityBytes: Int?
    private(set) var names: [String: Node]
    private var durableNames: [String: Node]
    private var pending: [NameChange] = []
    private var inodes: [SimulatedInode] = []

    init() {
        names = ["/": .directory]
        durableNames = names
    }

    // MARK: Names

    /// Paths here are strings, which are hashed and compared much faster than `FilePath`s. They are absolute
    /// and without "." and "..".
    private static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else {
            precondition(path.hasPrefix("/"), "simulated paths are absolute")
            return "/"
        }
        return String(path[..<slash])
    }

    func file(_ path: String, _ operation: FileOperation) throws(FileSystemError) -> Int {
        switch names[path] {
        case .file(let inode): return inode
        case .directory: throw FileSystemError(operation: operation, path: FilePath(path), code: .isDirectory)
        case nil:
            throw FileSystemError(operation: operation, path: FilePath(path), code: .noSuchFileOrDirectory)
        }
    }

    func requireDirectory(_ path: String, _ operation: FileOperation) throws(FileSystemError) {
        switch names[path] {
        case .directory: return
        case .file: throw FileSystemError(operation: operation, path: FilePath(path), code: .notDirectory)
        case nil:
            throw FileSystemError(operation: operation, path: FilePath(path), code: .noSuchFileOrDirectory)
        }
    }

    mutating func createFile(_ path: String) throws(FileSystemError) -> Int {
        let parent = SimulatedDisk.parent(of: path)
        try requireDirectory(parent, .open)
        inodes.append(SimulatedInode())
        change(parent, [(path, .file(inodes.count - 1))])
        return inodes.count - 1
    }

    mutating func createDirectory(_ path: String) throws(FileSystemError) {
        let parent = SimulatedDisk.parent(of: path)
        try requireDirectory(parent, .createDirectory)
        change(parent, [(path, .directory)])
    }

    mutating func rename(_ path: String, to newPath: String) throws(FileSystemError) {
        let parent = SimulatedDisk.parent(of: path)
        precondition(SimulatedDisk.parent(of: newPath) == parent, "files are renamed within their directory")
        if names[path] == .directory {
            return try renameDirectory(path, to: newPath, in: parent)
        }
        let inode = try file(path, .rename)
        change(parent, [(path, nil), (newPath, .file(inode))])
    }

    /// Takes everything in it along. What is in it must be durable, so that a crash that undoes the renaming
    /// leaves it where it was.
    private mutating func renameDirectory(
        _ path: String, to newPath: String, in parent: String
    ) throws(FileSystemError) {
        guard names[newPath] == nil else {
            throw FileSystemError(operation: .rename, path: FilePath(newPath), code: .fileExists)
        }
        let prefix = path + "/"
        precondition(
            !pending.contains { $0.directory == path || $0.directory.hasPrefix(prefix) },
            "a directory is synced before it is renamed")
        var changes: [(path: String, node: Node?)] = []
        for name in names.keys.sorted() where name == path || name.hasPrefix(prefix) {
            changes.append((name, nil))
            changes.append((newPath + name.dropFirst(path.count), names[name]))
        }
        change(parent, changes)
    }

    mutating func removeDirectory(_ path: String) throws(FileSystemError) {
        try requireDirectory(path, .removeDirectory)
        guard list(path).isEmpty else {
            throw FileSystemError(operation: .removeDirectory, path: FilePath(path), code: .directoryNotEmpty)
        }
        change(SimulatedDisk.parent(of: path), [(path, nil)])
    }

    mutating func remove(_ path: String) throws(FileSystemError) {
        _ = try file(path, .remove)
        change(SimulatedDisk.parent(of: path), [(path, nil)])
    }

    func list(_ directory: String) -> [String] {
        var found: [String] = []
        for path in names.keys where path != directory && SimulatedDisk.parent(of: path) == directory {
            found.append(String(path.dropFirst(directory.utf8.count + (directory == "/" ? 0 : 1))))
        }
        return found.sorted()
    }

    mutating func synchronizeDirectory(_ directory: String) {
        for change in pending where change.directory == directory {
            SimulatedDisk.apply(change, to: &durableNames)
        }
        pending.removeAll { $0.directory == directory }
    }

    private mutating func change(_ directory: String, _ changes: [(path: String, node: Node?)]) {
        let change = NameChange(directory: directory, changes: changes)
        SimulatedDisk.apply(change, to: &names)
        pending.append(change)
    }

    private static func apply(_ change: NameChange, to names: inout [String: Node]) {
        for (path, node) in change.changes {
            names[path] = node
        }
    }

    // MARK: Contents

    /// The files with a name, sorted by it.
    func files(under directory: String) -> [(path: String, inode: Int)] {
        let prefix = directory == "/" ? "/" : directory + "/"
        var found: [(path: String, inode: Int)] = []
        for (path, node) in names where path.hasPrefix(prefix) {
            if case .file(let inode) = node { found.append((path, inode)) }
        }
        return found.sorted { $0.path < $1.path }
    }

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
            var path = path
            while path != "/" {
                path = SimulatedDisk.parent(of: path)
                guard kept[path] == .directory else { return false }
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
