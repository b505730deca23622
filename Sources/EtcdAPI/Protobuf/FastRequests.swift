import KeyValueCore
import NIOCore

/// Reads the two requests that clients send most straight into the store's own types. `nil` stands for
/// "leave it to SwiftProtobuf"; fields of a wrong wire type are unknown fields, as they are there.
enum FastRequests {
    static func put(_ message: ByteBuffer) -> PutRequest? {
        message.withUnsafeReadableBytes { memory in
            var reader = ProtobufReader(memory)
            var request = PutRequest(key: [], value: [])
            var lease: Int64 = 0
            while let tag = reader.nextTag() {
                switch (tag.number, tag.wireType) {
                case (1, 2): request.key = reader.readBytes()
                case (2, 2): request.value = reader.readBytes()
                case (3, 0): lease = Int64(bitPattern: reader.readVarint())
                case (4, 0): request.previousKeyValue = reader.readVarint() != 0
                case (5, 0): request.ignoreValue = reader.readVarint() != 0
                case (6, 0): request.ignoreLease = reader.readVarint() != 0
                default: reader.skip(tag)
                }
            }
            if lease != 0 {
                request.lease = LeaseID(lease)
            }
            return reader.isUnusual ? nil : request
        }
    }

    static func range(_ message: ByteBuffer) -> RangeRequest? {
        message.withUnsafeReadableBytes { memory in
            var reader = ProtobufReader(memory)
            var request = RangeRequest(range: KeyRange(key: []))
            while let tag = reader.nextTag() {
                switch (tag.number, tag.wireType) {
                case (1, 2): request.range.key = reader.readBytes()
                case (2, 2): request.range.rangeEnd = reader.readBytes()
                case (3, 0): request.limit = Int64(bitPattern: reader.readVarint())
                case (4, 0): request.revision = Int64(bitPattern: reader.readVarint())
                case (5, 0):
                    guard let order = SortOrder(wire: reader.readVarint()) else { return nil }
                    request.sortOrder = order
                case (6, 0):
                    guard let target = SortTarget(wire: reader.readVarint()) else { return nil }
                    request.sortTarget = target
                case (7, 0): request.serializable = reader.readVarint() != 0
                case (8, 0): request.keysOnly = reader.readVarint() != 0
                case (9, 0): request.countOnly = reader.readVarint() != 0
                case (10, 0): request.minimumModRevision = Int64(bitPattern: reader.readVarint())
                case (11, 0): request.maximumModRevision = Int64(bitPattern: reader.readVarint())
                case (12, 0): request.minimumCreateRevision = Int64(bitPattern: reader.readVarint())
                case (13, 0): request.maximumCreateRevision = Int64(bitPattern: reader.readVarint())
                default: reader.skip(tag)
                }
            }
            return reader.isUnusual ? nil : request
        }
    }
}

extension SortOrder {
    fileprivate init?(wire: UInt64) {
        guard let value = UInt8(exactly: wire) else { return nil }
        self.init(rawValue: value)
    }
}

extension SortTarget {
    fileprivate init?(wire: UInt64) {
        guard let value = UInt8(exactly: wire) else { return nil }
        self.init(rawValue: value)
    }
}
