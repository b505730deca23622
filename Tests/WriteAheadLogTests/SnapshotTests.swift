import ConsensusTypes
import struct SystemPackage.FilePath
import Testing

@testable import WriteAheadLog

@Suite("Snapshot files")
struct SnapshotTests {
    private let directory: FilePath = "/snapshots"
    private let group = GroupID(5)

    private func open(_ fileSystem: SimulatedFileSystem) throws(SnapshotError) -> SnapshotStore {
        try SnapshotStore.open(directory: directory, fileSystem: fileSystem, chunkSizeBytes: 100)
    }

    private func content(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 / 256) }
    }

    private func write(
        _ store: SnapshotStore, _ metadata: SnapshotMetadata, _ bytes: [UInt8], step: Int = 37
    ) throws {
        let writer = try store.begin(group, metadata)
        for start in stride(from: 0, to: bytes.count, by: step) {
            try writer.append(ByteSlice(bytes, start..<min(start + step, bytes.count)))
        }
        try writer.finish()
    }

    private func readAll(_ file: SnapshotFile, step: Int = 73) throws(SnapshotError) -> [UInt8] {
        var result: [UInt8] = []
        while true {
            let part = try file.read(at: UInt64(result.count), maximum: step)
            if part.isEmpty { return result }
            result += part.bytes
        }
    }

    @Test("any size comes back, read in any steps", arguments: [0, 1, 99, 100, 101, 200, 1_234])
    func roundTrip(size: Int) throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        try write(store, snapshot(9), content(size))
        let file = try #require(try store.latest(group))
        #expect(file.metadata == snapshot(9) && file.sizeBytes == UInt64(size))
        for step in [1, 73, 100, 5_000] {
            #expect(try readAll(file, step: step) == content(size))
        }
        try file.validate()
        #expect(throws: SnapshotError.self) { try file.read(at: UInt64(size) + 1, maximum: 1) }
    }

    @Test("a witness's says so, and is not found under another's metadata")
    func withheld() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        try write(store, snapshot(9).asWithheld, [])
        #expect(try store.latest(group)?.metadata == snapshot(9).asWithheld)
        #expect(try store.intact(group).map(\.metadata.isWithheld) == [true])
        #expect(throws: SnapshotError.self) { try store.open(group, snapshot(9)) }
        // One with contents is not whole.
        try write(store, snapshot(10).asWithheld, content(3))
        #expect(throws: SnapshotError.self) { try store.latest(group) }
        #expect(try store.intact(group).map(\.metadata.index) == [LogIndex(9)])
    }

    @Test("the newest counts, older ones go when told, other groups stay")
    func several() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        for index in [5, 300, 17] as [UInt64] { try write(store, snapshot(index), content(10)) }
        let other = try store.begin(GroupID(6), snapshot(1))
        try other.finish()
        #expect(try store.latest(group)?.metadata.index == LogIndex(300))
        #expect(try store.open(group, snapshot(17)).metadata == snapshot(17))
        #expect(throws: SnapshotError.self) { try store.open(group, snapshot(18)) }
        try store.removeObsolete(group, before: LogIndex(300))
        #expect(try !store.contains(group, index: LogIndex(17), term: Term(1)))
        #expect(try store.latest(group)?.metadata.index == LogIndex(300))
        #expect(try store.latest(GroupID(6))?.sizeBytes == 0)
        #expect(try store.latest(GroupID(7)) == nil)
    }

    @Test("unfinished ones are never seen and are removed")
    func unfinished() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        let abandoned = try store.begin(group, snapshot(1))
        try abandoned.append(content(500))
        abandoned.abandon()
        #expect(throws: SnapshotError.self) { try abandoned.append([1]) }
        #expect(try fileSystem.list(directory).isEmpty)
        let interrupted = try store.begin(group, snapshot(2))
        try interrupted.append(content(500))
        fileSystem.restart(after: .process)
        #expect(try fileSystem.list(directory).count == 1)
        #expect(try open(fileSystem).latest(group) == nil)
        #expect(try fileSystem.list(directory).isEmpty)
    }

    @Test("a full disk fails the snapshot, leaves nothing, and the next one succeeds")
    func fullDisk() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        fileSystem.setCapacity(8_192)
        do {
            try write(store, snapshot(3), content(20_000))
            Issue.record("there was no room")
        } catch let error as SnapshotError {
            #expect(error.isNoSpace)
        }
        #expect(fileSystem.usedBytes == 0)
        fileSystem.setCapacity(nil)
        try write(store, snapshot(3), content(20_000))
    }

    @Test("a crash at any operation leaves the old one or the new one, whole")
    func everyCrashPoint() throws {
        for seed in UInt64(1)...5 {
            var crashPoint = 0
            var finished = false
            while !finished {
                let fileSystem = SimulatedFileSystem(seed: seed)
                try write(try open(fileSystem), snapshot(1), content(250))
                let start = fileSystem.operationCount
                let crashAt = start + crashPoint
                fileSystem.setPlan { $0.number == crashAt ? .crash : .none }
                do {
                    let store = try open(fileSystem)
                    try write(store, snapshot(2), content(1_000))
                    finished = true
                    try store.removeObsolete(group, before: LogIndex(2))
                } catch {
                    #expect(fileSystem.isCrashed)
                }
                let crashed = fileSystem.isCrashed
                fileSystem.setPlan(nil)
                fileSystem.restart(after: .power)
                let file = try #require(try open(fileSystem).latest(group))
                if finished { #expect(file.metadata.index == LogIndex(2)) }
                #expect(try readAll(file) == content(file.metadata.index == LogIndex(2) ? 1_000 : 250))
                finished = !crashed
                crashPoint += 1
            }
        }
    }

    @Test("any flipped bit is named with file and offset")
    func everyByte() throws {
        let original = SimulatedFileSystem(seed: 1)
        try write(try open(original), snapshot(3), content(333))
        let path = directory.appending(try original.list(directory)[0])
        for offset in 0..<(try original.open(path, .read).sizeBytes()) {
            for bit in [0, 6] {
                let fileSystem = original.copy()
                try fileSystem.flipBit(bit, of: path, at: offset)
                do throws(SnapshotError) {
                    let store = try SnapshotStore.open(directory: directory, fileSystem: fileSystem)
                    let file = try store.latest(group)
                    _ = try file.map { (file) throws(SnapshotError) in try readAll(file) }
                    Issue.record("byte \(offset) was not noticed")
                } catch {
                    guard case .damaged(path, let place, _) = error else {
                        Issue.record("byte \(offset): \(error)")
                        continue
                    }
                    #expect("\(error)".contains(path.string) && "\(error)".contains("byte \(place)"))
                }
            }
        }
    }

    @Test("a chunk of another snapshot does not pass, nor one from another place")
    func foreignChunks() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        let contents = [UInt8](repeating: 4, count: 300)
        for index in [1, 2] as [UInt64] { try write(store, snapshot(index), contents) }
        let paths = try fileSystem.list(directory).map { directory.appending($0) }
        let source = try fileSystem.open(paths[0], .read)
        let target = try fileSystem.open(paths[1], .readWrite)
        let header = SnapshotFormat.header(group, snapshot(1), chunkSizeBytes: 100).count
        let chunk = 100 + SnapshotFormat.chunkHeaderSizeBytes
        try target.write(try source.readBytes(chunk, at: header), at: header)
        #expect(throws: SnapshotError.self) { try store.open(group, snapshot(2)).validate() }
        try target.write(try source.readBytes(chunk, at: header + chunk), at: header + chunk)
        #expect(throws: SnapshotError.self) { try store.open(group, snapshot(2)).read(at: 100, maximum: 9) }
        try fileSystem.open(paths[0], .readWrite).write(
            try source.readBytes(chunk, at: header), at: header + chunk)
        #expect(throws: SnapshotError.self) { try store.open(group, snapshot(1)).validate() }
    }

    @Test("a file cut short or with bytes added is refused")
    func sizes() throws {
        let original = SimulatedFileSystem(seed: 1)
        try write(try open(original), snapshot(3), content(333))
        let path = directory.appending(try original.list(directory)[0])
        let bytes = try contents(path, original)
        for size in 0..<bytes.count {
            let fileSystem = original.copy()
            try replace(path, with: Array(bytes[..<size]), fileSystem)
            #expect(throws: SnapshotError.self) { try open(fileSystem).latest(group) }
        }
        try replace(path, with: bytes + [0], original)
        #expect(throws: SnapshotError.self) { try open(original).latest(group) }
    }

    @Test("the intact ones are told from the damaged ones, which can be set aside")
    func intactAndDamaged() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try open(fileSystem)
        for index in [1, 2, 3, 4] as [UInt64] { try write(store, snapshot(index), content(500)) }
        let names = try fileSystem.list(directory)
        let damagedPaths = [names[1], names[3]].map { directory.appending($0) }
        for path in damagedPaths { try fileSystem.flipBit(1, of: path, at: 300) }
        #expect(try store.intact(group).map(\.metadata.index.rawValue) == [1, 3])
        let files = try store.damaged(group).map { error -> FilePath in
            guard case .damaged(let file, _, _) = error else { throw error }
            return file
        }
        #expect(files == damagedPaths)
        for file in files {
            try store.setAside(file)
            fileSystem.restart(after: .power)
        }
        let again = try open(fileSystem)
        #expect(try again.latest(group)?.metadata.index == LogIndex(3))
        #expect(try again.damaged(group).isEmpty)
        #expect(try fileSystem.list(directory) == [names[0], names[2], names[3] + ".damaged"])
        #expect(throws: SnapshotError.self) { try again.setAside(directory.appending(names[3] + ".damaged")) }
    }
}
