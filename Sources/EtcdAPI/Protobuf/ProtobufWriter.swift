import NIOCore

/// Writes protobuf fields into memory that was sized for them, in the order of the calls and without the
/// fields that have their default, as SwiftProtobuf does. The sizes come from the functions beside it.
public struct ProtobufWriter {
    private let bytes: UnsafeMutableRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeMutableRawBufferPointer) {
        self.bytes = bytes
    }

    /// Appends exactly `sizeBytes` to `buffer`.
    static func write(
        to buffer: inout ByteBuffer, sizeBytes: Int, _ body: (inout ProtobufWriter) -> Void
    ) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: sizeBytes) { memory in
            var writer = ProtobufWriter(UnsafeMutableRawBufferPointer(rebasing: memory[0..<sizeBytes]))
            body(&writer)
            precondition(writer.offset == sizeBytes, "a message is not of the size that was computed for it")
            return sizeBytes
        }
    }

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes[offset] = UInt8(truncatingIfNeeded: rest) | 0x80
            offset += 1
            rest >>= 7
        }
        bytes[offset] = UInt8(rest)
        offset += 1
    }

    /// A number that is left out where it is zero. Fields up to 15 only.
    mutating func number(_ field: UInt8, _ value: UInt64) {
        guard value != 0 else { return }
        tag(field, wireType: 0)
        varint(value)
    }

    mutating func number(_ field: UInt8, _ value: Int64) {
        number(field, UInt64(bitPattern: value))
    }

    mutating func flag(_ field: UInt8, _ value: Bool) {
        number(field, value ? 1 : 0 as UInt64)
    }

    /// Bytes that are left out where there are none.
    mutating func bytes(_ field: UInt8, _ value: [UInt8]) {
        guard !value.isEmpty else { return }
        lengthPrefix(field, value.count)
        value.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + source.count])
                .copyMemory(from: source)
        }
        offset += value.count
    }

    /// The start of a message within the message; `size` bytes must follow.
    mutating func lengthPrefix(_ field: UInt8, _ size: Int) {
        tag(field, wireType: 2)
        varint(UInt64(size))
    }

    private mutating func tag(_ field: UInt8, wireType: UInt8) {
        bytes[offset] = field << 3 | wireType
        offset += 1
    }

    // MARK: Sizes

    static func varintSize(_ value: UInt64) -> Int {
        // Seven bits a byte, and one byte for zero.
        (64 - (value | 1).leadingZeroBitCount + 6) / 7
    }

    static func numberSize(_ value: UInt64) -> Int {
        value == 0 ? 0 : 1 + varintSize(value)
    }

    static func numberSize(_ value: Int64) -> Int {
        numberSize(UInt64(bitPattern: value))
    }

    static func bytesSize(_ value: [UInt8]) -> Int {
        value.isEmpty ? 0 : messageSize(value.count)
    }

    /// A message within the message, with its tag and length.
    static func messageSize(_ size: Int) -> Int {
        1 + varintSize(UInt64(size)) + size
    }
}
