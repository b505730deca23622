/// What a batch is for.
enum BatchKind: UInt8, Sendable {
    /// Records of groups.
    case records = 1
    /// The first batch of a segment: where every group stood before it.
    case head = 2
    /// The last of a segment: a later segment exists.
    case seal = 3
    /// Everything before it was durable when this was written. The next batch takes its place.
    case durable = 4
    /// The log was closed here. The next batch takes its place.
    case closed = 5
}

/// The 24 bytes before a batch's records; docs/formats/write-ahead-log.md shows them.
///
/// The header's checksum also covers the segment's number and the batch's offset in it. That is what makes
/// the bytes of an earlier segment in a recycled file, and bytes in the wrong place, invalid.
struct BatchHeader: Hashable, Sendable {
    static let sizeBytes = 24
    static let alignment = 8

    let kind: BatchKind
    let sequence: UInt64
    let bodySizeBytes: Int
    let bodyChecksum: UInt32

    var totalSizeBytes: Int { BatchHeader.sizeBytes + bodySizeBytes }

    /// Fills the first 24 bytes of `bytes`, a header's room and a body behind it.
    static func seal(
        _ bytes: inout [UInt8], kind: BatchKind, sequence: UInt64, segment: UInt64, offset: Int
    ) {
        precondition(bytes.count >= sizeBytes && bytes.count % alignment == 0, "a batch is not aligned")
        precondition(bytes.count - sizeBytes <= UInt32.max, "a batch holds at most 4 GiB")
        bytes.withMutableBytes { raw in
            let body = UnsafeRawBufferPointer(rebasing: raw[sizeBytes...])
            raw.storeBytes(of: Checksum.crc32c(body).littleEndian, toByteOffset: 4, as: UInt32.self)
            raw.storeBytes(of: UInt32(body.count).littleEndian, toByteOffset: 8, as: UInt32.self)
            raw.storeBytes(of: UInt32(kind.rawValue).littleEndian, toByteOffset: 12, as: UInt32.self)
            raw.storeBytes(of: sequence.littleEndian, toByteOffset: 16, as: UInt64.self)
            let covered = UnsafeRawBufferPointer(rebasing: raw[4..<sizeBytes])
            let checksum = headerChecksum(covered, segment: segment, offset: offset)
            raw.storeBytes(of: checksum.littleEndian, toByteOffset: 0, as: UInt32.self)
        }
    }

    /// A batch without records.
    static func mark(_ kind: BatchKind, sequence: UInt64, segment: UInt64, offset: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: sizeBytes)
        seal(&bytes, kind: kind, sequence: sequence, segment: segment, offset: offset)
        return bytes
    }

    /// The header that stands at the start of `raw`, if one that was written for this place does.
    @inline(__always)
    static func parse(_ raw: UnsafeRawBufferPointer, segment: UInt64, offset: Int) -> BatchHeader? {
        guard raw.count >= sizeBytes,
            let kind = BatchKind(rawValue: raw[12]), raw[13] == 0, raw[14] == 0, raw[15] == 0
        else { return nil }
        let covered = UnsafeRawBufferPointer(rebasing: raw[4..<sizeBytes])
        let stored = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        guard headerChecksum(covered, segment: segment, offset: offset) == stored else { return nil }
        let size = Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        guard size % alignment == 0 else { return nil }
        return BatchHeader(
            kind: kind,
            sequence: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
            bodySizeBytes: size,
            bodyChecksum: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    }

    private static func headerChecksum(
        _ covered: UnsafeRawBufferPointer, segment: UInt64, offset: Int
    ) -> UInt32 {
        Checksum.crc32c(covered, continuing: Checksum.crc32c(segment, UInt64(offset)))
    }
}

extension [UInt8] {
    @inline(__always)
    mutating func appendLittleEndian<Number: FixedWidthInteger>(_ value: Number) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    func littleEndian32(at offset: Int) -> UInt32 {
        withBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    }

    func littleEndian64(at offset: Int) -> UInt64 {
        withBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    }

    /// Zeros up to the next multiple of eight.
    @inline(__always)
    mutating func pad() {
        let excess = count % 8
        if excess > 0 { append(contentsOf: repeatElement(0, count: 8 - excess)) }
    }
}
