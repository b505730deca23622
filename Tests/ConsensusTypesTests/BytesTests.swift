import ConsensusTypes
import Testing

@Suite struct BytesTests {
    @Test func whatIsWrittenIsRead() throws {
        var writer = ByteWriter(reserving: 8)
        writer.write(UInt8(0xfe))
        writer.write(true)
        writer.write(false)
        writer.write(UInt32(0xdead_beef))
        writer.write(UInt64(0x0123_4567_89ab_cdef))
        writer.write(Int64.min)
        writer.writeSized([1, 2, 3])
        writer.writeSized(ByteSlice([9, 8, 7, 6], 1..<3))
        writer.writeSized([])
        [UInt8]([5, 5]).withUnsafeBytes { writer.writeRaw($0) }
        var reader = ByteReader(writer.bytes)
        #expect(try reader.readUInt8() == 0xfe)
        #expect(try reader.readBool())
        #expect(try !reader.readBool())
        #expect(try reader.readUInt32() == 0xdead_beef)
        #expect(try reader.readUInt64() == 0x0123_4567_89ab_cdef)
        #expect(try reader.readInt64() == .min)
        #expect(try reader.readSized().bytes == [1, 2, 3])
        #expect(try reader.readSized().bytes == [8, 7])
        #expect(try reader.readSized().isEmpty)
        #expect(reader.remaining == 2)
        #expect(throws: ByteDecodingError(offset: writer.count - 2, reason: "2 bytes are left over")) {
            try reader.requireEnd()
        }
        #expect(try reader.readRaw(2).bytes == [5, 5])
        try reader.requireEnd()
    }

    @Test func integersAreLittleEndian() {
        var writer = ByteWriter()
        writer.write(UInt32(0x0403_0201))
        writer.write(UInt64(0x0c0b_0a09_0807_0605))
        #expect(writer.bytes == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        writer.overwrite(at: 1, with: 0xffff_ffff)
        #expect(writer.bytes == [1, 255, 255, 255, 255, 6, 7, 8, 9, 10, 11, 12])
    }

    /// Too few bytes are an error that names the place, whatever is read, and consume nothing.
    @Test func readsStayWithinTheirBytes() {
        let reads: [(Int, (inout ByteReader) throws(ByteDecodingError) -> Void)] = [
            (1, { reader throws(ByteDecodingError) in _ = try reader.readUInt8() }),
            (1, { reader throws(ByteDecodingError) in _ = try reader.readBool() }),
            (4, { reader throws(ByteDecodingError) in _ = try reader.readUInt32() }),
            (8, { reader throws(ByteDecodingError) in _ = try reader.readUInt64() }),
            (8, { reader throws(ByteDecodingError) in _ = try reader.readInt64() }),
            (5, { reader throws(ByteDecodingError) in _ = try reader.readRaw(5) }),
        ]
        for (size, read) in reads {
            for start in [0, 3] {
                var reader = ByteReader(ByteSlice(Array(repeating: 0, count: start + size - 1)))
                _ = try? reader.readRaw(start)
                let error = #expect(throws: ByteDecodingError.self) { try read(&reader) }
                #expect(error?.offset == start)
                #expect(reader.offset == start)
            }
        }
    }

    @Test func hostileLengthsAreRefused() {
        var huge = ByteReader([255, 255, 255, 255, 1, 2, 3])
        let error = #expect(throws: ByteDecodingError.self) { try huge.readSized() }
        #expect(error?.offset == 4)
        var negative = ByteReader([1])
        #expect(throws: ByteDecodingError(offset: 0, reason: "a length is negative")) {
            try negative.readRaw(-1)
        }
        var overflowing = ByteReader([1, 2])
        _ = try? overflowing.readUInt8()
        #expect(throws: ByteDecodingError.self) { try overflowing.readRaw(.max) }
        var flag = ByteReader([2])
        let flagError = #expect(throws: ByteDecodingError.self) { try flag.readBool() }
        #expect(flagError?.offset == 0)
    }

    /// Any bytes at all are read or refused, never more.
    @Test func randomBytesAreReadOrRefused() {
        var random = SeededRandom(seed: 8)
        for _ in 0..<2_000 {
            let bytes = (0..<random.next(below: 64)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            var reader = ByteReader(bytes)
            var consumed = 0
            while let next = try? reader.readSized() { consumed += 4 + next.count }
            #expect(consumed <= reader.offset && reader.offset <= bytes.count)
        }
    }

    @Test func slicesShareAndCompareByContent() {
        let bytes: [UInt8] = [0, 1, 2, 3, 1, 2, 3]
        let first = ByteSlice(bytes, 1..<4)
        let second = ByteSlice(bytes, 4..<7)
        #expect(first == second)
        #expect(first.hashValue == second.hashValue)
        #expect(first != ByteSlice(bytes, 1..<3))
        #expect(first.count == 3 && first[2] == 3)
        let inner = first[1..<3]
        #expect(inner.bytes == [2, 3])
        #expect(inner[0..<0].isEmpty)
        #expect(ByteSlice().isEmpty)
        #expect(first.withUnsafeBytes { $0.count } == 3)
        #expect(ByteSlice(bytes).bytes == bytes)
    }

    @Test func slicesThrowWhatTheirBodyThrows() {
        struct Problem: Error, Equatable {}
        #expect(throws: Problem()) {
            try ByteSlice([1]).withUnsafeBytes { _ throws(Problem) -> Int in throw Problem() }
        }
    }
}
