import ConsensusTypes
import ReplicaRuntime

/// A handful of numbers that can be written, and compared and set: the smallest machine with which everything
/// about replication can be seen.
struct RegisterMachine: StateMachine, Hashable {
    static let registerCount = 8

    private var values = [UInt64](repeating: 0, count: registerCount)

    init() {}

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(snapshot)
        for register in values.indices {
            values[register] = try reader.readUInt64()
        }
        try reader.requireEnd()
    }

    mutating func apply(_ command: ByteSlice) -> [UInt8] {
        guard let input = try? RegisterInput(command) else { return [2] }
        switch input {
        case .read: return answer(command)
        case .write(let register, let value):
            values[register] = value
            return [1]
        case .compareAndSet(let register, let old, let new):
            guard values[register] == old else { return [0] }
            values[register] = new
            return [1]
        }
    }

    func answer(_ query: ByteSlice) -> [UInt8] {
        guard case .read(let register)? = try? RegisterInput(query) else { return [2] }
        var writer = ByteWriter()
        writer.write(values[register])
        return writer.bytes
    }

    func snapshot() -> [UInt8] {
        var writer = ByteWriter()
        for value in values { writer.write(value) }
        return writer.bytes
    }
}

enum RegisterInput: Hashable, Sendable {
    case read(Int)
    case write(Int, UInt64)
    case compareAndSet(Int, UInt64, UInt64)

    var register: Int {
        switch self {
        case .read(let register), .write(let register, _), .compareAndSet(let register, _, _): register
        }
    }

    init(_ bytes: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(bytes)
        let kind = try reader.readUInt8()
        let register = Int(try reader.readUInt8())
        guard register < RegisterMachine.registerCount else {
            throw ByteDecodingError(offset: 1, reason: "there is no register \(register)")
        }
        switch kind {
        case 0: self = .read(register)
        case 1: self = .write(register, try reader.readUInt64())
        case 2: self = .compareAndSet(register, try reader.readUInt64(), try reader.readUInt64())
        default: throw ByteDecodingError(offset: 0, reason: "command \(kind) is unknown")
        }
        try reader.requireEnd()
    }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .read(let register):
            writer.write(UInt8(0))
            writer.write(UInt8(register))
        case .write(let register, let value):
            writer.write(UInt8(1))
            writer.write(UInt8(register))
            writer.write(value)
        case .compareAndSet(let register, let old, let new):
            writer.write(UInt8(2))
            writer.write(UInt8(register))
            writer.write(old)
            writer.write(new)
        }
        return writer.bytes
    }
}

/// Clients that read, write, and compare and set. Registers are independent, so each is checked by itself.
struct RegisterWorkload: StateMachineWorkload {
    typealias Machine = RegisterMachine

    enum Output: Hashable, Sendable {
        case value(UInt64)
        case isDone(Bool)
    }

    struct Model: SequentialModel {
        let initialState = [UInt64](repeating: 0, count: RegisterMachine.registerCount)

        func isReadOnly(_ input: RegisterInput) -> Bool {
            if case .read = input { return true }
            return false
        }

        func step(_ state: [UInt64], _ input: RegisterInput, _ output: Output?) -> [UInt64]? {
            var next = state
            let answer: Output
            switch input {
            case .read(let register):
                answer = .value(state[register])
            case .write(let register, let value):
                next[register] = value
                answer = .isDone(true)
            case .compareAndSet(let register, let old, let new):
                answer = .isDone(state[register] == old)
                if state[register] == old { next[register] = new }
            }
            return output == nil || output == answer ? next : nil
        }

        func partitions(
            of history: [HistoryEntry<RegisterInput, Output>]
        ) -> [HistoryPartition<RegisterInput, Output>] {
            KeyPartitioning<Int>.split(history) { [$0.register] }
        }
    }

    let model = Model()

    func nextInput(client: Int, _ random: inout SeededRandom) -> RegisterInput {
        let register = Int(random.next(below: UInt64(RegisterMachine.registerCount)))
        switch random.next(below: 3) {
        case 0: return .read(register)
        case 1: return .write(register, random.next(below: 1_000))
        default: return .compareAndSet(register, random.next(below: 8), random.next(below: 8))
        }
    }

    func encode(_ input: RegisterInput) -> StateMachineRequest {
        if case .read = input { return .query(input.bytes) }
        return .command(input.bytes)
    }

    func decode(_ answer: [UInt8], to input: RegisterInput) -> Output? {
        if case .read = input {
            var reader = ByteReader(answer)
            return (try? reader.readUInt64()).map(Output.value)
        }
        return answer == [1] ? .isDone(true) : answer == [0] ? .isDone(false) : nil
    }
}
