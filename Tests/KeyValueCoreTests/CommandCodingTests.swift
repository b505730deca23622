import ConsensusTypes
import Testing

@testable import KeyValueCore

@Suite struct CommandCodingTests {
    @Test(arguments: 0..<20)
    func roundTripsAndTruncations(seed: Int) throws {
        var generator = CommandGenerator(seed: UInt64(seed))
        for _ in 0..<100 {
            let command = generator.command()
            let encoded = command.encode()
            #expect(try Command.decode(ByteSlice([9] + encoded + [9], 1..<encoded.count + 1)) == command)
            for length in 0..<encoded.count {
                #expect(throws: ByteDecodingError.self) { try Command.decode(ByteSlice(encoded, 0..<length)) }
            }
            #expect(throws: ByteDecodingError.self) { try Command.decode(ByteSlice(encoded + [0])) }
        }
    }

    /// Damaged bytes are an error or another command that is encoded differently, never a crash.
    @Test(arguments: 0..<20)
    func damagedBytes(seed: Int) {
        var generator = CommandGenerator(seed: UInt64(seed))
        for _ in 0..<500 {
            var encoded = generator.command().encode()
            for _ in 0...generator.pick(3) {
                encoded[generator.pick(encoded.count)] = UInt8(generator.pick(256))
            }
            if let decoded = try? Command.decode(ByteSlice(encoded)) {
                #expect(decoded.encode() == encoded)
                var store = KeyValueStore()
                _ = store.apply(decoded)
            }
        }
        for _ in 0..<2_000 {
            let noise = [1] + (0..<generator.pick(60)).map { _ in UInt8(generator.pick(8)) }
            _ = try? Command.decode(ByteSlice(noise))
        }
    }

    @Test func boundsAreChecked() {
        func problem(_ bytes: [UInt8]) -> String? {
            do throws(ByteDecodingError) {
                _ = try Command.decode(ByteSlice(bytes))
                return nil
            } catch { return error.description }
        }
        #expect(problem([2, 1]) == "a command has format version 2, this program knows 1 at byte 0")
        #expect(problem([1, 99]) == "a command has unknown kind 99 at byte 1")
        #expect(problem([1, 7]) == "a range stands outside of a transaction at byte 1")
        #expect(problem([1, 1, 0x80]) == "unknown flags 128 at byte 2")
        let huge: [UInt8] = [1, 3] + [255, 255, 255, 255] + [255, 255, 255, 255] + [255, 255, 255, 255]
        #expect(problem(huge) == "a transaction announces more than it holds at byte 2")
        #expect(
            problem([1, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0]) == """
                an operation of a transaction has a kind of commands only at byte 14
                """)
        var request = TransactionRequest()
        for _ in 1..<KeyValueLimits.maximumNestingDepth {
            request = TransactionRequest(success: [.transaction(request)])
        }
        #expect(problem(Command.transaction(request).encode()) == nil)
        request = TransactionRequest(success: [.transaction(request)])
        #expect(
            problem(Command.transaction(request).encode())?.hasPrefix("transactions nest too deeply") == true)
    }

    /// The examples in docs/formats/key-value-commands.md are the bytes that are written and read.
    @Test func documentedExamples() throws {
        let examples = try documentedBytes("key-value-commands.md")
        var ignoring = PutRequest(key: bytes("k"), value: [], lease: nil, ignoreValue: true)
        ignoring.previousKeyValue = true
        var ranged = RangeRequest(range: KeyRange(key: bytes("a"), rangeEnd: bytes("b")), limit: 2)
        ranged.minimumModRevision = 5
        ranged.sortOrder = .descending
        ranged.sortTarget = .modRevision
        let transaction = TransactionRequest(
            compare: [Compare(range: KeyRange(key: bytes("k")), result: .equal, target: .version(0))],
            success: [.put(PutRequest(key: bytes("k"), value: bytes("v")))], failure: [.range(ranged)])
        let commands: [Command] = [
            .put(PutRequest(key: bytes("key"), value: bytes("value"), lease: LeaseID(258))),
            .put(ignoring),
            .deleteRange(DeleteRangeRequest(range: KeyRange(key: bytes("a"), rangeEnd: [0]))),
            .transaction(transaction),
            .compact(CompactRequest(revision: 1_000, physical: true)),
            .leaseGrant(id: LeaseID(-2), timeToLiveSeconds: 60),
            .leaseRevoke(LeaseID(258), generation: 3),
            .leaseRevoke(LeaseID(258)),
        ]
        #expect(examples == commands.map { $0.encode() })
        #expect(try examples.map { try Command.decode(ByteSlice($0)) } == commands)
    }
}
