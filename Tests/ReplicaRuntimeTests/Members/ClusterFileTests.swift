import ConsensusTypes
import Testing
import WriteAheadLog

/// The file that says who the members are apart from the log.
@Suite struct ClusterFileTests {
    private let record = ClusterRecord(
        cluster: ClusterID(0xc1), isJoined: true, first: Membership(voters: [NodeID(1), NodeID(2)]),
        latest: Membership(
            voters: [NodeID(1)], learners: [NodeID(3)],
            descriptions: [MemberDescription(node: NodeID(3), information: ByteSlice([7, 8]))]),
        latestIndex: LogIndex(12), departed: [ClusterRecord.Departed(node: NodeID(2), position: 9)])

    private func disk(_ record: ClusterRecord?) throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem(seed: 1)
        _ = try disk.createDirectory("/node")
        if let record { try ClusterFile.write(record, "/node", fileSystem: disk) }
        return disk
    }

    private func contents(_ disk: SimulatedFileSystem) throws -> [UInt8] {
        let file = try disk.open("/node/CLUSTER", .read)
        var bytes = [UInt8](repeating: 0, count: try file.sizeBytes())
        _ = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
        return bytes
    }

    @Test func itIsReadAsItWasWritten() throws {
        #expect(try ClusterFile.read("/node", fileSystem: disk(nil)) == nil)
        let disk = try disk(record)
        #expect(try ClusterFile.read("/node", fileSystem: disk) == record)
        var changed = record
        changed.cluster = ClusterID(2)
        changed.departed = []
        try ClusterFile.write(changed, "/node", fileSystem: disk)
        #expect(try ClusterFile.read("/node", fileSystem: disk) == changed)
    }

    /// What was written is there after the power went.
    @Test func itIsDurable() throws {
        let disk = try disk(nil)
        try disk.synchronizeDirectory("/")
        try ClusterFile.write(record, "/node", fileSystem: disk)
        disk.restart(after: .power)
        #expect(try ClusterFile.read("/node", fileSystem: disk) == record)
    }

    /// Every single byte may be damaged, and even a whole block.
    @Test func oneDamageIsMadeUpFor() throws {
        let size = try contents(disk(record)).count
        #expect(size > 4_096)
        for offset in stride(from: 0, to: size, by: 7) {
            let disk = try disk(record)
            try disk.flipBit(1, of: "/node/CLUSTER", at: offset)
            #expect(try ClusterFile.read("/node", fileSystem: disk) == record)
        }
        let disk = try disk(record)
        let file = try disk.open("/node/CLUSTER", .readWrite)
        try [UInt8](repeating: 0xff, count: 4_096).withUnsafeBytes { bytes in try file.write(bytes, at: 0) }
        #expect(try ClusterFile.read("/node", fileSystem: disk) == record)
    }

    @Test func twoDamagesAreAnErrorThatNamesTheFile() throws {
        let disk = try disk(record)
        try disk.flipBit(1, of: "/node/CLUSTER", at: 30)
        try disk.flipBit(1, of: "/node/CLUSTER", at: 4_096 + 30)
        do {
            _ = try ClusterFile.read("/node", fileSystem: disk)
            Issue.record("it was read")
        } catch {
            #expect("\(error)".contains("/node/CLUSTER is damaged at byte 16"))
        }
    }

    @Test func everyTruncationIsNoticed() throws {
        let size = try contents(disk(record)).count
        for count in stride(from: 0, to: 200, by: 3) {
            let disk = try disk(record)
            try disk.open("/node/CLUSTER", .readWrite).truncate(to: count)
            if count < size - 4_096 {
                #expect(throws: DataDirectoryError.self) { try ClusterFile.read("/node", fileSystem: disk) }
            } else {
                #expect(try ClusterFile.read("/node", fileSystem: disk) == record)
            }
        }
    }
}
