import ConsensusTypes

/// A type that says itself how it is written to bytes: where speed or size matter, or where the form must stay
/// the same for other readers.
///
/// What is written must be the same for equal values on every node, and must stay readable: commands lie in
/// logs, and states in snapshots, across versions of a program.
public protocol ReplicatedCoding: Sendable {
    /// Appends the value.
    func encode(into writer: inout ByteWriter)

    /// Reads what ``encode(into:)`` wrote; throws where the bytes are nothing of that kind.
    init(decoding bytes: ByteSlice) throws(ByteDecodingError)
}

/// A value could not be turned into bytes.
public struct ValueEncodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong with the value, for people.
    public let reason: String

    /// For a coding of one's own.
    public init(reason: String) {
        self.reason = reason
    }

    public var description: String { "the value cannot be encoded: \(reason)" }
}

/// How values of one type become bytes and come back.
public struct ValueCoding<Value>: Sendable {
    /// The bytes of a value: the same for equal values on every node.
    public let encode: @Sendable (Value) throws(ValueEncodingError) -> [UInt8]
    /// The value that the bytes stand for.
    public let decode: @Sendable (ByteSlice) throws(ByteDecodingError) -> Value

    /// A form of one's own, for types that are not this module's to extend.
    public init(
        encode: @escaping @Sendable (Value) throws(ValueEncodingError) -> [UInt8],
        decode: @escaping @Sendable (ByteSlice) throws(ByteDecodingError) -> Value
    ) {
        self.encode = encode
        self.decode = decode
    }
}

extension ValueCoding where Value: ReplicatedCoding {
    /// The type's own form.
    public static var own: ValueCoding<Value> {
        ValueCoding(
            encode: { value throws(ValueEncodingError) in
                var writer = ByteWriter()
                value.encode(into: &writer)
                return writer.bytes
            },
            decode: { bytes throws(ByteDecodingError) in try Value(decoding: bytes) })
    }
}
