/// The states that may follow a step of a model.
public enum Successors<State: Sendable>: Sendable {
    /// The operation cannot have had this output in this state.
    case none
    case one(State)
    /// More than one state explains what is known, as where the outcome of a condition was not told.
    case several([State])

    /// The number of states.
    var count: Int {
        switch self {
        case .none: 0
        case .one: 1
        case .several(let states): states.count
        }
    }

    subscript(position: Int) -> State {
        switch self {
        case .none: preconditionFailure("an impossible step has no successor")
        case .one(let state): state
        case .several(let states): states[position]
        }
    }
}

/// What a service must look like to its clients, one operation at a time: the specification that a history is
/// checked against.
///
/// Most models are deterministic and conform to ``SequentialModel``, which asks for less. This protocol is
/// for those in which what the clients saw leaves more than one state possible.
public protocol LinearizabilityModel: Sendable {
    /// Compared and hashed for every step of the search: small states make a fast check.
    associatedtype State: Hashable & Sendable
    /// What a client asked for. Two operations of unknown outcome with equal inputs are interchangeable,
    /// which shortens the search.
    associatedtype Input: Hashable & Sendable
    /// What a client was answered.
    associatedtype Output: Sendable

    var initialState: State { get }

    /// The states in which `input`, executed in `state`, may leave the service where it answered `output`.
    ///
    /// `output` is `nil` where the client was not answered: then every state that executing the operation may
    /// lead to counts. (That it was not executed at all is the checker's business.)
    func successors(of state: State, _ input: Input, _ output: Output?) -> Successors<State>

    /// Whether the operation never changes a state. Where such a one has no answer it says nothing, and is
    /// left out. `false` where the model does not say.
    func isReadOnly(_ input: Input) -> Bool

    /// Where the operation probably stands in the order: a revision or an index that came with the answer,
    /// for example. Smaller ones are tried first. A wrong hint costs time, but never a wrong verdict. `nil`
    /// where there is none.
    func orderHint(_ input: Input, _ output: Output) -> Int64?

    /// Takes a history apart into smaller ones, such that it is linearizable if (and only if) every part is:
    /// by key, for a store in which no operation touches two (Herlihy and Wing 1990, "locality"; Horn and
    /// Kroening 2015, "P-compositionality"). ``KeyPartitioning`` helps. One part where the model does not
    /// say.
    ///
    /// The model must be right for the whole history too: its state is that of all parts together.
    func partitions(of history: [HistoryEntry<Input, Output>]) -> [HistoryPartition<Input, Output>]

    /// Texts for the explanation of a violation.
    func describe(state: State) -> String
    func describe(input: Input) -> String
    func describe(output: Output) -> String
}

extension LinearizabilityModel {
    public func isReadOnly(_ input: Input) -> Bool { false }

    public func orderHint(_ input: Input, _ output: Output) -> Int64? { nil }

    public func partitions(
        of history: [HistoryEntry<Input, Output>]
    ) -> [HistoryPartition<Input, Output>] {
        [HistoryPartition(name: "", entries: history)]
    }

    public func describe(state: State) -> String { String(describing: state) }
    public func describe(input: Input) -> String { String(describing: input) }
    public func describe(output: Output) -> String { String(describing: output) }
}

/// A deterministic specification: in a given state an operation has one effect.
///
/// A counter, for example:
///
///     struct CounterModel: SequentialModel {
///         enum Input: Hashable, Sendable { case add(Int), read }
///         typealias Output = Int
///
///         let initialState = 0
///         func step(_ state: Int, _ input: Input, _ output: Int?) -> Int? {
///             var next = state
///             if case .add(let amount) = input { next += amount }
///             return output == nil || output == next ? next : nil
///         }
///     }
public protocol SequentialModel: LinearizabilityModel {
    /// The state after `input` in `state`; `nil` where `output` cannot be the answer there.
    ///
    /// `output` is `nil` where the client was not answered: then the effect of the execution.
    func step(_ state: State, _ input: Input, _ output: Output?) -> State?
}

extension SequentialModel {
    public func successors(of state: State, _ input: Input, _ output: Output?) -> Successors<State> {
        if let next = step(state, input, output) { return .one(next) }
        return .none
    }
}
