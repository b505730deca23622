import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A directory of the real file system that goes when the test ends.
struct TemporaryDirectory: ~Copyable {
    let path: FilePath

    init() {
        var template = Array("/tmp/holdfast-test-XXXXXX".utf8CString)
        let made = mkdtemp(&template)
        precondition(made != nil, "no temporary directory can be made")
        path = FilePath(String(cString: made!))
    }

    deinit {
        TemporaryDirectory.removeAll(path)
        path.withPlatformString { _ = rmdir($0) }
    }

    private static func removeAll(_ path: FilePath) {
        for name in (try? RealFileSystem().list(path)) ?? [] {
            let child = path.appending(name)
            if child.withPlatformString({ unlink($0) }) != 0 {
                removeAll(child)
                child.withPlatformString { _ = rmdir($0) }
            }
        }
    }
}

@Suite("On the real file system")
struct RealFileSystemTests {
    private let identity = NodeIdentity(cluster: ClusterID(1), node: NodeID(2), name: "real")

    @Test("a whole data directory is written, opened again, recycled")
    func everything() throws {
        let temporary = TemporaryDirectory()
        let path = temporary.path.appending("deep").appending("data")
        var maker = StepMaker(seed: 3)
        for round in 0..<3 {
            let directory = try DataDirectory.open(path, identity: identity, fileSystem: RealFileSystem())
            #expect(directory.isNew == (round == 0))
            let snapshots = try directory.openSnapshots()
            let opened = try directory.openLog(options: .init(segmentSizeBytes: 16 << 10))
            #expect(LogModel(opened.groups) == maker.model)
            for _ in 0..<60 {
                let step = maker.next()
                opened.log.encode(step.writes)
                for (group, through) in step.release { opened.log.release(group: group, through: through) }
                try opened.log.flush()
            }
            let writer = try snapshots.begin(GroupID(1), snapshot(UInt64(round) + 1))
            try writer.append([UInt8](repeating: UInt8(round), count: 200_000))
            try writer.finish()
            try snapshots.removeObsolete(GroupID(1), before: LogIndex(UInt64(round) + 1))
            let latest = try #require(try snapshots.latest(GroupID(1)))
            try latest.validate()
            #expect(latest.metadata.index == LogIndex(UInt64(round) + 1))
            try opened.log.close()
        }
    }

    @Test("the lock keeps a second opener out")
    func lock() throws {
        let temporary = TemporaryDirectory()
        let directory = try DataDirectory.open(
            temporary.path, identity: identity, fileSystem: RealFileSystem())
        #expect(throws: DataDirectoryError.locked(directory: temporary.path, holder: getpid())) {
            try DataDirectory.open(temporary.path, identity: identity, fileSystem: RealFileSystem())
        }
        withExtendedLifetime(directory) {}
    }

    @Test("errors name the operation, the path and the remedy")
    func errors() throws {
        let temporary = TemporaryDirectory()
        let fileSystem = RealFileSystem()
        let missing = temporary.path.appending("missing")
        do throws(FileSystemError) {
            _ = try fileSystem.open(missing, .read)
            Issue.record("a file that is not there was opened")
        } catch {
            #expect(error == FileSystemError(operation: .open, path: missing, code: .noSuchFileOrDirectory))
            #expect("\(error)" == "cannot open \(missing): No such file or directory; check the path")
        }
        let file = try fileSystem.open(missing, .create)
        #expect(throws: FileSystemError.self) { try fileSystem.open(missing, .create) }
        #expect(throws: FileSystemError.self) { try fileSystem.createDirectory(missing) }
        try file.allocate(10_000)
        #expect(try file.sizeBytes() == 10_000)
        try file.truncate(to: 3)
        #expect(try file.readBytes(10, at: 0) == [0, 0, 0])
        #expect(try fileSystem.list(temporary.path) == ["missing"])
        #expect(try fileSystem.freeSpaceBytes(temporary.path) > 0)
        try fileSystem.rename(missing, to: temporary.path.appending("found"))
        try fileSystem.remove(temporary.path.appending("found"))
        #expect(try !fileSystem.exists(temporary.path.appending("found")))
    }
}
