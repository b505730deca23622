import NIOCore

/// Puts gRPC's five-byte prefix before a message: whether it is compressed (never) and its length.
public enum MessageFraming {
    public static let prefixSizeBytes = 5

    /// A buffer with the prefix for a message of exactly `sizeBytes`, which `write` then appends.
    @inlinable
    public static func frame(
        sizeBytes: Int, allocator: ByteBufferAllocator, _ write: (inout ByteBuffer) -> Void
    ) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: sizeBytes + prefixSizeBytes)
        buffer.writeInteger(0 as UInt8)
        buffer.writeInteger(UInt32(sizeBytes))
        write(&buffer)
        precondition(
            buffer.readableBytes == sizeBytes + prefixSizeBytes,
            "a message is not of the size it was framed for")
        return buffer
    }
}

/// Puts the messages of one stream together from DATA frames.
public struct MessageReader {
    public enum Failure: Error, Hashable, Sendable {
        case compressed
        case invalidFlag(UInt8)
        case tooLarge(sizeBytes: Int, maximumSizeBytes: Int)
    }

    private var buffer: ByteBuffer?
    /// The held bytes are a copy, and not a part of what was read from the socket.
    private var isOwned = false
    private let maximumSizeBytes: Int

    public init(maximumSizeBytes: Int) {
        self.maximumSizeBytes = maximumSizeBytes
    }

    /// Bytes that are held because their message is not complete or was not asked for.
    public var bufferedBytes: Int { buffer?.readableBytes ?? 0 }

    /// Takes what a DATA frame carried, without a copy where it begins a message.
    public mutating func append(_ bytes: ByteBuffer) {
        var bytes = bytes
        guard bytes.readableBytes > 0 else { return }
        if buffer == nil {
            buffer = bytes
            isOwned = false
        } else {
            buffer!.writeBuffer(&bytes)
        }
    }

    /// The next whole message, or `nil` until more bytes come.
    public mutating func next() throws(Failure) -> ByteBuffer? {
        let message = try takeMessage()
        if message == nil, !isOwned, let held = buffer {
            // A few bytes that are waited on must not keep the whole of what was read with them.
            buffer = ByteBuffer(bytes: held.readableBytesView)
            isOwned = true
        }
        return message
    }

    private mutating func takeMessage() throws(Failure) -> ByteBuffer? {
        guard let held = buffer,
            let flag = held.getInteger(at: held.readerIndex, as: UInt8.self)
        else { return nil }
        guard flag == 0 else { throw flag == 1 ? .compressed : .invalidFlag(flag) }
        guard let length = held.getInteger(at: held.readerIndex + 1, as: UInt32.self) else { return nil }
        guard Int(length) <= maximumSizeBytes else {
            throw .tooLarge(sizeBytes: Int(length), maximumSizeBytes: maximumSizeBytes)
        }
        let total = MessageFraming.prefixSizeBytes + Int(length)
        guard held.readableBytes >= total else { return nil }
        let message = held.getSlice(
            at: held.readerIndex + MessageFraming.prefixSizeBytes, length: Int(length))
        if held.readableBytes == total {
            buffer = nil
        } else {
            buffer!.moveReaderIndex(forwardBy: total)
        }
        return message
    }

    /// Forgets what is held.
    public mutating func discard() {
        buffer = nil
    }
}
