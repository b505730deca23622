import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("The data directory")
struct DataDirectoryTests {
    private let path: FilePath = "/var/holdfast"
    private let identity = NodeIdentity(cluster: ClusterID(0xc1), node: NodeID(0xa), name: "één")

    private func open(
        _ fileSystem: SimulatedFileSystem, _ identity: NodeIdentity? = nil
    ) throws(DataDirectoryError) -> DataDirectory {
        try DataDirectory.open(path, identity: identity ?? self.identity, fileSystem: fileSystem)
    }

    private func openAll(
        _ fileSystem: SimulatedFileSystem
    ) throws(DataDirectoryError) -> (directory: DataDirectory, opened: WriteAheadLog.Opened) {
        let directory = try open(fileSystem)
        _ = try directory.openSnapshots()
        return (directory, try directory.openLog(options: WriteAheadLogOptions(segmentSizeBytes: 4_096)))
    }

    @Test("is made once and found again")
    func roundTrip() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        #expect(try openAll(fileSystem).directory.isNew)
        #expect(try DataDirectory.identity(path, fileSystem: fileSystem) == identity)
        let again = try openAll(fileSystem)
        #expect(!again.directory.isNew && again.directory.identity == identity)
    }

    @Test("another node's directory is refused")
    func mismatch() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        _ = try openAll(fileSystem)
        let others = [
            ("cluster", NodeIdentity(cluster: ClusterID(0xc2), node: NodeID(0xa), name: "één")),
            ("node", NodeIdentity(cluster: ClusterID(0xc1), node: NodeID(0xb), name: "één")),
            ("name", NodeIdentity(cluster: ClusterID(0xc1), node: NodeID(0xa), name: "eins")),
        ]
        for (field, other) in others {
            do throws(DataDirectoryError) {
                _ = try open(fileSystem, other)
                Issue.record("the \(field) was not compared")
            } catch {
                guard case .mismatch(_, field, _, _) = error else {
                    Issue.record("\(error)")
                    continue
                }
                #expect("\(error)".contains("/var/holdfast/IDENTITY"))
            }
        }
        let long = NodeIdentity(
            cluster: ClusterID(1), node: NodeID(1), name: String(repeating: "x", count: 1_025))
        #expect(throws: DataDirectoryError.self) { try open(fileSystem, long) }
    }

    @Test("a lost log or a lost identity is noticed")
    func losses() throws {
        let original = SimulatedFileSystem(seed: 1)
        _ = try openAll(original)
        let withoutIdentity = original.copy()
        try withoutIdentity.remove(path.appending("IDENTITY"))
        #expect(throws: DataDirectoryError.identityMissing(file: path.appending("IDENTITY"))) {
            try open(withoutIdentity)
        }
        let withoutLog = original.copy()
        for name in try withoutLog.list(path.appending("log")) where name.hasSuffix(".segment") {
            try withoutLog.remove(path.appending("log").appending(name))
        }
        #expect(throws: DataDirectoryError.log(.empty(directory: path.appending("log")))) {
            try openAll(withoutLog)
        }
    }

    @Test("one process at a time")
    func lock() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let directory = try open(fileSystem)
        #expect(throws: DataDirectoryError.self) { try open(fileSystem) }
        withExtendedLifetime(directory) {}
    }

    /// Opens a directory whose `IDENTITY` has these bytes, and answers what the start says of them.
    private func openDamaged(
        _ original: SimulatedFileSystem, _ damaged: [UInt8]
    ) throws -> Result<DataDirectory, DataDirectoryError> {
        let fileSystem = original.copy()
        try replace(path.appending("IDENTITY"), with: damaged, fileSystem)
        do throws(DataDirectoryError) {
            return .success(try open(fileSystem))
        } catch {
            return .failure(error)
        }
    }

    @Test("any flipped bit, any cut of the identity: it is named, and the other copy is used")
    func singleDamage() throws {
        let original = SimulatedFileSystem(seed: 1)
        let id = try openAll(original).directory.directoryID
        let file = path.appending("IDENTITY")
        let bytes = try contents(file, original)
        #expect(bytes.count == 8_192)
        func expectMadeUpFor(_ damaged: [UInt8], _ copies: ClosedRange<Int>) throws {
            let directory = try openDamaged(original, damaged).get()
            #expect(directory.directoryID == id && directory.startCount == 2 && !directory.isNew)
            #expect(directory.damages.count == 1)
            guard case .damaged(file, let offset, _)? = directory.damages.first else {
                Issue.record("\(directory.damages)")
                return
            }
            #expect(copies.contains(offset / 4_096) && "\(directory.damages[0])".contains("byte \(offset)"))
        }
        let used = [0..<73, 4_096..<4_169]
        for offset in used.joined() {
            var damaged = bytes
            damaged[offset] ^= 1 << UInt8(offset % 8)
            try expectMadeUpFor(damaged, offset / 4_096...offset / 4_096)
        }
        for size in stride(from: 4_096, to: 4_168, by: 1) {
            try expectMadeUpFor(Array(bytes[..<size]), 1...2)
        }
        // One copy in the other's place is none.
        try expectMadeUpFor(Array(bytes[4_096...]) + Array(bytes[4_096...]), 0...0)
    }

    @Test("with both copies damaged the identity is named, or the directory is taken for a wiped one")
    func bothDamaged() throws {
        let original = SimulatedFileSystem(seed: 1)
        try openAll(original).directory.markAdmitted()
        original.restart(after: .process)
        let file = path.appending("IDENTITY")
        let bytes = try contents(file, original)
        var damages = (0..<60).map { Array(bytes[..<$0]) }
        for offset in 0..<60 {
            var damaged = bytes
            damaged[offset] ^= 4
            damaged[4_155 - offset] ^= 8
            damages.append(damaged)
        }
        for damaged in damages {
            guard case .failure(.damaged(file, let offset, _)) = try openDamaged(original, damaged) else {
                Issue.record("damage was not noticed")
                continue
            }
            #expect(offset <= 60)
            let fileSystem = original.copy()
            try replace(file, with: damaged, fileSystem)
            let directory = try DataDirectory.open(
                path, identity: identity, newDirectoryID: DirectoryID(77), replacesLostIdentity: true,
                fileSystem: fileSystem)
            #expect(directory.directoryID == DirectoryID(77) && directory.startCount == 1)
            #expect(!directory.isAdmitted && !directory.isNew && directory.damages.count == 2)
            // The log is still there, and must be.
            _ = try directory.openLog(options: WriteAheadLogOptions(segmentSizeBytes: 4_096))
            fileSystem.restart(after: .power)
            let again = try open(fileSystem)
            #expect(again.directoryID == DirectoryID(77) && again.startCount == 2 && !again.isAdmitted)
        }
        var later = Array(bytes[..<68])
        later[8] = 9
        later[12] = 72
        later.appendLittleEndian(Checksum.crc32c(later, continuing: Checksum.crc32c(0, 0)))
        let written = later + [UInt8](repeating: 0, count: 8_192 - later.count)
        guard
            case .failure(.unsupportedVersion(file, found: 9, supported: 3)) =
                try openDamaged(original, written)
        else {
            Issue.record("a later version was not told from damage")
            return
        }
    }

    @Test("a write of the identity that the device loses, or puts elsewhere, takes one copy at most")
    func lostWrites() throws {
        for fault in [SimulatedFault.lose, .misdirect(to: 1)] {
            for number in 0..<2 {
                let fileSystem = SimulatedFileSystem(seed: 1)
                let id = try openAll(fileSystem).directory.directoryID
                fileSystem.restart(after: .process)
                // The first passes unharmed where the second is meant.
                for place in 0...number {
                    fileSystem.injectOnce(
                        place == number ? fault : .none, into: .write, of: path.appending("IDENTITY.partial"))
                }
                _ = try open(fileSystem)
                fileSystem.restart(after: .power)
                let directory = try open(fileSystem)
                #expect(directory.directoryID == id && directory.startCount == 3)
            }
        }
    }

    @Test("a crash at any operation of the first start lets the next one succeed")
    func everyCrashPoint() throws {
        for seed in UInt64(1)...10 {
            var crashPoint = 0
            while true {
                let fileSystem = SimulatedFileSystem(seed: seed)
                let crashAt = crashPoint
                fileSystem.setPlan { $0.number == crashAt ? .crash : .none }
                do {
                    _ = try openAll(fileSystem)
                } catch {
                    #expect(fileSystem.isCrashed)
                }
                if !fileSystem.isCrashed { break }
                fileSystem.setPlan(nil)
                fileSystem.restart(after: seed % 2 == 0 ? .power : .process)
                let second = try openAll(fileSystem)
                second.opened.log.encode([LogWrite(group: GroupID(1), entries: entries(1...1))])
                try second.opened.log.flush()
                fileSystem.restart(after: .power)
                let third = try openAll(fileSystem)
                #expect(
                    !third.directory.isNew && third.opened.groups.count == 1,
                    "seed \(seed), crash point \(crashPoint)")
                crashPoint += 1
            }
        }
    }

    /// The bytes of an identity of version 1.
    private func oldIdentity(isInitialized: Bool) -> [UInt8] {
        let name = Array(identity.name.utf8)
        var bytes = IdentityFile.magic
        bytes.appendLittleEndian(UInt32(1))
        bytes.appendLittleEndian(UInt32(44 + name.count))
        bytes.appendLittleEndian(identity.cluster.rawValue)
        bytes.appendLittleEndian(identity.node.rawValue)
        bytes.appendLittleEndian(UInt32(isInitialized ? 1 : 0))
        bytes.appendLittleEndian(UInt32(name.count))
        bytes += name
        bytes.appendLittleEndian(Checksum.crc32c(bytes))
        return bytes
    }

    @Test(
        "an identity of version 1 gets an id and a count; who had a log counts as admitted",
        arguments: [true, false])
    func upgrade(isInitialized: Bool) throws {
        let original = SimulatedFileSystem(seed: 1)
        try openAll(original).opened.log.close()
        original.restart(after: .process)
        try replace(path.appending("IDENTITY"), with: oldIdentity(isInitialized: isInitialized), original)
        for crashPoint in 0... {
            let fileSystem = original.copy()
            let crashAt = fileSystem.operationCount + crashPoint
            fileSystem.setPlan { $0.number == crashAt ? .crash : .none }
            _ = try? DataDirectory.open(
                path, identity: identity, newDirectoryID: DirectoryID(77), fileSystem: fileSystem)
            let crashed = fileSystem.isCrashed
            fileSystem.setPlan(nil)
            fileSystem.restart(after: .power)
            let directory = try DataDirectory.open(
                path, identity: identity, newDirectoryID: DirectoryID(88), fileSystem: fileSystem)
            #expect(directory.isAdmitted == isInitialized && directory.isNew == !isInitialized)
            let wasUpgraded = directory.startCount == 2
            #expect(directory.directoryID == DirectoryID(wasUpgraded ? 77 : 88))
            #expect(directory.startCount == 1 || wasUpgraded)
            #expect(try contents(path.appending("IDENTITY"), fileSystem)[8] == 3)
            if !crashed {
                #expect(wasUpgraded)
                break
            }
        }
    }

    @Test("each start is counted before it does anything; the id and the admission stay")
    func starts() throws {
        for seed in UInt64(1)...10 {
            let fileSystem = SimulatedFileSystem(seed: seed)
            let first = try openAll(fileSystem).directory
            #expect(first.startCount == 1 && !first.isAdmitted)
            let id = first.directoryID
            fileSystem.restart(after: .power)
            let second = try openAll(fileSystem).directory
            #expect(second.startCount == 2 && second.directoryID == id && !second.isAdmitted)
            try second.markAdmitted()
            #expect(second.isAdmitted)
            fileSystem.restart(after: .power)
            let third = try openAll(fileSystem).directory
            #expect(third.startCount == 3 && third.directoryID == id && third.isAdmitted)
            let other = SimulatedFileSystem(seed: seed)
            #expect(try openAll(other).directory.directoryID != id)
        }
    }

    @Test("a node starts again and again on a full disk")
    func fullDisk() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        try openAll(fileSystem).opened.log.close()
        fileSystem.restart(after: .process)
        fileSystem.setCapacity(fileSystem.usedBytes)
        for count in 2...5 as ClosedRange<UInt64> {
            let started = try openAll(fileSystem)
            #expect(started.directory.startCount == count)
            try started.directory.markAdmitted()
            fileSystem.restart(after: count % 2 == 0 ? .power : .process)
        }
    }
}
