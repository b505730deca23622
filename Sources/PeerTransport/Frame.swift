import CHoldfastChecksum
import ConsensusTypes
import NIOCore

/// What a frame is for. The numbers are part of the wire format (docs/formats/peer-protocol.md).
enum FrameKind: UInt8 {
    /// The dialler's half of the handshake.
    case hello = 0
    /// The acceptor's half.
    case welcome = 1
    /// The acceptor's refusal, after which it closes.
    case refusal = 2
    case ping = 3
    case pong = 4
    /// A message of the transport's owner.
    case message = 5
    /// What a stranger asks instead of a hello.
    case question = 6
    /// The answer to it, after which the acceptor closes.
    case answer = 7
}

/// The fixed part in front of each payload: length, kind, channel, two zero bytes, checksum.
struct FrameHeader: Hashable {
    static let size = 12

    let payloadCount: Int
    let kind: FrameKind
    /// The owner's own number of a message's kind; zero for every other frame.
    let channel: UInt8

    /// The first eight bytes as one little-endian integer.
    var word: UInt64 {
        UInt64(UInt32(payloadCount)) | UInt64(kind.rawValue) << 32 | UInt64(channel) << 40
    }

    /// CRC32C of the first eight bytes and the payload.
    static func checksum(word: UInt64, payload: UnsafeRawBufferPointer) -> UInt32 {
        let first = withUnsafeBytes(of: word.littleEndian) { holdfast_crc32c(0, $0.baseAddress, $0.count) }
        return payload.isEmpty ? first : holdfast_crc32c(first, payload.baseAddress, payload.count)
    }
}

extension ByteBuffer {
    mutating func writeFrame(kind: FrameKind, channel: UInt8 = 0, payload: UnsafeRawBufferPointer) {
        let word = FrameHeader(payloadCount: payload.count, kind: kind, channel: channel).word
        let checksum = FrameHeader.checksum(word: word, payload: payload)
        writeMultipleIntegers(word, checksum, endianness: .little, as: (UInt64, UInt32).self)
        writeBytes(payload)
    }

    mutating func writeFrame(kind: FrameKind, channel: UInt8 = 0, payload: [UInt8]) {
        payload.withUnsafeBytes { writeFrame(kind: kind, channel: channel, payload: $0) }
    }
}
