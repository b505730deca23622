/// Reads the fields of one protobuf message from memory, without a copy and without an error type: what is
/// damaged, or rare enough not to be worth code here (groups), stops the reading, and the caller leaves the
/// message to SwiftProtobuf, which then has the last word.
///
/// Must not outlive the memory that it reads.
public struct ProtobufReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0
    /// The message is damaged, or holds what is not read here.
    public private(set) var isUnusual = false

    public init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// A field's number and wire type (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes).
    public struct Tag: Equatable {
        public let number: UInt32
        public let wireType: UInt8

        @inlinable
        public init(number: UInt32, wireType: UInt8) {
            self.number = number
            self.wireType = wireType
        }
    }

    /// The next field's tag; `nil` at the end, and where ``isUnusual`` is set.
    public mutating func nextTag() -> Tag? {
        guard !isUnusual, offset < bytes.count else { return nil }
        let raw = readVarint()
        guard !isUnusual, raw <= UInt64(UInt32.max) else {
            isUnusual = true
            return nil
        }
        let tag = Tag(number: UInt32(raw >> 3), wireType: UInt8(raw & 7))
        if tag.number == 0 || tag.wireType == 3 || tag.wireType == 4 || tag.wireType > 5 {
            isUnusual = true
            return nil
        }
        return tag
    }

    public mutating func readVarint() -> UInt64 {
        if offset < bytes.count, bytes[offset] < 0x80 {
            defer { offset += 1 }
            return UInt64(bytes[offset])
        }
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count {
            let byte = bytes[offset]
            offset += 1
            if shift == 63, byte > 1 { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        isUnusual = true
        return 0
    }

    /// The part of memory that a field of wire type 2 covers.
    public mutating func readSlice() -> UnsafeRawBufferPointer {
        let length = readVarint()
        guard !isUnusual, length <= UInt64(bytes.count - offset) else {
            isUnusual = true
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Int(length)])
        offset += Int(length)
        return slice
    }

    public mutating func readBytes() -> [UInt8] {
        let slice = readSlice()
        return slice.isEmpty ? [] : [UInt8](slice)
    }

    /// Passes over a field that is not known.
    public mutating func skip(_ tag: Tag) {
        switch tag.wireType {
        case 0: _ = readVarint()
        case 1: advance(8)
        case 2: _ = readSlice()
        default: advance(4)
        }
    }

    private mutating func advance(_ count: Int) {
        if count <= bytes.count - offset {
            offset += count
        } else {
            isUnusual = true
        }
    }
}
