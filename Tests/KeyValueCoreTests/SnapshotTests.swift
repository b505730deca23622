import ConsensusTypes
import Testing

@testable import KeyValueCore

@Suite struct SnapshotTests {
    private func written(_ store: KeyValueStore, chunkSize: Int = 1 << 20) -> [UInt8] {
        var writer = store.snapshotWriter()
        var all: [UInt8] = []
        while let chunk = writer.nextChunk(maximumSizeBytes: chunkSize) {
            precondition(chunk.count <= chunkSize && !chunk.isEmpty && all.count < 1 << 20)
            all += chunk
        }
        return all
    }

    private func read(_ bytes: [UInt8], pieces: Int = .max) throws(ByteDecodingError) -> KeyValueStore {
        var reader = SnapshotReader()
        var offset = 0
        while offset < bytes.count {
            let end = offset + min(pieces, bytes.count - offset)
            try reader.receive(ByteSlice(bytes, offset..<end))
            offset = end
        }
        return try reader.finish()
    }

    private func sample() throws -> KeyValueStore {
        var store = KeyValueStore()
        for id in 1...5 {
            _ = try store.apply(.leaseGrant(id: LeaseID(Int64(id)), timeToLiveSeconds: 60)).get()
        }
        for step in 0..<400 {
            try store.put(
                "key\(step % 37)", String(repeating: "v", count: step % 50), lease: Int64(1 + step % 5))
            if step % 7 == 0 { try store.delete("key\(step % 11)") }
        }
        _ = try store.apply(.leaseRevoke(LeaseID(2))).get()
        try store.compact(to: 90)
        return store
    }

    @Test(arguments: [1, 2, 7, 64, 1_000, 1 << 20])
    func bytesDoNotDependOnChunks(chunkSize: Int) throws {
        let store = try sample()
        let whole = written(store)
        #expect(written(store, chunkSize: chunkSize) == whole)
        let restored = try read(whole, pieces: chunkSize)
        #expect(restored.observation == store.observation)
        #expect(restored.sizeBytes == store.sizeBytes)
        #expect(restored.problem == nil)
        #expect(written(restored) == whole)
    }

    @Test func emptyStore() throws {
        let restored = try read(written(KeyValueStore()))
        #expect(restored.observation == KeyValueStore().observation)
    }

    /// A store that is written to meanwhile does not change what its writer hands out.
    @Test func writingWhileTheStoreChanges() throws {
        var store = try sample()
        let expected = written(store)
        var writer = store.snapshotWriter()
        var all: [UInt8] = []
        var step = 0
        while let chunk = writer.nextChunk(maximumSizeBytes: 300) {
            all += chunk
            try store.put("key\(step % 37)", "new")
            try store.delete("key\(step % 5)")
            if step % 10 == 9 { try store.compact(to: store.revision) }
            step += 1
        }
        #expect(all == expected)
        #expect(try read(all).observation == sample().observation)
    }

    /// Every cut and every flipped bit is found.
    @Test func damageIsFound() throws {
        var store = KeyValueStore()
        _ = try store.apply(.leaseGrant(id: LeaseID(3), timeToLiveSeconds: 60)).get()
        try store.put("a", "1", lease: 3)
        try store.put("b", "2")
        try store.delete("b")
        try store.compact(to: 2)
        let whole = written(store)
        for length in 0..<whole.count {
            #expect(throws: ByteDecodingError.self) { try read(Array(whole[..<length])) }
        }
        #expect(throws: ByteDecodingError.self) { try read(whole + [0]) }
        for position in whole.indices {
            for bit in 0..<8 {
                var damaged = whole
                damaged[position] ^= 1 << UInt8(bit)
                #expect(throws: ByteDecodingError.self, "bit \(bit) of byte \(position)") {
                    try read(damaged, pieces: 5)
                }
            }
        }
    }

    /// Bytes whose checksum is right but which say what cannot be.
    @Test func impossibleContentsAreRefused() throws {
        func problem(_ edit: (inout [VersionRecord], inout [LeaseGrant], inout SnapshotFormat.Header) -> Void)
            throws -> String?
        {
            var store = KeyValueStore()
            _ = try store.apply(.leaseGrant(id: LeaseID(3), timeToLiveSeconds: 60)).get()
            try store.put("a", "1", lease: 3)
            try store.put("a", "2", lease: 3)
            try store.put("b", "2")
            var records: [VersionRecord] = []
            store.log.visit { _, record in
                records.append(record); return true
            }
            var grants = store.leaseGrants
            var header = SnapshotFormat.Header(store: store)
            edit(&records, &grants, &header)
            var writer = ByteWriter()
            header.write(to: &writer)
            for grant in grants { SnapshotFormat.write(grant, to: &writer) }
            for record in records { SnapshotFormat.write(record, to: &writer) }
            var checksum = Checksum()
            checksum.update(writer.bytes)
            writer.write(checksum.value)
            do throws(ByteDecodingError) {
                _ = try read(writer.bytes)
                return nil
            } catch { return error.reason }
        }
        #expect(try problem { _, _, _ in } == nil)
        #expect(try problem { records, _, _ in records.swapAt(0, 1) }?.contains("out of order") == true)
        #expect(try problem { records, _, _ in records[1] = records[0] }?.contains("out of order") == true)
        #expect(
            try problem { _, grants, _ in
                grants[0] = LeaseGrant(id: LeaseID(4), timeToLiveSeconds: 1, generation: 1)
            } == "a key is on lease 3, which the snapshot does not hold")
        #expect(
            try problem { _, grants, _ in
                grants[0] = LeaseGrant(id: LeaseID(3), timeToLiveSeconds: 1, generation: 2)
            }?.contains("generation") == true)
        #expect(try problem { _, _, header in header.revision = 3 }?.contains("out of order") == true)
        #expect(try problem { _, _, header in header.compactRevision = 9 }?.contains("contradict") == true)
        #expect(try problem { _, _, header in header.keyCount = 3 }?.contains("number of keys") == true)
        #expect(try problem { _, _, header in header.versionCount = 4 } != nil)
        #expect(try problem { _, _, header in header.versionCount = 2 } != nil)
        #expect(try problem { _, _, header in header.leaseCount = .max } != nil)
        #expect(
            try problem { records, _, _ in
                var pair = records[1].keyValue
                pair.version = 3
                records[1] = VersionRecord(pair, sub: 0)
            } == "a version does not continue its key's history")
        #expect(
            try problem { records, _, _ in
                var pair = records[0].keyValue
                pair.createRevision = 3
                records[0] = VersionRecord(pair, sub: 0)
            }?.contains("contradict") == true)
    }

    @Test func announcedSizesAreBounded() {
        var reader = SnapshotReader()
        var header = SnapshotFormat.Header(store: KeyValueStore())
        header.versionCount = 1
        var writer = ByteWriter()
        header.write(to: &writer)
        writer.write(UInt32.max)
        #expect(throws: ByteDecodingError.self) { try reader.receive(ByteSlice(writer.bytes)) }
        #expect(throws: ByteDecodingError.self) { try reader.receive(ByteSlice([])) }
        #expect(throws: ByteDecodingError.self) { _ = try reader.finish() }
    }

    /// The example in docs/formats/key-value-snapshot.md is what is written and read.
    @Test func documentedExample() throws {
        var store = KeyValueStore()
        _ = try store.apply(.leaseGrant(id: LeaseID(258), timeToLiveSeconds: 60)).get()
        try store.put("a", "1", lease: 258)
        try store.put("b", "2")
        try store.delete("b")
        let example = try documentedBytes("key-value-snapshot.md")
        #expect(example == [written(store)])
        #expect(try read(example[0]).observation == store.observation)
    }
}
