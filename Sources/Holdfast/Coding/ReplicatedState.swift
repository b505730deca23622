import ConsensusTypes

/// A service's own state, which a ``ReplicatedStateMachine`` keeps the same on every node.
///
/// Every node applies the same commands in the same order, each exactly once. That gives the same state
/// everywhere only if nothing else has a part in it: no clock, no randomness, no input or output, and no order
/// of a `Set` or `Dictionary` in what ``apply(_:)`` does or answers. Whoever submits a command puts into it
/// what of these it needs. Use structs of standard collections: a copy is a frozen state, from which a
/// snapshot is made while the original goes on.
///
///     struct Counter: ReplicatedState, Codable {
///         var value = 0
///         mutating func apply(_ increment: Int) -> Int { value += increment; return value }
///         func answer(_ query: Bool) -> Int { value }
///     }
///
/// Commands, results, queries, answers and the state itself travel as JSON where they are `Codable`, and in
/// their own form where they are ``ReplicatedCoding``. `HoldfastSimulation` runs a state in a simulated world
/// (as ``SessionedMachine``) and shows where it breaks these rules.
public protocol ReplicatedState: Sendable {
    /// A wish that changes the state.
    associatedtype Command: Sendable
    /// What whoever submitted the command is told.
    associatedtype Result: Sendable
    /// A question that changes nothing.
    associatedtype Query: Sendable
    /// What whoever asked is told.
    associatedtype Answer: Sendable

    /// The state before the first command.
    init()

    /// Carries out a command: once on every node, and again after a restart for those that no snapshot holds.
    /// A command that cannot be carried out changes nothing and says so in its result.
    mutating func apply(_ command: Command) -> Result

    /// Answers without changing anything. Asked on one node only.
    func answer(_ query: Query) -> Answer

    /// The form of commands, in the log and on the network.
    static var commandCoding: ValueCoding<Command> { get }
    /// The form in which results are kept for clients that ask again.
    static var resultCoding: ValueCoding<Result> { get }
    /// The form of queries.
    static var queryCoding: ValueCoding<Query> { get }
    /// The form of answers to queries.
    static var answerCoding: ValueCoding<Answer> { get }
    /// The form of snapshots.
    static var stateCoding: ValueCoding<Self> { get }
}

// A type's own form goes before JSON where it has both.

extension ReplicatedState where Command: Codable {
    /// JSON, as the type is `Codable`.
    public static var commandCoding: ValueCoding<Command> { .json }
}

extension ReplicatedState where Command: ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var commandCoding: ValueCoding<Command> { .own }
}

extension ReplicatedState where Command: Codable & ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var commandCoding: ValueCoding<Command> { .own }
}

extension ReplicatedState where Result: Codable {
    /// JSON, as the type is `Codable`.
    public static var resultCoding: ValueCoding<Result> { .json }
}

extension ReplicatedState where Result: ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var resultCoding: ValueCoding<Result> { .own }
}

extension ReplicatedState where Result: Codable & ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var resultCoding: ValueCoding<Result> { .own }
}

extension ReplicatedState where Query: Codable {
    /// JSON, as the type is `Codable`.
    public static var queryCoding: ValueCoding<Query> { .json }
}

extension ReplicatedState where Query: ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var queryCoding: ValueCoding<Query> { .own }
}

extension ReplicatedState where Query: Codable & ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var queryCoding: ValueCoding<Query> { .own }
}

extension ReplicatedState where Answer: Codable {
    /// JSON, as the type is `Codable`.
    public static var answerCoding: ValueCoding<Answer> { .json }
}

extension ReplicatedState where Answer: ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var answerCoding: ValueCoding<Answer> { .own }
}

extension ReplicatedState where Answer: Codable & ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var answerCoding: ValueCoding<Answer> { .own }
}

extension ReplicatedState where Self: Codable {
    /// JSON, as the type is `Codable`.
    public static var stateCoding: ValueCoding<Self> { .json }
}

extension ReplicatedState where Self: ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var stateCoding: ValueCoding<Self> { .own }
}

extension ReplicatedState where Self: Codable & ReplicatedCoding {
    /// The type's own form, which goes before JSON.
    public static var stateCoding: ValueCoding<Self> { .own }
}
