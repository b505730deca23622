import CHoldfastChecksum
import ConsensusTypes
import Foundation
import NIOCore
import Testing

@testable import PeerTransport

@Suite struct FrameTests {
    static let documentation = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/formats/peer-protocol.md")

    /// The bytes of the block of the document that is marked with `name`: hexadecimal in the first column,
    /// what it means behind two spaces and a bar.
    static func example(_ name: String) throws -> [UInt8] {
        let text = try String(contentsOf: documentation, encoding: .utf8)
        let parts = text.components(separatedBy: "```hex \(name)\n")
        try #require(parts.count == 2, "the document has one example named \(name)")
        let block = try #require(parts[1].components(separatedBy: "\n```").first)
        return try block.split(separator: "\n").flatMap { line in
            try line.split(separator: "|")[0].split(separator: " ").map { digits in
                try #require(UInt8(digits, radix: 16))
            }
        }
    }

    @Test func helloIsAsDocumented() throws {
        let hello = Hello(
            cluster: ClusterID(0x1122_3344_5566_7788), sender: NodeID(1), receiver: NodeID(2),
            incarnation: 0xdead_beef_0000_0001)
        let expected = try Self.example("hello")
        #expect(FrameDecoder.preamble + frame(.hello, hello.encoded()) == expected)
        let decoded = try frames(in: expected)
        #expect(try decoded.map { try Hello(decoding: $0.payload) } == [hello])
    }

    @Test func refusalIsAsDocumented() throws {
        let refusal = Refusal(.receiver, "wrong node")
        let expected = try Self.example("refusal")
        #expect(FrameDecoder.preamble + frame(.refusal, refusal.encoded()) == expected)
        #expect(try frames(in: expected).map { try Refusal(decoding: $0.payload) } == [refusal])
    }

    @Test func messageIsAsDocumented() throws {
        let expected = try Self.example("message")
        #expect(frame(.message, channel: 7, Array("hello".utf8)) == expected)
    }

    @Test func pingIsAsDocumented() throws {
        #expect(try frame(.ping, []) == Self.example("ping"))
    }

    static let stream: [UInt8] =
        FrameDecoder.preamble + frame(.message, channel: 1, [1, 2, 3]) + frame(.ping, [])
        + frame(.message, channel: 255, (0..<200).map { UInt8($0) }) + frame(.message, [])

    @Test(arguments: 1...40) func framesSurviveAnySplit(_ size: Int) throws {
        var decoder = FrameDecoder(maximumPayloadBytes: 1_000)
        var found: [Frame] = []
        var rest = Self.stream[...]
        while !rest.isEmpty {
            rest.prefix(size).withUnsafeBytes { decoder.append($0) }
            rest = rest.dropFirst(size)
            while let frame = try decoder.next() {
                found.append(frame)
            }
        }
        #expect(try found == frames(in: Self.stream))
        #expect(found.map(\.payload.count) == [3, 0, 200, 0])
        #expect(found.map(\.channel) == [1, 0, 255, 0])
        #expect(decoder.remaining == 0)
    }

    /// Payloads that were handed out keep their bytes while the decoder goes on.
    @Test func handedOutPayloadsStay() throws {
        var decoder = FrameDecoder(maximumPayloadBytes: 1_000)
        let second = frame(.message, [9, 9, 9])
        let bytes = FrameDecoder.preamble + frame(.message, [1, 2, 3]) + second.prefix(5)
        bytes.withUnsafeBytes { decoder.append($0) }
        let first = try #require(try decoder.next())
        second.dropFirst(5).withUnsafeBytes { decoder.append($0) }
        #expect(try decoder.next()?.payload.bytes == [9, 9, 9])
        #expect(first.payload.bytes == [1, 2, 3])
    }

    @Test func everyFlippedBitIsFound() throws {
        let whole = frame(.message, channel: 3, Array("payload".utf8))
        for bit in 0..<whole.count * 8 {
            var damaged = whole
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            var decoder = FrameDecoder(maximumPayloadBytes: 1_000)
            (FrameDecoder.preamble + damaged).withUnsafeBytes { decoder.append($0) }
            do {
                // A longer length only waits for more bytes, whose checksum then cannot fit.
                #expect(try decoder.next() == nil, "bit \(bit)")
                #expect(bit / 8 < 4)
            } catch {}
        }
    }

    @Test func oversizedFrameIsRefusedByItsHeaderAlone() throws {
        var decoder = FrameDecoder(maximumPayloadBytes: 100)
        let header = frame(.message, [UInt8](repeating: 0, count: 101)).prefix(FrameHeader.size)
        (FrameDecoder.preamble + header).withUnsafeBytes { decoder.append($0) }
        #expect(throws: FrameError.self) { try decoder.next() }
    }

    @Test func largestFrameIsAccepted() throws {
        var decoder = FrameDecoder(maximumPayloadBytes: 100)
        let bytes = FrameDecoder.preamble + frame(.message, [UInt8](repeating: 0, count: 100))
        bytes.withUnsafeBytes { decoder.append($0) }
        #expect(try decoder.next()?.payload.count == 100)
    }

    /// Headers that break a rule although their checksum is right: length 0, then kind, channel and zeros.
    @Test(arguments: [
        [8, 0, 0, 0], [255, 0, 0, 0], [3, 1, 0, 0], [0, 1, 0, 0], [5, 0, 1, 0], [5, 0, 0, 1],
    ]) func headerThatBreaksARule(_ rest: [UInt8]) {
        var writer = ByteWriter()
        writer.write(UInt32(0))
        rest.withUnsafeBytes { writer.writeRaw($0) }
        let checksum = writer.bytes.withUnsafeBytes { holdfast_crc32c(0, $0.baseAddress, $0.count) }
        writer.write(checksum)
        var decoder = FrameDecoder(maximumPayloadBytes: 100)
        (FrameDecoder.preamble + writer.bytes).withUnsafeBytes { decoder.append($0) }
        #expect(throws: FrameError.self) { try decoder.next() }
    }

    @Test func wrongPreambleIsFoundAtItsFirstByte() throws {
        var decoder = FrameDecoder(maximumPayloadBytes: 100)
        Array("HOLE".utf8).withUnsafeBytes { decoder.append($0) }
        #expect(throws: FrameError.self) { try decoder.next() }
    }

    /// Random bytes end in an error or wait for more; they never crash and never pass as a frame.
    @Test func randomBytesAreRefused() throws {
        var random = SeededRandom(seed: 7)
        for _ in 0..<2_000 {
            var decoder = FrameDecoder(maximumPayloadBytes: 1_000)
            var bytes = FrameDecoder.preamble
            for _ in 0..<random.next(below: 80) {
                bytes.append(UInt8(random.next(below: 256)))
            }
            bytes.withUnsafeBytes { decoder.append($0) }
            do {
                #expect(try decoder.next() == nil)
            } catch {}
        }
    }
}
