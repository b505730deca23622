import ConsensusTypes

/// The bytes of commands; docs/formats/key-value-commands.md describes them.
extension Command {
    static var formatVersion: UInt8 { 1 }

    enum Kind: UInt8 {
        case put = 1
        case deleteRange = 2
        case transaction = 3
        case compact = 4
        case leaseGrant = 5
        case leaseRevoke = 6
        /// Only as an operation of a transaction.
        case range = 7
    }

    public func encode() -> [UInt8] {
        var writer = ByteWriter(reserving: encodedSizeHint)
        encode(into: &writer)
        return writer.bytes
    }

    public func encode(into writer: inout ByteWriter) {
        writer.write(Self.formatVersion)
        switch self {
        case .put(let request):
            writer.write(Kind.put.rawValue)
            request.encode(into: &writer)
        case .deleteRange(let request):
            writer.write(Kind.deleteRange.rawValue)
            request.encode(into: &writer)
        case .transaction(let request):
            writer.write(Kind.transaction.rawValue)
            request.encode(into: &writer)
        case .compact(let request):
            writer.write(Kind.compact.rawValue)
            writer.write(request.revision)
            writer.write(request.physical)
        case .leaseGrant(let id, let timeToLiveSeconds):
            writer.write(Kind.leaseGrant.rawValue)
            writer.write(id.rawValue)
            writer.write(timeToLiveSeconds)
        case .leaseRevoke(let id, let generation):
            writer.write(Kind.leaseRevoke.rawValue)
            writer.write(id.rawValue)
            writer.write(generation != nil)
            if let generation { writer.write(generation) }
        }
    }

    /// Reads one command that fills `bytes`. The result owns its storage.
    public static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> Command {
        guard bytes.count <= KeyValueLimits.maximumCommandSizeBytes else {
            throw ByteDecodingError(offset: 0, reason: "a command is larger than 128 MiB")
        }
        var reader = ByteReader(bytes)
        let version = try reader.readUInt8()
        guard version == formatVersion else {
            throw ByteDecodingError(
                offset: 0, reason: "a command has format version \(version), this program knows 1")
        }
        let command = try decodeBody(&reader)
        try reader.requireEnd()
        return command
    }

    private static func decodeBody(_ reader: inout ByteReader) throws(ByteDecodingError) -> Command {
        switch try readKind(&reader) {
        case .put: return .put(try PutRequest(decoding: &reader))
        case .deleteRange: return .deleteRange(try DeleteRangeRequest(decoding: &reader))
        case .transaction: return .transaction(try TransactionRequest(decoding: &reader, depth: 1))
        case .compact:
            let revision = try reader.readInt64()
            return .compact(CompactRequest(revision: revision, physical: try reader.readBool()))
        case .leaseGrant:
            let id = LeaseID(try reader.readInt64())
            return .leaseGrant(id: id, timeToLiveSeconds: try reader.readInt64())
        case .leaseRevoke:
            let id = LeaseID(try reader.readInt64())
            return .leaseRevoke(id, generation: try reader.readBool() ? try reader.readUInt64() : nil)
        case .range:
            throw ByteDecodingError(
                offset: reader.offset - 1, reason: "a range stands outside of a transaction")
        }
    }

    static func readKind(_ reader: inout ByteReader) throws(ByteDecodingError) -> Kind {
        let raw = try reader.readUInt8()
        guard let kind = Kind(rawValue: raw) else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "a command has unknown kind \(raw)")
        }
        return kind
    }

    /// Enough for the common commands; others grow their buffer.
    private var encodedSizeHint: Int {
        if case .put(let request) = self { return request.key.count + request.value.count + 24 }
        return 64
    }
}

/// Flags in one byte; a bit that means nothing is an error.
struct FlagReader {
    private let bits: UInt8

    init(_ reader: inout ByteReader, known: UInt8) throws(ByteDecodingError) {
        bits = try reader.readUInt8()
        guard bits & ~known == 0 else {
            throw ByteDecodingError(offset: reader.offset - 1, reason: "unknown flags \(bits)")
        }
    }

    subscript(bit: Int) -> Bool { bits >> bit & 1 == 1 }
}

extension PutRequest {
    func encode(into writer: inout ByteWriter) {
        let flags: UInt8 =
            (lease != nil ? 1 : 0) | (previousKeyValue ? 2 : 0) | (ignoreValue ? 4 : 0)
            | (ignoreLease ? 8 : 0)
        writer.write(flags)
        if let lease { writer.write(lease.rawValue) }
        writer.writeSized(key)
        writer.writeSized(value)
    }

    init(decoding reader: inout ByteReader) throws(ByteDecodingError) {
        let flags = try FlagReader(&reader, known: 0x0f)
        let lease = flags[0] ? LeaseID(try reader.readInt64()) : nil
        let key = try reader.readSized().bytes
        let value = try reader.readSized().bytes
        self.init(
            key: key, value: value, lease: lease, previousKeyValue: flags[1], ignoreValue: flags[2],
            ignoreLease: flags[3])
    }
}

extension KeyRange {
    func encode(into writer: inout ByteWriter) {
        writer.writeSized(key)
        writer.writeSized(rangeEnd)
    }

    init(decoding reader: inout ByteReader) throws(ByteDecodingError) {
        let key = try reader.readSized().bytes
        self.init(key: key, rangeEnd: try reader.readSized().bytes)
    }
}

extension DeleteRangeRequest {
    func encode(into writer: inout ByteWriter) {
        writer.write(previousKeyValues)
        range.encode(into: &writer)
    }

    init(decoding reader: inout ByteReader) throws(ByteDecodingError) {
        let previous = try reader.readBool()
        self.init(range: try KeyRange(decoding: &reader), previousKeyValues: previous)
    }
}

extension RangeRequest {
    func encode(into writer: inout ByteWriter) {
        let bounds = [
            minimumModRevision, maximumModRevision, minimumCreateRevision, maximumCreateRevision,
        ]
        let isBounded = bounds.contains { $0 != 0 }
        let flags: UInt8 =
            (serializable ? 1 : 0) | (keysOnly ? 2 : 0) | (countOnly ? 4 : 0) | (isBounded ? 8 : 0)
        writer.write(flags)
        writer.write(sortOrder.rawValue)
        writer.write(sortTarget.rawValue)
        range.encode(into: &writer)
        writer.write(limit)
        writer.write(revision)
        if isBounded {
            for bound in bounds { writer.write(bound) }
        }
    }

    init(decoding reader: inout ByteReader) throws(ByteDecodingError) {
        let flags = try FlagReader(&reader, known: 0x0f)
        let order = SortOrder(rawValue: try reader.readUInt8())
        let target = SortTarget(rawValue: try reader.readUInt8())
        guard let order, let target else {
            throw ByteDecodingError(offset: reader.offset - 2, reason: "an unknown sort order or target")
        }
        let range = try KeyRange(decoding: &reader)
        let limit = try reader.readInt64()
        self.init(range: range, limit: limit, revision: try reader.readInt64())
        sortOrder = order
        sortTarget = target
        serializable = flags[0]
        keysOnly = flags[1]
        countOnly = flags[2]
        if flags[3] {
            minimumModRevision = try reader.readInt64()
            maximumModRevision = try reader.readInt64()
            minimumCreateRevision = try reader.readInt64()
            maximumCreateRevision = try reader.readInt64()
        }
    }
}
