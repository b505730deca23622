import ConsensusTypes
import Foundation
import KeyValueCore
import NIOCore
import SwiftProtobuf
import Testing
import TestSupport

@testable import EtcdAPI

/// What is read and written by hand must be what SwiftProtobuf reads and writes.
@Suite struct FastPathTests {
    private static let rounds = 3_000

    /// A field as bytes.
    private static func varint(_ value: UInt64, padding: Int = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
        // The same number in more bytes than it needs.
        for _ in 0..<padding where bytes.count < 9 {
            bytes[bytes.count - 1] |= 0x80
            bytes.append(0)
        }
        return bytes
    }

    private static func bytes(_ random: inout SeededRandom, upTo count: UInt64) -> [UInt8] {
        (0..<random.next(below: count + 1)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private static func number(_ random: inout SeededRandom) -> UInt64 {
        switch random.next(below: 5) {
        case 0: 0
        case 1: random.next(below: 3)
        case 2: random.next(below: 1_000)
        case 3: random.next()
        default: UInt64(bitPattern: -Int64(random.next(below: 100)))
        }
    }

    /// A random message: known fields in any order, repeated, with numbers in more bytes than needed, with
    /// wrong wire types, and unknown fields between.
    private static func message(_ random: inout SeededRandom, isPut: Bool, isWild: Bool) -> [UInt8] {
        var message: [UInt8] = []
        for _ in 0..<random.next(below: 10) {
            var field = 1 + random.next(below: isPut ? 6 : 13)
            var wireType: UInt64 = field <= 2 ? 2 : 0
            if isWild, random.chance(1, outOf: 4) { field = 1 + random.next(below: 3_000) }
            if isWild, random.chance(1, outOf: 4) { wireType = [0, 1, 2, 5][Int(random.next(below: 4))] }
            message += varint(field << 3 | wireType, padding: isWild && random.chance(1, outOf: 10) ? 2 : 0)
            switch wireType {
            case 0:
                // Enumerations within bounds, or the message is left to SwiftProtobuf.
                let isEnumeration = !isPut && (field == 5 || field == 6)
                let value = isEnumeration ? random.next(below: isWild ? 9 : 3) : number(&random)
                message += varint(value, padding: isWild && random.chance(1, outOf: 4) ? 3 : 0)
            case 1: message += (0..<8).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            case 5: message += (0..<4).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            default:
                let body = bytes(&random, upTo: 40)
                message += varint(UInt64(body.count)) + body
            }
        }
        return message
    }

    @Test(arguments: [false, true]) func puts(isWild: Bool) throws {
        var random = SeededRandom(seed: isWild ? 11 : 12)
        var fastCount = 0
        for _ in 0..<FastPathTests.rounds {
            let bytes = FastPathTests.message(&random, isPut: true, isWild: isWild)
            let slow = try PutRequest(Etcdserverpb_PutRequest(serializedBytes: bytes))
            let fast = FastRequests.put(ByteBuffer(bytes: bytes))
            if let fast {
                fastCount += 1
                #expect(fast == slow, "\(bytes)")
            }
        }
        #expect(fastCount == FastPathTests.rounds)
    }

    @Test(arguments: [false, true]) func ranges(isWild: Bool) throws {
        var random = SeededRandom(seed: isWild ? 13 : 14)
        var fastCount = 0
        for _ in 0..<FastPathTests.rounds {
            let bytes = FastPathTests.message(&random, isPut: false, isWild: isWild)
            let slow = try RangeRequest(Etcdserverpb_RangeRequest(serializedBytes: bytes))
            if let fast = FastRequests.range(ByteBuffer(bytes: bytes)) {
                fastCount += 1
                #expect(fast == slow, "\(bytes)")
            }
        }
        // Only an enumeration's value that is not known is left to SwiftProtobuf.
        #expect(isWild ? fastCount > FastPathTests.rounds / 2 : fastCount == FastPathTests.rounds)
    }

    /// Random bytes, and good messages with a few bytes changed or cut off: never a different answer, and
    /// never a message where SwiftProtobuf sees none.
    @Test func damaged() {
        var random = SeededRandom(seed: 15)
        var refused = 0
        for round in 0..<FastPathTests.rounds * 4 {
            let isPut = random.chance(1, outOf: 2)
            var bytes =
                round % 2 == 0
                ? FastPathTests.bytes(&random, upTo: 30)
                : FastPathTests.message(&random, isPut: isPut, isWild: true)
            if round % 2 == 1, !bytes.isEmpty {
                bytes[Int(random.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.next())
                bytes.removeLast(Int(random.next(below: UInt64(bytes.count))) / 2)
            }
            if isPut {
                let slow = (try? Etcdserverpb_PutRequest(serializedBytes: bytes)).map { PutRequest($0) }
                if let fast = FastRequests.put(ByteBuffer(bytes: bytes)) {
                    #expect(fast == slow, "\(bytes)")
                } else {
                    refused += 1
                }
            } else {
                let slow = (try? Etcdserverpb_RangeRequest(serializedBytes: bytes)).flatMap {
                    RangeRequest($0)
                }
                if let fast = FastRequests.range(ByteBuffer(bytes: bytes)) {
                    #expect(fast == slow, "\(bytes)")
                } else {
                    refused += 1
                }
            }
        }
        #expect(refused > FastPathTests.rounds / 4)
    }

    private static func keyValue(_ random: inout SeededRandom) -> KeyValue {
        KeyValue(
            key: bytes(&random, upTo: 200), value: bytes(&random, upTo: 400),
            createRevision: Int64(bitPattern: number(&random)),
            modRevision: Int64(bitPattern: number(&random)),
            version: Int64(bitPattern: number(&random)),
            lease: random.chance(1, outOf: 2) ? LeaseID(Int64(bitPattern: number(&random))) : nil)
    }

    private static func header(_ random: inout SeededRandom) -> ServiceHeader {
        ServiceHeader(clusterID: number(&random), memberID: number(&random), term: number(&random))
    }

    private static func body(_ framed: ByteBuffer) -> [UInt8] {
        let bytes = Array(framed.readableBytesView)
        #expect(bytes[0] == 0)
        #expect(Array(bytes[1..<5]) == WireFrame.big(UInt32(bytes.count - 5)))
        return Array(bytes.dropFirst(5))
    }

    @Test func responses() throws {
        var random = SeededRandom(seed: 16)
        let allocator = ByteBufferAllocator()
        for _ in 0..<FastPathTests.rounds {
            let header = FastPathTests.header(&random)
            let revision = Int64(bitPattern: FastPathTests.number(&random))
            let put = PutResponse(
                previous: random.chance(1, outOf: 2) ? FastPathTests.keyValue(&random) : nil,
                revision: revision)
            let slowPut: [UInt8] = try put.message(header: header.message(revision: revision))
                .serializedBytes()
            #expect(
                FastPathTests.body(FastResponses.put(put, header: header, allocator: allocator)) == slowPut)
            let range = RangeResponse(
                keyValues: (0..<random.next(below: 5)).map { _ in FastPathTests.keyValue(&random) },
                more: random.chance(1, outOf: 2), count: Int64(bitPattern: FastPathTests.number(&random)),
                revision: revision)
            let slowRange: [UInt8] = try range.message(header: header.message(revision: revision))
                .serializedBytes()
            #expect(
                FastPathTests.body(FastResponses.range(range, header: header, allocator: allocator))
                    == slowRange)
        }
    }

    @Test func watchResponses() throws {
        var random = SeededRandom(seed: 17)
        for _ in 0..<FastPathTests.rounds {
            let header = FastPathTests.header(&random)
            let revision = Int64(bitPattern: FastPathTests.number(&random))
            let events = (0..<random.next(below: 5)).map { _ in
                WatchEvent(
                    kind: random.chance(1, outOf: 2) ? .put : .delete,
                    keyValue: FastPathTests.keyValue(&random),
                    previous: random.chance(1, outOf: 2) ? FastPathTests.keyValue(&random) : nil)
            }
            let id = Int64(bitPattern: FastPathTests.number(&random))
            let isFragment = random.chance(1, outOf: 2)
            var message = Etcdserverpb_WatchResponse()
            message.header = header.message(revision: revision)
            message.watchID = id
            message.fragment = isFragment
            message.events = events.map { event in
                var result = Mvccpb_Event()
                result.type = event.kind == .put ? .put : .delete
                result.kv = event.keyValue.message
                if let previous = event.previous { result.prevKv = previous.message }
                return result
            }
            let slow: [UInt8] = try message.serializedBytes()
            let fast = FastResponses.watch(
                events, watchID: id, isFragment: isFragment, revision: revision, header: header,
                allocator: ByteBufferAllocator())
            #expect(FastPathTests.body(fast) == slow)
        }
    }
}
