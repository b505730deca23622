import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

/// The documents in docs/formats show real files byte for byte; these tests make the same files and compare.
@Suite("The documented formats")
struct FormatTests {
    /// The bytes of the table behind the line "<!-- bytes: NAME -->" of a document: lines of the form
    /// `| offset | bytes in hexadecimal | meaning |`.
    private func documented(_ document: String, _ name: String) throws -> [UInt8] {
        let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let path = root.appending("docs").appending("formats").appending(document)
        let text = String(decoding: try contents(path, RealFileSystem()), as: UTF8.self)
        var bytes: [UInt8] = []
        var isInside = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "<!-- bytes: \(name) -->" {
                isInside = true
            } else if isInside, line.hasPrefix("| ") {
                let columns = line.split(separator: "|").map { String($0) }
                guard let offset = Int(columns[0].filter { $0.isHexDigit }, radix: 16),
                    columns[0].contains("`")
                else { continue }
                #expect(offset == bytes.count, "\(document), \(name): \(line)")
                let digits = columns[1].filter { $0 != "`" }
                bytes += digits.split(separator: " ").compactMap { UInt8($0, radix: 16) }
            } else if isInside, !bytes.isEmpty {
                break
            }
        }
        return bytes
    }

    private func expect(_ actual: some Collection<UInt8>, _ document: String, _ name: String) throws {
        let expected = try documented(document, name)
        let actual = Array(actual)
        let rows = stride(from: 0, to: actual.count, by: 8).map { start in
            let row = actual[start..<min(start + 8, actual.count)].map { byte in
                (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
            return "| `\(String(start, radix: 16))` | `\(row.joined(separator: " "))` | |"
        }
        #expect(expected == actual, "docs/formats/\(document), \(name), is:\n\(rows.joined(separator: "\n"))")
    }

    @Test("the write-ahead log")
    func log() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let log = try openLog(fileSystem).log
        log.encode([
            LogWrite(
                group: GroupID(7),
                hardState: HardState(term: Term(2), votedFor: NodeID(0xb), commitIndex: LogIndex(1)),
                entries: [
                    Entry(index: LogIndex(1), term: Term(2), kind: .noOperation),
                    Entry(
                        index: LogIndex(2), term: Term(2), kind: .command,
                        proposal: ProposalID(session: 0x5e, sequence: 3),
                        payload: ByteSlice(Array("hold".utf8))),
                ])
        ])
        try log.flush()
        let anchor = try contents(logDirectory.appending("ANCHOR"), fileSystem)
        #expect(anchor.count == 16_384)
        try expect(anchor[..<76], "write-ahead-log.md", "votes")
        try expect(anchor[12_288...].prefix(48), "write-ahead-log.md", "positions")
        log.encode([
            LogWrite(
                group: GroupID(7),
                snapshot: SnapshotMetadata(
                    index: LogIndex(1), term: Term(2),
                    membership: Membership(voters: [NodeID(0xb), NodeID(0xc)], learners: [NodeID(0xd)])),
                keepsSuffix: true)
        ])
        try log.flush()
        let first = Array(try contents(segmentPath(1), fileSystem)[..<384])
        try expect(first[..<64], "write-ahead-log.md", "segment header")
        try expect(first[64..<88], "write-ahead-log.md", "first head")
        try expect(first[88...].prefix(168), "write-ahead-log.md", "records")
        try expect(first[256...].prefix(96), "write-ahead-log.md", "snapshot")
        try expect(first[352...].prefix(24), "write-ahead-log.md", "durable mark")
        #expect(first[376...].allSatisfy { $0 == 0 })

        log.encode([LogWrite(group: GroupID(7), entries: entries(3...3, term: 2, payloadBytes: 3_700))])
        try log.flush()
        let sealed = try contents(segmentPath(1), fileSystem)
        try expect(sealed[352...].prefix(24), "write-ahead-log.md", "seal")
        let second = try contents(segmentPath(2), fileSystem)
        try expect(second[..<64], "write-ahead-log.md", "second segment header")
        try expect(second[64...].prefix(136), "write-ahead-log.md", "second head")
    }

    @Test("the snapshot file")
    func snapshotFile() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try SnapshotStore.open(directory: "/snapshots", fileSystem: fileSystem, chunkSizeBytes: 4)
        let writer = try store.begin(
            GroupID(7),
            SnapshotMetadata(
                index: LogIndex(9), term: Term(2), membership: Membership(voters: [NodeID(0xb)])))
        try writer.append(Array("fast!".utf8))
        try writer.finish()
        let names = try fileSystem.list("/snapshots")
        #expect(names == ["0000000000000007-0000000000000009-0000000000000002.snapshot"])
        let path = FilePath("/snapshots").appending(names[0])
        try expect(try contents(path, fileSystem), "snapshot-file.md", "snapshot")
    }

    @Test("the data directory")
    func identity() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let directory = try DataDirectory.open(
            "/data", identity: NodeIdentity(cluster: ClusterID(0xc1), node: NodeID(0xa), name: "n1"),
            newDirectoryID: DirectoryID(0xd1), fileSystem: fileSystem)
        _ = try directory.openSnapshots()
        _ = try directory.openLog(options: .init(segmentSizeBytes: 4_096))
        #expect(try fileSystem.list("/data") == ["IDENTITY", "IDENTITY.partial", "LOCK", "log", "snapshots"])
        let copies = try contents("/data/IDENTITY", fileSystem)
        #expect(copies.count == 8_192)
        try expect(copies[..<70], "data-directory.md", "identity")
        try expect(copies[4_096...].prefix(70), "data-directory.md", "second identity")
        #expect((copies[70..<4_096] + copies[4_166...]).allSatisfy { $0 == 0 })
        var members = try directory.openMembers()
        for node in [0xc, 0xb] as [UInt64] {
            try members.remember(
                MemberRecord(
                    node: NodeID(node), directory: DirectoryID(0xd0 + node), startCount: 3, incarnation: 0x1c)
            )
        }
        try expect(try contents("/data/MEMBERS", fileSystem), "data-directory.md", "members")
        let notes = [
            RepairNote(
                group: GroupID(1),
                hardState: HardState(term: Term(4), votedFor: NodeID(0xb), commitIndex: LogIndex(6)),
                end: LogPosition(term: Term(3), index: LogIndex(9))),
            RepairNote(group: GroupID(2), hardState: nil, end: nil),
        ]
        try directory.noteRepair(notes)
        try expect(try contents("/data/REPAIR", fileSystem), "data-directory.md", "repair")
        #expect(try directory.repairNotes() == notes)
        try directory.noteRepair([])
        #expect(try fileSystem.list("/data").allSatisfy { $0 != "REPAIR" })
    }
}
