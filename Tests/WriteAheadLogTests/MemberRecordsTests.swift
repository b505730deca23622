import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("What a node remembers of its peers")
struct MemberRecordsTests {
    private let path: FilePath = "/data"
    private let file: FilePath = "/data/MEMBERS"

    private func open(_ fileSystem: SimulatedFileSystem) throws(DataDirectoryError) -> DataDirectory {
        try DataDirectory.open(
            path, identity: NodeIdentity(cluster: ClusterID(1), node: NodeID(1), name: "a"),
            newDirectoryID: DirectoryID(5), fileSystem: fileSystem)
    }

    private func record(_ node: UInt64, _ count: UInt64 = 1) -> MemberRecord {
        MemberRecord(
            node: NodeID(node), directory: DirectoryID(node * 7), startCount: count, incarnation: count * 9)
    }

    @Test("records come back after a power cut, one for each node, and nothing is written for nothing")
    func roundTrip() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        var members = try open(fileSystem).openMembers()
        #expect(members.records.isEmpty && members.record(of: NodeID(3)) == nil)
        for node in [9, 3, 5, 7] as [UInt64] { try members.remember(record(node)) }
        try members.remember(record(5, 2))
        let operations = fileSystem.operationCount
        try members.remember(record(5, 2))
        #expect(fileSystem.operationCount == operations)
        fileSystem.restart(after: .power)
        let again = try open(fileSystem).openMembers()
        #expect(again.records == [record(3), record(5, 2), record(7), record(9)])
        #expect(again.record(of: NodeID(5)) == record(5, 2) && again.record(of: NodeID(6)) == nil)
    }

    @Test("a crash at any operation leaves the records of before or of after")
    func everyCrashPoint() throws {
        for seed in UInt64(1)...6 {
            for crashPoint in 0... {
                let fileSystem = SimulatedFileSystem(seed: seed)
                var members = try open(fileSystem).openMembers()
                try members.remember(record(2))
                let crashAt = fileSystem.operationCount + crashPoint
                fileSystem.setPlan { $0.number == crashAt ? .crash : .none }
                let finished = (try? members.remember(record(2, 8))) != nil
                #expect((members.record(of: NodeID(2)) == record(2, 8)) == finished)
                let reached = fileSystem.isCrashed
                fileSystem.setPlan(nil)
                fileSystem.restart(after: seed % 2 == 0 ? .power : .process)
                let found = try open(fileSystem).openMembers().records
                #expect(found == [record(2, 8)] || (!finished && found == [record(2)]))
                if !reached { break }
            }
        }
    }

    @Test("any flipped bit, any cut is named; forgetting begins anew")
    func damage() throws {
        let original = SimulatedFileSystem(seed: 1)
        do {
            var members = try open(original).openMembers()
            try members.remember(record(2))
            try members.remember(record(3))
        }
        let bytes = try contents(file, original)
        func expectDamaged(_ damaged: [UInt8]) throws {
            let fileSystem = original.copy()
            try replace(file, with: damaged, fileSystem)
            let directory = try open(fileSystem)
            do throws(DataDirectoryError) {
                _ = try directory.openMembers()
                Issue.record("damage was not noticed")
            } catch {
                guard case .damaged(file, let offset, _) = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect("\(error)".contains("\(file)") && "\(error)".contains("byte \(offset)"))
            }
        }
        for offset in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[offset] ^= 1 << UInt8(bit)
                try expectDamaged(damaged)
            }
            try expectDamaged(Array(bytes[..<offset]))
        }
        try expectDamaged(bytes + [0])
        try original.flipBit(0, of: file, at: 30)
        var members = try open(original).forgetMembers()
        try members.remember(record(4))
        original.restart(after: .power)
        #expect(try open(original).openMembers().records == [record(4)])
    }

    @Test("a later version and too many members are refused")
    func bounds() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let directory = try open(fileSystem)
        var members = try directory.openMembers()
        try members.remember(record(2))
        var later = try contents(file, fileSystem).dropLast(4) as [UInt8]
        later[8] = 2
        later.appendLittleEndian(Checksum.crc32c(later))
        try replace(file, with: later, fileSystem)
        #expect(throws: DataDirectoryError.unsupportedVersion(file: file, found: 2, supported: 1)) {
            try directory.openMembers()
        }
        let many = (1...UInt64(MemberRecords.maximumRecords)).map { record($0) }
        try replace(file, with: MemberRecords.encode(many), fileSystem)
        members = try directory.openMembers()
        #expect(members.records == many)
        #expect(throws: DataDirectoryError.tooManyMembers(file: file, maximum: 4_096)) {
            try members.remember(record(5_000))
        }
        try members.remember(record(17, 3))
        withExtendedLifetime(directory) {}
    }

    @Test("on a full disk what is remembered of a known peer can still change")
    func fullDisk() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let directory = try open(fileSystem)
        var members = try directory.openMembers()
        try members.remember(record(2))
        fileSystem.setCapacity(fileSystem.usedBytes)
        for count in 2...5 as ClosedRange<UInt64> { try members.remember(record(2, count)) }
        fileSystem.restart(after: .power)
        #expect(try open(fileSystem).openMembers().records == [record(2, 5)])
    }
}
