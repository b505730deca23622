import ConsensusTypes

@testable import ReplicaRuntime

/// Adds numbers and counts how often it did.
struct TallyMachine: StateMachine {
    private(set) var sum: Int64 = 0
    private(set) var count: Int64 = 0

    init() {}

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(snapshot)
        sum = try reader.readInt64()
        count = try reader.readInt64()
        try reader.requireEnd()
    }

    mutating func apply(_ command: ByteSlice) -> [UInt8] {
        var reader = ByteReader(command)
        sum += (try? reader.readInt64()) ?? 0
        count += 1
        return answer(ByteSlice())
    }

    func answer(_ query: ByteSlice) -> [UInt8] { TallyMachine.bytes(sum) }

    func snapshot() -> [UInt8] { TallyMachine.bytes(sum) + TallyMachine.bytes(count) }

    static func bytes(_ value: Int64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(value)
        return writer.bytes
    }

    static func value(_ bytes: [UInt8]) -> Int64? {
        var reader = ByteReader(bytes)
        return try? reader.readInt64()
    }
}
