import ConsensusTypes
import ReplicaRuntime

/// What a client asks of a replicated state machine.
public enum StateMachineRequest: Hashable, Sendable {
    /// Goes through the log to ``StateMachine/apply(_:)`` on every node.
    case command([UInt8])
    /// Goes to ``StateMachine/answer(_:)`` on one node, after a linearizable read.
    case query([UInt8])
}

/// How a state machine is tested in the simulated world: what its clients ask for, and what they must be
/// answered.
///
/// ``MachineWorkload`` is all it takes where the machine itself, run by one client at a time, is the
/// specification. A workload of one's own can hold the machine to a model that is written apart from it.
public protocol StateMachineWorkload: Sendable {
    associatedtype Machine: StateMachine
    associatedtype Model: LinearizabilityModel

    var model: Model { get }

    /// What the client does next. `random` must be the only source of chance.
    func nextInput(client: Int, _ random: inout SeededRandom) -> Model.Input

    /// The bytes that the machine is given for an input.
    func encode(_ input: Model.Input) -> StateMachineRequest

    /// What the machine's answer means to the model; `nil` where it cannot be an answer to this input.
    func decode(_ answer: [UInt8], to input: Model.Input) -> Model.Output?

    /// Says what is wrong with a state of the machine, in which it must never be; `nil` where nothing is.
    /// Asked after every command.
    func violation(in machine: Machine) -> String?

    /// Whether two machines are in the same state. Where the machine does not say, that is whether their
    /// snapshots are the same bytes, or, for an `Equatable` machine, whether they are equal too.
    func isSame(_ left: Machine, _ right: Machine) -> Bool
}

extension StateMachineWorkload {
    public func violation(in machine: Machine) -> String? { nil }

    public func isSame(_ left: Machine, _ right: Machine) -> Bool {
        left.snapshot() == right.snapshot()
    }
}

extension StateMachineWorkload where Machine: Equatable {
    public func isSame(_ left: Machine, _ right: Machine) -> Bool {
        left == right && left.snapshot() == right.snapshot()
    }
}

/// A machine as its own specification: what it answers to one client at a time is what it must answer to
/// many, under faults.
public struct MachineModel<Machine: StateMachine & Hashable>: SequentialModel {
    public var initialState: Machine { Machine() }

    public init() {}

    public func isReadOnly(_ input: StateMachineRequest) -> Bool {
        if case .query = input { return true }
        return false
    }

    public func step(_ state: Machine, _ input: StateMachineRequest, _ output: [UInt8]?) -> Machine? {
        var next = state
        let answer: [UInt8]
        switch input {
        case .command(let bytes): answer = next.apply(ByteSlice(bytes))
        case .query(let bytes): answer = state.answer(ByteSlice(bytes))
        }
        return output == nil || output == answer ? next : nil
    }

    public func describe(input: StateMachineRequest) -> String {
        switch input {
        case .command(let bytes): "command \(KeyValueText.text(bytes))"
        case .query(let bytes): "query \(KeyValueText.text(bytes))"
        }
    }

    public func describe(output: [UInt8]) -> String { KeyValueText.text(output) }
}

/// Tests a machine against itself: a generator of requests is all that it needs.
public struct MachineWorkload<Machine: StateMachine & Hashable>: StateMachineWorkload {
    public let model = MachineModel<Machine>()
    private let requests: @Sendable (Int, inout SeededRandom) -> StateMachineRequest
    private let invariant: @Sendable (Machine) -> String?

    /// - Parameters:
    ///   - requests: what a client, given by its number, does next.
    ///   - invariant: says what is wrong with a state in which the machine must never be.
    public init(
        requests: @escaping @Sendable (_ client: Int, inout SeededRandom) -> StateMachineRequest,
        invariant: @escaping @Sendable (Machine) -> String? = { _ in nil }
    ) {
        self.requests = requests
        self.invariant = invariant
    }

    public func nextInput(client: Int, _ random: inout SeededRandom) -> StateMachineRequest {
        requests(client, &random)
    }

    public func encode(_ input: StateMachineRequest) -> StateMachineRequest { input }

    public func decode(_ answer: [UInt8], to input: StateMachineRequest) -> [UInt8]? { answer }

    public func violation(in machine: Machine) -> String? { invariant(machine) }
}
