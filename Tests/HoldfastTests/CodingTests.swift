import ConsensusTypes
import Testing

@testable import Holdfast

@Suite struct CodingTests {
    struct Own: ReplicatedCoding, Codable, Hashable {
        let value: UInt32

        init(_ value: UInt32) { self.value = value }

        func encode(into writer: inout ByteWriter) { writer.write(value) }

        init(decoding bytes: ByteSlice) throws(ByteDecodingError) {
            var reader = ByteReader(bytes)
            value = try reader.readUInt32()
            try reader.requireEnd()
        }
    }

    struct Mixed: ReplicatedState, Codable {
        var names: [String: Int] = [:]
        mutating func apply(_ command: Own) -> Double { Double(command.value) }
        func answer(_ query: String) -> [String: Int] { names }
    }

    @Test func anOwnFormGoesBeforeJSON() throws {
        #expect(try Mixed.commandCoding.encode(Own(5)) == [5, 0, 0, 0])
        #expect(try Mixed.commandCoding.decode(ByteSlice([5, 0, 0, 0])) == Own(5))
        #expect(throws: ByteDecodingError.self) { try Mixed.commandCoding.decode(ByteSlice([5])) }
    }

    @Test func jsonIsSorted() throws {
        var state = Mixed()
        for number in 0..<50 { state.names["name \(number)"] = number }
        let bytes = try Mixed.stateCoding.encode(state)
        var again = Mixed()
        for number in (0..<50).reversed() { again.names["name \(number)"] = number }
        #expect(try Mixed.stateCoding.encode(again) == bytes)
        #expect(try Mixed.stateCoding.decode(ByteSlice(bytes)).names == state.names)
    }

    @Test func jsonHoldsEveryNumber() throws {
        for value in [0.1, -1e300, .infinity, -.infinity, 1e-300] {
            #expect(try Mixed.resultCoding.decode(ByteSlice(try Mixed.resultCoding.encode(value))) == value)
        }
        #expect(try Mixed.resultCoding.decode(ByteSlice(try Mixed.resultCoding.encode(.nan))).isNaN)
        #expect(throws: ByteDecodingError.self) { try Mixed.resultCoding.decode(ByteSlice([1, 2, 3])) }
    }
}
