import ConsensusTypes
import ReplicaRuntime

/// A user's machine whose commands carry the number of the client's operation in front, so that the log tells
/// how often each was executed.
struct NumberedMachine<Machine: StateMachine>: StateMachine {
    var machine: Machine

    init() {
        machine = Machine()
    }

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        machine = try Machine(restoring: snapshot)
    }

    mutating func apply(_ command: ByteSlice) -> [UInt8] {
        machine.apply(command[NumberedMachine.prefixSizeBytes..<command.count])
    }

    func answer(_ query: ByteSlice) -> [UInt8] { machine.answer(query) }

    func snapshot() -> [UInt8] { machine.snapshot() }

    private static var prefixSizeBytes: Int { 8 }

    static func command(_ operation: Int, _ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(reserving: bytes.count + prefixSizeBytes)
        writer.write(UInt64(operation))
        bytes.withUnsafeBytes { writer.writeRaw($0) }
        return writer.bytes
    }

    static func operation(of payload: ByteSlice) -> Int? {
        var reader = ByteReader(payload)
        return (try? reader.readUInt64()).flatMap { Int(exactly: $0) }
    }
}
