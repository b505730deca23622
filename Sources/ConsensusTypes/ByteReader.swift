/// What was wrong with encoded bytes, and where.
public struct ByteDecodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Counted from the start of what was being decoded.
    public let offset: Int
    public let reason: String

    public init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }

    public var description: String {
        "\(reason) at byte \(offset)"
    }
}

/// Reads what ``ByteWriter`` wrote. Every read checks its bounds: the bytes may come from a damaged disk or
/// a hostile peer.
public struct ByteReader: Sendable {
    public let slice: ByteSlice
    public private(set) var offset = 0

    public init(_ slice: ByteSlice) {
        self.slice = slice
    }

    public init(_ bytes: [UInt8]) {
        slice = ByteSlice(bytes)
    }

    public var remaining: Int { slice.count - offset }

    public var isAtEnd: Bool { remaining == 0 }

    public mutating func readUInt8() throws(ByteDecodingError) -> UInt8 {
        try require(1)
        defer { offset += 1 }
        return slice[offset]
    }

    public mutating func readBool() throws(ByteDecodingError) -> Bool {
        let value = try readUInt8()
        guard value <= 1 else {
            throw ByteDecodingError(offset: offset - 1, reason: "a flag is neither 0 nor 1")
        }
        return value == 1
    }

    public mutating func readUInt32() throws(ByteDecodingError) -> UInt32 {
        try require(4)
        defer { offset += 4 }
        let position = offset
        return slice.withUnsafeBytes {
            UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt32.self))
        }
    }

    public mutating func readUInt64() throws(ByteDecodingError) -> UInt64 {
        try require(8)
        defer { offset += 8 }
        let position = offset
        return slice.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt64.self))
        }
    }

    public mutating func readInt64() throws(ByteDecodingError) -> Int64 {
        Int64(bitPattern: try readUInt64())
    }

    /// The next bytes, sharing storage with the input.
    public mutating func readRaw(_ count: Int) throws(ByteDecodingError) -> ByteSlice {
        guard count >= 0 else {
            throw ByteDecodingError(offset: offset, reason: "a length is negative")
        }
        try require(count)
        defer { offset += count }
        return slice[offset..<offset + count]
    }

    /// What ``ByteWriter/writeSized(_:)-([UInt8])`` wrote, sharing storage with the input.
    public mutating func readSized() throws(ByteDecodingError) -> ByteSlice {
        let count = try readUInt32()
        return try readRaw(Int(count))
    }

    public func requireEnd() throws(ByteDecodingError) {
        guard isAtEnd else {
            throw ByteDecodingError(offset: offset, reason: "\(remaining) bytes are left over")
        }
    }

    private func require(_ count: Int) throws(ByteDecodingError) {
        guard remaining >= count else {
            throw ByteDecodingError(
                offset: offset, reason: "\(count) bytes are needed, \(remaining) are left")
        }
    }
}
