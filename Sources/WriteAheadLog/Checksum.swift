import CHoldfastChecksum

/// CRC32C (Castagnoli, RFC 3720), which every format here uses.
public enum Checksum {
    /// The checksum of `bytes`, continuing from one of what stands before them.
    public static func crc32c(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        holdfast_crc32c(previous, bytes.baseAddress, bytes.count)
    }

    public static func crc32c(_ bytes: [UInt8], continuing previous: UInt32 = 0) -> UInt32 {
        bytes.withBytes { crc32c($0, continuing: previous) }
    }

    /// The checksum of numbers as eight little-endian bytes each.
    static func crc32c(_ first: UInt64, _ second: UInt64) -> UInt32 {
        withUnsafeBytes(of: (first.littleEndian, second.littleEndian)) { crc32c($0) }
    }
}
