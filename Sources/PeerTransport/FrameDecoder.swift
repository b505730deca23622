import ConsensusTypes
import NIOCore

/// A frame whose length and checksum were right.
struct Frame: Hashable {
    let kind: FrameKind
    let channel: UInt8
    let payload: ByteSlice
}

/// Why the bytes of a connection are not frames. The connection cannot be used any more: what follows the
/// damage has no known boundary.
struct FrameError: Error, Hashable, CustomStringConvertible {
    let description: String
}

/// Cuts a connection's bytes into frames. Payloads share the storage of what was read together with them.
struct FrameDecoder {
    /// What both sides send before their first frame: a wrong port or a stray client shows at once.
    static let preamble: [UInt8] = Array("HOLDFAST".utf8)

    /// Grows when the handshake is done: strangers get little memory.
    var maximumPayloadBytes: Int

    /// Nothing of it has been handed out while `offset` is zero.
    private var storage: [UInt8] = []
    private var offset = 0
    private var hasPreamble = false

    /// How much is reserved on the word of a header alone. A larger frame's storage grows as it arrives.
    private static let maximumReservedBytes = 1 << 20

    init(maximumPayloadBytes: Int) {
        self.maximumPayloadBytes = maximumPayloadBytes
    }

    /// What has been read and is not part of a frame that was handed out.
    var remaining: Int { storage.count - offset }

    mutating func append(_ buffer: ByteBuffer) {
        buffer.withUnsafeReadableBytes { append($0) }
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if offset == storage.count {
            storage = Array(bytes)
            offset = 0
            return
        }
        if offset > 0 {
            // Slices of the old storage are out: the rest moves to storage of its own, which can grow in place.
            var rest: [UInt8] = []
            rest.reserveCapacity(min(remaining + bytes.count, Self.maximumReservedBytes))
            rest.append(contentsOf: storage[offset...])
            storage = rest
            offset = 0
        }
        storage.append(contentsOf: bytes)
    }

    /// The next whole frame, or `nil` until more bytes arrive.
    mutating func next() throws(FrameError) -> Frame? {
        if !hasPreamble {
            guard try takePreamble() else {
                return nil
            }
        }
        guard remaining >= FrameHeader.size else {
            return nil
        }
        let start = offset
        let (word, checksum) = storage.withUnsafeBytes { bytes in
            (
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)),
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 8, as: UInt32.self))
            )
        }
        let header = try parse(word)
        let end = start + FrameHeader.size + header.payloadCount
        guard storage.count >= end else {
            reserve(for: end)
            return nil
        }
        let actual = storage.withUnsafeBytes { bytes in
            FrameHeader.checksum(
                word: word, payload: UnsafeRawBufferPointer(rebasing: bytes[start + FrameHeader.size..<end]))
        }
        guard actual == checksum else {
            throw FrameError(description: "a frame of \(header.payloadCount) bytes has a wrong checksum")
        }
        offset = end
        return Frame(
            kind: header.kind, channel: header.channel,
            payload: ByteSlice(storage, start + FrameHeader.size..<end))
    }

    private func parse(_ word: UInt64) throws(FrameError) -> FrameHeader {
        let count = Int(UInt32(truncatingIfNeeded: word))
        guard count <= maximumPayloadBytes else {
            throw FrameError(
                description:
                    "a frame announces \(count) bytes, at most \(maximumPayloadBytes) are allowed here")
        }
        guard word >> 48 == 0 else {
            throw FrameError(description: "the reserved bytes of a frame's header are not zero")
        }
        guard let kind = FrameKind(rawValue: UInt8(truncatingIfNeeded: word >> 32)) else {
            throw FrameError(
                description: "a frame is of the unknown kind \(UInt8(truncatingIfNeeded: word >> 32))")
        }
        let channel = UInt8(truncatingIfNeeded: word >> 40)
        guard kind == .message || channel == 0 else {
            throw FrameError(description: "a frame that is no message has channel \(channel)")
        }
        return FrameHeader(payloadCount: count, kind: kind, channel: channel)
    }

    private mutating func takePreamble() throws(FrameError) -> Bool {
        let available = min(remaining, Self.preamble.count)
        guard storage[offset..<offset + available].elementsEqual(Self.preamble[..<available]) else {
            throw FrameError(
                description: Self.beginsTLS(storage[offset..<offset + available])
                    ? "the other side speaks TLS, this side plaintext; use https:// on both or on neither"
                    : "the connection does not begin as one between Holdfast nodes does")
        }
        guard available == Self.preamble.count else {
            return false
        }
        offset += available
        hasPreamble = true
        return true
    }

    /// A record of a TLS handshake or alert.
    private static func beginsTLS(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let first = bytes.first, first == 0x15 || first == 0x16 else { return false }
        return bytes.count < 2 || bytes[bytes.startIndex + 1] == 0x03
    }

    /// Room for a large frame, once, where growing would copy it again and again.
    private mutating func reserve(for end: Int) {
        if offset == 0 {
            storage.reserveCapacity(min(end, Self.maximumReservedBytes))
        }
    }
}
