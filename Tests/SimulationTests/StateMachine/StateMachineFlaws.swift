import ConsensusTypes
import HoldfastSimulation
import ReplicaRuntime
import Synchronization

/// A mistake that users make in their machines.
protocol CounterFlaw: Sendable {
    static func added(_ amount: Int64, to value: Int64, additions: Int64) -> Int64
    static func snapshotAdditions(_ additions: Int64) -> Int64
    static func snapshot(_ bytes: [UInt8]) -> [UInt8]
    static var refusesDebts: Bool { get }
}

extension CounterFlaw {
    static func added(_ amount: Int64, to value: Int64, additions: Int64) -> Int64 { value + amount }
    static func snapshotAdditions(_ additions: Int64) -> Int64 { additions }
    static func snapshot(_ bytes: [UInt8]) -> [UInt8] { bytes }
    static var refusesDebts: Bool { true }
}

enum Sound: CounterFlaw {}

/// As a clock or an unseeded random number would make it.
enum DependsOnTheNode: CounterFlaw {
    private static let calls = Atomic<Int64>(0)

    static func added(_ amount: Int64, to value: Int64, additions: Int64) -> Int64 {
        let call = calls.add(1, ordering: .relaxed).newValue
        return value + amount + (call.isMultiple(of: 20) ? 1 : 0)
    }
}

enum ForgetfulSnapshot: CounterFlaw {
    static func snapshotAdditions(_ additions: Int64) -> Int64 { 0 }
}

enum UnreadableSnapshot: CounterFlaw {
    static func snapshot(_ bytes: [UInt8]) -> [UInt8] { bytes + [0] }
}

enum LosesUpdates: CounterFlaw {
    static func added(_ amount: Int64, to value: Int64, additions: Int64) -> Int64 {
        additions.isMultiple(of: 10) ? value : value + amount
    }
}

enum GoesNegative: CounterFlaw {
    static var refusesDebts: Bool { false }
}

/// A number that grows and shrinks, but not below zero, and how often it did.
struct CounterMachine<Flaw: CounterFlaw>: StateMachine, Hashable {
    private(set) var value: Int64 = 0
    private(set) var additions: Int64 = 0

    init() {}

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(snapshot)
        value = try reader.readInt64()
        additions = try reader.readInt64()
        try reader.requireEnd()
    }

    mutating func apply(_ command: ByteSlice) -> [UInt8] {
        var reader = ByteReader(command)
        guard let amount = try? reader.readInt64() else { return [] }
        if Flaw.refusesDebts, value + amount < 0 { return [] }
        additions += 1
        value = Flaw.added(amount, to: value, additions: additions)
        return answer(ByteSlice())
    }

    func answer(_ query: ByteSlice) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(value)
        writer.write(additions)
        return writer.bytes
    }

    func snapshot() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(value)
        writer.write(Flaw.snapshotAdditions(additions))
        return Flaw.snapshot(writer.bytes)
    }
}

enum CounterRequests {
    @Sendable static func next(_ client: Int, _ random: inout SeededRandom) -> StateMachineRequest {
        if random.chance(1, outOf: 3) { return .query([]) }
        var writer = ByteWriter()
        writer.write(amount(&random))
        return .command(writer.bytes)
    }

    static func amount(_ random: inout SeededRandom) -> Int64 { Int64(random.next(below: 21)) - 8 }

    @Sendable static func invariant<Flaw>(_ machine: CounterMachine<Flaw>) -> String? {
        machine.value < 0 ? "the value is \(machine.value)" : nil
    }
}

/// The counter held to a specification that was written apart from it.
struct CounterWorkload<Flaw: CounterFlaw>: StateMachineWorkload {
    typealias Machine = CounterMachine<Flaw>

    enum Input: Hashable, Sendable {
        case add(Int64)
        case read
    }

    struct Model: SequentialModel {
        typealias State = Int64
        typealias Input = CounterWorkload<Flaw>.Input
        /// The value, or `nil` where the change was refused.
        typealias Output = Int64?

        let initialState: Int64 = 0

        func step(_ state: Int64, _ input: Input, _ output: Int64??) -> Int64? {
            guard case .add(let amount) = input else {
                return output == nil || output! == state ? state : nil
            }
            let next = state + amount
            if next < 0 { return output == nil || output! == nil ? state : nil }
            return output == nil || output! == next ? next : nil
        }
    }

    let model = Model()

    func nextInput(client: Int, _ random: inout SeededRandom) -> Input {
        random.chance(1, outOf: 3) ? .read : .add(CounterRequests.amount(&random))
    }

    func encode(_ input: Input) -> StateMachineRequest {
        guard case .add(let amount) = input else { return .query([]) }
        var writer = ByteWriter()
        writer.write(amount)
        return .command(writer.bytes)
    }

    func decode(_ answer: [UInt8], to input: Input) -> Int64?? {
        if answer.isEmpty { return .some(nil) }
        var reader = ByteReader(answer)
        return (try? reader.readInt64()).map { .some($0) }
    }
}
