import ConsensusTypes

extension TransactionRequest {
    func encode(into writer: inout ByteWriter) {
        writer.write(UInt32(compare.count))
        writer.write(UInt32(success.count))
        writer.write(UInt32(failure.count))
        for condition in compare { condition.encode(into: &writer) }
        for operation in success { operation.encode(into: &writer) }
        for operation in failure { operation.encode(into: &writer) }
    }

    init(decoding reader: inout ByteReader, depth: Int) throws(ByteDecodingError) {
        guard depth <= KeyValueLimits.maximumNestingDepth else {
            throw ByteDecodingError(offset: reader.offset, reason: "transactions nest too deeply")
        }
        let compareCount = Int(try reader.readUInt32())
        let successCount = Int(try reader.readUInt32())
        let failureCount = Int(try reader.readUInt32())
        // Each takes more than one byte, so the counts cannot make more than the bytes can hold.
        guard compareCount + successCount + failureCount <= reader.remaining else {
            throw ByteDecodingError(
                offset: reader.offset - 12, reason: "a transaction announces more than it holds")
        }
        self.init()
        for _ in 0..<compareCount { compare.append(try Compare(decoding: &reader)) }
        for _ in 0..<successCount { success.append(try Operation(decoding: &reader, depth: depth)) }
        for _ in 0..<failureCount { failure.append(try Operation(decoding: &reader, depth: depth)) }
    }
}

extension Operation {
    func encode(into writer: inout ByteWriter) {
        switch self {
        case .range(let request):
            writer.write(Command.Kind.range.rawValue)
            request.encode(into: &writer)
        case .put(let request):
            writer.write(Command.Kind.put.rawValue)
            request.encode(into: &writer)
        case .deleteRange(let request):
            writer.write(Command.Kind.deleteRange.rawValue)
            request.encode(into: &writer)
        case .transaction(let request):
            writer.write(Command.Kind.transaction.rawValue)
            request.encode(into: &writer)
        }
    }

    init(decoding reader: inout ByteReader, depth: Int) throws(ByteDecodingError) {
        switch try Command.readKind(&reader) {
        case .range: self = .range(try RangeRequest(decoding: &reader))
        case .put: self = .put(try PutRequest(decoding: &reader))
        case .deleteRange: self = .deleteRange(try DeleteRangeRequest(decoding: &reader))
        case .transaction: self = .transaction(try TransactionRequest(decoding: &reader, depth: depth + 1))
        case .compact, .leaseGrant, .leaseRevoke:
            throw ByteDecodingError(
                offset: reader.offset - 1, reason: "an operation of a transaction has a kind of commands only"
            )
        }
    }
}

extension Compare {
    func encode(into writer: inout ByteWriter) {
        writer.write(result.rawValue)
        switch target {
        case .version(let number): Self.encode(0, number, into: &writer)
        case .createRevision(let number): Self.encode(1, number, into: &writer)
        case .modRevision(let number): Self.encode(2, number, into: &writer)
        case .value(let value):
            writer.write(UInt8(3))
            writer.writeSized(value)
        case .lease(let number): Self.encode(4, number, into: &writer)
        }
        range.encode(into: &writer)
    }

    private static func encode(_ target: UInt8, _ number: Int64, into writer: inout ByteWriter) {
        writer.write(target)
        writer.write(number)
    }

    init(decoding reader: inout ByteReader) throws(ByteDecodingError) {
        guard let result = Result(rawValue: try reader.readUInt8()) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "an unknown comparison")
        }
        let target: Target
        switch try reader.readUInt8() {
        case 0: target = .version(try reader.readInt64())
        case 1: target = .createRevision(try reader.readInt64())
        case 2: target = .modRevision(try reader.readInt64())
        case 3: target = .value(try reader.readSized().bytes)
        case 4: target = .lease(try reader.readInt64())
        default: throw ByteDecodingError(offset: reader.offset - 1, reason: "an unknown comparison target")
        }
        self.init(range: try KeyRange(decoding: &reader), result: result, target: target)
    }
}
