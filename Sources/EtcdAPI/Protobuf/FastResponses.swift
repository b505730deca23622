import KeyValueCore
import NIOCore

/// Writes the responses that clients get most straight from the store's own types, framed for gRPC.
enum FastResponses {
    typealias Writer = ProtobufWriter

    static func put(
        _ response: PutResponse, header: ServiceHeader, allocator: ByteBufferAllocator
    ) -> ByteBuffer {
        let headerSize = size(header, revision: response.revision)
        let previousSize = response.previous.map(size)
        let total = Writer.messageSize(headerSize) + (previousSize.map(Writer.messageSize) ?? 0)
        return MessageFraming.frame(sizeBytes: total, allocator: allocator) { buffer in
            Writer.write(to: &buffer, sizeBytes: total) { writer in
                write(header, revision: response.revision, size: headerSize, &writer)
                if let previous = response.previous, let previousSize {
                    writer.lengthPrefix(2, previousSize)
                    write(previous, &writer)
                }
            }
        }
    }

    static func range(
        _ response: RangeResponse, header: ServiceHeader, allocator: ByteBufferAllocator
    ) -> ByteBuffer {
        let headerSize = size(header, revision: response.revision)
        var total = Writer.messageSize(headerSize) + (response.more ? 2 : 0)
        total += Writer.numberSize(response.count)
        for keyValue in response.keyValues {
            total += Writer.messageSize(size(keyValue))
        }
        return MessageFraming.frame(sizeBytes: total, allocator: allocator) { buffer in
            Writer.write(to: &buffer, sizeBytes: total) { writer in
                write(header, revision: response.revision, size: headerSize, &writer)
                for keyValue in response.keyValues {
                    writer.lengthPrefix(2, size(keyValue))
                    write(keyValue, &writer)
                }
                writer.flag(3, response.more)
                writer.number(4, response.count)
            }
        }
    }

    /// Events of one watch.
    static func watch(
        _ events: [WatchEvent], watchID: Int64, isFragment: Bool, revision: Int64, header: ServiceHeader,
        allocator: ByteBufferAllocator
    ) -> ByteBuffer {
        let headerSize = size(header, revision: revision)
        var total = Writer.messageSize(headerSize) + Writer.numberSize(watchID) + (isFragment ? 2 : 0)
        for event in events {
            total += Writer.messageSize(size(event))
        }
        return MessageFraming.frame(sizeBytes: total, allocator: allocator) { buffer in
            Writer.write(to: &buffer, sizeBytes: total) { writer in
                write(header, revision: revision, size: headerSize, &writer)
                writer.number(2, watchID)
                writer.flag(7, isFragment)
                for event in events {
                    writer.lengthPrefix(11, size(event))
                    writer.number(1, UInt64(event.kind.rawValue))
                    writer.lengthPrefix(2, size(event.keyValue))
                    write(event.keyValue, &writer)
                    if let previous = event.previous {
                        writer.lengthPrefix(3, size(previous))
                        write(previous, &writer)
                    }
                }
            }
        }
    }

    private static func size(_ event: WatchEvent) -> Int {
        Writer.numberSize(UInt64(event.kind.rawValue)) + Writer.messageSize(size(event.keyValue))
            + (event.previous.map { Writer.messageSize(size($0)) } ?? 0)
    }

    /// The size that ``range(_:header:allocator:)`` would have, without making it.
    static func rangeSizeBytes(_ response: RangeResponse) -> Int {
        response.keyValues.reduce(64) { $0 + Writer.messageSize(size($1)) }
    }

    private static func size(_ header: ServiceHeader, revision: Int64) -> Int {
        Writer.numberSize(header.clusterID) + Writer.numberSize(header.memberID)
            + Writer.numberSize(revision) + Writer.numberSize(header.term)
    }

    private static func write(
        _ header: ServiceHeader, revision: Int64, size: Int, _ writer: inout Writer
    ) {
        writer.lengthPrefix(1, size)
        writer.number(1, header.clusterID)
        writer.number(2, header.memberID)
        writer.number(3, revision)
        writer.number(4, header.term)
    }

    private static func size(_ keyValue: KeyValue) -> Int {
        Writer.bytesSize(keyValue.key) + Writer.numberSize(keyValue.createRevision)
            + Writer.numberSize(keyValue.modRevision) + Writer.numberSize(keyValue.version)
            + Writer.bytesSize(keyValue.value) + Writer.numberSize(keyValue.lease?.rawValue ?? 0)
    }

    private static func write(_ keyValue: KeyValue, _ writer: inout Writer) {
        writer.bytes(1, keyValue.key)
        writer.number(2, keyValue.createRevision)
        writer.number(3, keyValue.modRevision)
        writer.number(4, keyValue.version)
        writer.bytes(5, keyValue.value)
        writer.number(6, keyValue.lease?.rawValue ?? 0)
    }
}
