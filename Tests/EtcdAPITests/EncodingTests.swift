import ConsensusTypes
import NIOCore
import NIOHPACK
import Testing
import TestSupport

@testable import EtcdAPI

@Suite struct EncodingTests {
    @Test func percentEncoding() {
        let table = [
            ("", ""), ("plain text", "plain text"), ("100%", "100%25"), ("a\nb", "a%0Ab"),
            ("Grüße", "Gr%C3%BC%C3%9Fe"), ("\u{7F}", "%7F"),
        ]
        for (plain, encoded) in table {
            #expect(PercentEncoding.encode(plain) == encoded)
            #expect(PercentEncoding.decode(encoded) == plain)
        }
        #expect(PercentEncoding.decode("50%") == "50%")
        #expect(PercentEncoding.decode("%zz%4") == "%zz%4")
        #expect(PercentEncoding.decode("%c3%bc") == "ü")
    }

    @Test func timeouts() {
        let table: [(String, Int64?)] = [
            ("1H", 3_600_000_000_000), ("2M", 120_000_000_000), ("3S", 3_000_000_000), ("4m", 4_000_000),
            ("5u", 5_000), ("6n", 6), ("0S", 0), ("99999999S", 99_999_999_000_000_000),
            ("99999999H", .max), ("100000000S", nil), ("S", nil), ("", nil), ("1", nil), ("-1S", nil),
            ("1s", nil), ("1.5S", nil), (" 1S", nil), ("1SS", nil),
        ]
        for (text, nanoseconds) in table {
            #expect(GRPCTimeout.parse(text) == nanoseconds, "\(text)")
        }
        for nanoseconds: Int64 in [1, 999, 99_999_999, 100_000_000, 5_000_000_000, 86_400_000_000_000_000] {
            let parsed = GRPCTimeout.parse(GRPCTimeout.format(nanoseconds: nanoseconds))
            #expect(parsed.map { $0 >= nanoseconds && $0 - nanoseconds < nanoseconds / 1_000 + 1 } == true)
        }
    }

    @Test func contentTypes() {
        for good in [
            "application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8",
            "Application/GRPC+proto", "application/grpc+proto; a=b",
        ] {
            #expect(RequestHead.isGRPC(good), "\(good)")
        }
        for bad in [
            "", "application/json", "application/grpcx", "application/grpc-web", "application/grpc+json",
        ] {
            #expect(!RequestHead.isGRPC(bad), "\(bad)")
        }
    }

    /// Messages come out whole however the bytes are cut.
    @Test func framingHoldsHoweverItIsCut() throws {
        var random = SeededRandom(seed: 1)
        for _ in 0..<200 {
            let messages = (0..<4).map { _ in
                (0..<Int(random.next(below: 300))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            }
            var bytes: [UInt8] = []
            for message in messages {
                bytes += [0] + WireFrame.big(UInt32(message.count)) + message
            }
            var reader = MessageReader(maximumSizeBytes: 300)
            var found: [[UInt8]] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = min(rest.count, 1 + Int(random.next(below: 120)))
                reader.append(ByteBuffer(bytes: rest.prefix(count)))
                rest = rest.dropFirst(count)
                while let message = try reader.next() {
                    found.append(Array(message.readableBytesView))
                }
            }
            #expect(found == messages)
            #expect(reader.bufferedBytes == 0)
        }
    }

    @Test func framingRefuses() {
        func read(_ bytes: [UInt8]) -> MessageReader.Failure? {
            var reader = MessageReader(maximumSizeBytes: 10)
            reader.append(ByteBuffer(bytes: bytes))
            do throws(MessageReader.Failure) {
                _ = try reader.next()
                return nil
            } catch {
                return error
            }
        }
        #expect(read([0, 0, 0, 0, 10]) == nil)
        #expect(read([0, 0, 0, 0, 11]) == .tooLarge(sizeBytes: 11, maximumSizeBytes: 10))
        #expect(read([0, 255, 255, 255, 255]) == .tooLarge(sizeBytes: 0xFFFF_FFFF, maximumSizeBytes: 10))
        #expect(read([1]) == .compressed)
        #expect(read([2]) == .invalidFlag(2))
    }
}
