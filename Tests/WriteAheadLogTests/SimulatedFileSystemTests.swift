import ConsensusTypes
import struct SystemPackage.Errno
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("The simulated file system")
struct SimulatedFileSystemTests {
    private let path: FilePath = "/file"

    private func make(_ seed: UInt64) throws -> (SimulatedFileSystem, any File) {
        let fileSystem = SimulatedFileSystem(seed: seed)
        let file = try fileSystem.open(path, .create)
        try file.write([UInt8](repeating: 1, count: 2_048), at: 0)
        try file.synchronize()
        try fileSystem.synchronizeDirectory("/")
        return (fileSystem, file)
    }

    @Test("what was synced stays; what was not is lost, kept and torn by sectors, all of them in time")
    func writes() throws {
        var lost = false
        var kept = false
        var reordered = false
        var torn = false
        for seed in UInt64(1)...200 {
            let (fileSystem, file) = try make(seed)
            try file.write([UInt8](repeating: 2, count: 1_024), at: 512)
            #expect(try file.readBytes(1, at: 512) == [2])
            fileSystem.restart(after: .power)
            #expect(throws: FileSystemError.self) { try file.sizeBytes() }
            let bytes = try contents(path, fileSystem)
            #expect(bytes.count == 2_048)
            #expect(Set(bytes[..<512]) == [1] && Set(bytes[1_536...]) == [1])
            let (first, second) = (Set(bytes[512..<1_024]), Set(bytes[1_024..<1_536]))
            lost = lost || (first == [1] && second == [1])
            kept = kept || (first == [2] && second == [2])
            reordered = reordered || (first == [1] && second == [2])
            torn = torn || first == [1, 2]
        }
        #expect(lost && kept && reordered && torn)
    }

    @Test("names need a sync of their directory; a rename is never half done")
    func names() throws {
        var outcomes: Set<[String]> = []
        for seed in UInt64(1)...200 {
            let (fileSystem, _) = try make(seed)
            let other = try fileSystem.open("/other", .create)
            try other.write([3], at: 0)
            try other.synchronize()
            try fileSystem.rename("/other", to: path)
            fileSystem.restart(after: .power)
            let names = try fileSystem.list("/")
            #expect(names.contains("file"))
            let isNew = try contents(path, fileSystem) == [3]
            outcomes.insert(names + [isNew ? "new" : "old"])
        }
        #expect(outcomes == [["file", "old"], ["file", "new"], ["file", "other", "old"]])
    }

    @Test("a process that dies loses nothing that it wrote")
    func processCrash() throws {
        let (fileSystem, file) = try make(1)
        try file.write([9], at: 5_000)
        fileSystem.restart(after: .process)
        #expect(try contents(path, fileSystem).last == 9)
    }

    @Test("after a failed sync a second one succeeds without having written everything")
    func failedSync() throws {
        var lost = false
        for seed in UInt64(1)...100 {
            let (fileSystem, file) = try make(seed)
            try file.write([UInt8](repeating: 2, count: 512), at: 0)
            fileSystem.setPlan { $0.operation == .synchronize ? .fail(.ioError) : .none }
            #expect(throws: FileSystemError.self) { try file.synchronize() }
            fileSystem.setPlan(nil)
            try file.synchronize()
            #expect(try file.readBytes(1, at: 0) == [2])
            fileSystem.restart(after: .power)
            lost = try lost || contents(path, fileSystem)[0] == 1
        }
        #expect(lost)
    }

    @Test("a copy shares nothing")
    func copies() throws {
        let (original, file) = try make(1)
        let copy = original.copy()
        try file.write([7], at: 0)
        try copy.flipBit(1, of: path, at: 1)
        #expect(try contents(path, copy)[..<2] == [1, 3])
        #expect(try contents(path, original)[..<2] == [7, 1])
        try copy.remove(path)
        #expect(try original.exists(path))
    }

    @Test("room, unreadable parts, cuts and growth")
    func sizes() throws {
        let (fileSystem, file) = try make(1)
        fileSystem.setCapacity(8_192)
        #expect(try fileSystem.freeSpaceBytes("/") == 4_096)
        try file.allocate(8_192)
        #expect(throws: FileSystemError(operation: .allocate, path: path, code: .noSpace)) {
            try file.allocate(8_193)
        }
        #expect(throws: FileSystemError(operation: .write, path: path, code: .noSpace)) {
            try file.write([1], at: 8_192)
        }
        try file.truncate(to: 100)
        try file.allocate(4_096)
        #expect(
            try file.readBytes(4_096, at: 0) == [UInt8](repeating: 1, count: 100)
                + .init(repeating: 0, count: 3_996))
    }

    @Test("a block that the device cannot read fails reads and parts of writes until all of it is written")
    func unreadableBlocks() throws {
        let (fileSystem, file) = try make(3)
        try file.write([UInt8](repeating: 1, count: 10_000), at: 0)
        try file.synchronize()
        try fileSystem.synchronizeDirectory(path.removingLastComponent())
        #expect(try fileSystem.makeUnreadable(path, 5_000..<5_001) == 4_096..<8_192)
        #expect(try fileSystem.makeUnreadable(path, 10_000..<10_001) == nil)
        #expect(throws: FileSystemError(operation: .read, path: path, code: .ioError, offset: 4_096)) {
            try file.readBytes(4_097, at: 0)
        }
        #expect(throws: FileSystemError(operation: .read, path: path, code: .ioError, offset: 8_191)) {
            try file.readBytes(1, at: 8_191)
        }
        #expect(try file.readBytes(4_096, at: 0).count == 4_096)
        #expect(try file.readBytes(4_096, at: 8_192).count == 1_808)
        // The rest of the block would have to be read first.
        #expect(throws: FileSystemError(operation: .write, path: path, code: .ioError)) {
            try file.write([1, 2, 3], at: 6_000)
        }
        let whole = [UInt8](repeating: 2, count: 4_096)
        try file.write(whole, at: 4_096)
        #expect(try file.readBytes(4_096, at: 4_096) == whole)
        fileSystem.restart(after: .power)
        let again = try fileSystem.open(path, .readWrite)
        #expect(throws: FileSystemError.self) { try again.readBytes(1, at: 4_096) }
        try again.write(whole, at: 4_096)
        try again.synchronize()
        fileSystem.restart(after: .power)
        #expect(try fileSystem.open(path, .read).readBytes(4_096, at: 4_096) == whole)
    }

    @Test("what the device cannot read stays with the file under another name, and in copies of the disk")
    func unreadableBlocksMove() throws {
        let (fileSystem, file) = try make(3)
        try file.write([UInt8](repeating: 1, count: 100), at: 0)
        #expect(try fileSystem.makeUnreadable(path) == 0..<2_048)
        let other = path.removingLastComponent().appending("other")
        try fileSystem.rename(path, to: other)
        let copy = fileSystem.copy()
        #expect(throws: FileSystemError.self) { try copy.open(other, .read).readBytes(1, at: 0) }
        try fileSystem.makeReadable(other)
        #expect(try fileSystem.open(other, .read).readBytes(100, at: 0).count == 100)
        #expect(throws: FileSystemError.self) { try copy.open(other, .read).readBytes(1, at: 0) }
    }

    @Test("the same seed gives the same crash")
    func deterministic() throws {
        func run() throws -> [UInt8] {
            let (fileSystem, file) = try make(77)
            for offset in 0..<40 { try file.write([UInt8(offset)], at: offset * 300) }
            fileSystem.restart(after: .power)
            return try contents(path, fileSystem)
        }
        #expect(try run() == run())
    }

    @Test("a write goes to another place, once, and stays there")
    func misdirected() throws {
        let (fileSystem, file) = try make(1)
        fileSystem.injectOnce(.misdirect(to: 3), into: .write, of: path)
        let other = try fileSystem.open("/other", .create)
        try other.write([5], at: 0)
        try file.write([9, 9], at: 10)
        try file.write([8], at: 20)
        try file.synchronize()
        fileSystem.restart(after: .power)
        let bytes = try contents(path, fileSystem)
        #expect(bytes[10] == 1 && bytes[20] == 8)
        let place = try #require(bytes.firstIndex(of: 9))
        #expect(place % 512 == 0 && place > 0 && bytes.count == 2_048)
    }

    @Test("a fault happens once, to the file and the operation that it is for, before the plan is asked")
    func once() throws {
        let (fileSystem, file) = try make(1)
        fileSystem.setPlan { $0.operation == .write ? .fail(.noSpace) : .none }
        fileSystem.injectOnce(.lose, into: .write, of: path)
        fileSystem.injectOnce(.fail(.ioError), into: .synchronize)
        try file.write([4], at: 0)
        #expect(try file.readBytes(1, at: 0) == [1])
        #expect(throws: FileSystemError(operation: .write, path: path, code: .noSpace)) {
            try file.write([4], at: 0)
        }
        fileSystem.setPlan(nil)
        #expect(throws: FileSystemError.self) { try file.synchronize() }
        try file.synchronize()
        fileSystem.injectOnce(.lose, into: .write)
        fileSystem.cancelInjections()
        try file.write([4], at: 0)
        #expect(try file.readBytes(1, at: 0) == [4])
    }

    @Test("damage at rest hits what is used, survives everything, and comes from the seed")
    func damageAtRest() throws {
        func damaged(_ seed: UInt64, _ fault: SimulatedDiskFault) throws -> (Range<Int>, [UInt8]) {
            let fileSystem = SimulatedFileSystem(seed: seed)
            let file = try fileSystem.open(path, .create)
            try file.allocate(64 << 10)
            try file.write([UInt8](repeating: 0xff, count: 1_500), at: 20_000)
            try file.synchronize()
            try fileSystem.synchronizeDirectory("/")
            let range = try #require(try fileSystem.damage(fault, of: path))
            fileSystem.restart(after: .power)
            return (range, try contents(path, fileSystem))
        }
        var places: Set<Int> = []
        for seed in UInt64(1)...40 {
            for fault in SimulatedDiskFault.allCases {
                let (range, bytes) = try damaged(seed, fault)
                #expect(try damaged(seed, fault) == (range, bytes))
                places.insert(range.lowerBound)
                for offset in 20_000..<21_500 {
                    #expect((bytes[offset] == 0xff) == !range.contains(offset))
                }
                #expect(range.overlaps(20_000..<21_500))
                #expect(range.count == [.flippedBit: 1, .zeroedSector: 512, .zeroedBlock: 4_096][fault])
            }
        }
        #expect(places.count > 10)
        let (fileSystem, _) = try make(1)
        try fileSystem.open(path, .readWrite).truncate(to: 0)
        #expect(try fileSystem.damage(.zeroedBlock, of: path) == nil)
    }

    @Test("a disk is rolled back and wiped")
    func replaced() throws {
        let (fileSystem, file) = try make(1)
        let before = fileSystem.copy()
        try file.write([7], at: 0)
        try file.synchronize()
        _ = try fileSystem.open("/later", .create)
        #expect(fileSystem.files().map(\.path) == [path, "/later"])
        fileSystem.restore(before)
        #expect(throws: FileSystemError.self) { try file.sizeBytes() }
        #expect(fileSystem.files().map(\.path) == [path] && fileSystem.files()[0].sizeBytes == 2_048)
        #expect(try contents(path, fileSystem)[0] == 1)
        fileSystem.wipe()
        #expect(fileSystem.files().isEmpty)
        fileSystem.restart(after: .power)
        #expect(try fileSystem.list("/").isEmpty)
        #expect(try before.exists(path))
    }

    @Test("a directory's new name needs a sync like any other, and takes along what is in it")
    func directories() throws {
        var outcomes: Set<[String]> = []
        for seed in UInt64(1)...100 {
            let fileSystem = SimulatedFileSystem(seed: seed)
            _ = try fileSystem.createDirectory("/old")
            let file = try fileSystem.open("/old/file", .create)
            try file.write([3], at: 0)
            try file.synchronize()
            for directory in ["/", "/old"] as [FilePath] { try fileSystem.synchronizeDirectory(directory) }
            try fileSystem.rename("/old", to: "/new")
            #expect(try fileSystem.list("/") == ["new"] && fileSystem.list("/new") == ["file"])
            #expect(throws: FileSystemError.self) { try fileSystem.removeDirectory("/new") }
            let isDurable = seed % 2 == 0
            if isDurable { try fileSystem.synchronizeDirectory("/") }
            fileSystem.restart(after: .power)
            let names = fileSystem.files().map(\.path.string)
            #expect(names == ["/new/file"] || (!isDurable && names == ["/old/file"]))
            outcomes.insert(names)
            #expect(try contents(FilePath(names[0]), fileSystem) == [3])
            try fileSystem.remove(FilePath(names[0]))
            try fileSystem.removeDirectory(FilePath(names[0]).removingLastComponent())
            #expect(try fileSystem.list("/").isEmpty)
        }
        #expect(outcomes.count == 2)
    }
}
