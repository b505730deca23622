import ConsensusTypes

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension ValueCoding where Value: Codable & SendableMetatype {
    /// JSON with sorted keys. The default: easy to look at, and to read with a later version of the type.
    ///
    /// A `Set`, or a `Dictionary` whose keys are neither strings nor integers, is written in an order that
    /// differs from node to node; keep such collections out of results and states, or encode them sorted.
    public static var json: ValueCoding<Value> {
        ValueCoding(
            encode: { value throws(ValueEncodingError) in
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                encoder.nonConformingFloatEncodingStrategy = .convertToString(
                    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
                do {
                    return Array(try encoder.encode(value))
                } catch {
                    throw ValueEncodingError(reason: "\(error)")
                }
            },
            decode: { bytes throws(ByteDecodingError) in
                let decoder = JSONDecoder()
                decoder.nonConformingFloatDecodingStrategy = .convertFromString(
                    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
                do {
                    return try decoder.decode(Value.self, from: Data(bytes.bytes))
                } catch {
                    throw ByteDecodingError(offset: 0, reason: "no \(Value.self) in JSON: \(error)")
                }
            })
    }
}
