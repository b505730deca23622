/// Appends fixed-width little-endian integers and length-prefixed bytes. The counterpart of ``ByteReader``.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8]

    public init(reserving capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    public var count: Int { bytes.count }

    public mutating func write(_ value: UInt8) {
        bytes.append(value)
    }

    public mutating func write(_ value: Bool) {
        bytes.append(value ? 1 : 0)
    }

    public mutating func write(_ value: UInt32) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func write(_ value: UInt64) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func write(_ value: Int64) {
        write(UInt64(bitPattern: value))
    }

    /// The bytes as they are, without a length.
    public mutating func writeRaw(_ raw: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: raw)
    }

    /// A length in four bytes, then the bytes.
    public mutating func writeSized(_ value: [UInt8]) {
        precondition(value.count <= Int(UInt32.max), "a sized field holds at most 4 GiB")
        write(UInt32(value.count))
        bytes.append(contentsOf: value)
    }

    /// A length in four bytes, then the bytes.
    public mutating func writeSized(_ value: ByteSlice) {
        precondition(value.count <= Int(UInt32.max), "a sized field holds at most 4 GiB")
        write(UInt32(value.count))
        value.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    /// Replaces four bytes written before, for lengths and checksums that are known only afterwards.
    public mutating func overwrite(at offset: Int, with value: UInt32) {
        precondition(offset >= 0 && offset + 4 <= bytes.count, "overwrite outside of what was written")
        withUnsafeBytes(of: value.littleEndian) { raw in
            for position in 0..<4 {
                bytes[offset + position] = raw[position]
            }
        }
    }
}
