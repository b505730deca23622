/// One operation of one client: when it began and ended, what was asked and what was answered.
///
/// Times are of one clock for all clients, in any unit: only their order counts. An operation that returned
/// strictly before another was invoked happened before it; where the two times are equal the operations count
/// as concurrent, which can hide a violation but never invents one.
public struct HistoryEntry<Input: Sendable, Output: Sendable>: Sendable {
    public let client: Int
    public let invokedAt: Int64
    /// `nil`: the client was not answered.
    public let returnedAt: Int64?
    public let input: Input
    /// `nil`: the outcome is unknown. The operation may have taken effect at any time after its invocation,
    /// or may yet, or never.
    public let output: Output?

    /// An operation that was answered.
    public init(client: Int, invokedAt: Int64, returnedAt: Int64, input: Input, output: Output) {
        precondition(invokedAt <= returnedAt, "an operation must not return before it was invoked")
        self.client = client
        self.invokedAt = invokedAt
        self.returnedAt = returnedAt
        self.input = input
        self.output = output
    }

    /// An operation of unknown outcome. One that failed for certain does not belong into a history at all.
    public init(client: Int, invokedAt: Int64, input: Input) {
        self.client = client
        self.invokedAt = invokedAt
        returnedAt = nil
        self.input = input
        output = nil
    }

    public var isUnknown: Bool { output == nil }
}

extension HistoryEntry: Equatable where Input: Equatable, Output: Equatable {}

/// A part of a history that can be checked by itself.
public struct HistoryPartition<Input: Sendable, Output: Sendable>: Sendable {
    /// For a person: the key, for example. Empty where there is one part only.
    public let name: String
    public let entries: [HistoryEntry<Input, Output>]

    public init(name: String, entries: [HistoryEntry<Input, Output>]) {
        self.name = name
        self.entries = entries
    }
}

/// Builds a history while clients work.
public struct HistoryRecorder<Input: Sendable, Output: Sendable>: Sendable {
    private struct Open {
        let client: Int
        let invokedAt: Int64
        let input: Input
        var result: (returnedAt: Int64, output: Output)?
        var isDiscarded = false
    }

    private var operations: [Open] = []
    private var lastStamp = Int64.min

    public init() {}

    /// The number of operations, discarded ones included.
    public var count: Int { operations.count }

    /// An operation begins. The number names it from here on.
    ///
    /// Times that do not grow are moved on by one, so that operations that are recorded one after the other
    /// within one instant of a simulation keep their order.
    public mutating func invoke(client: Int, _ input: Input, at time: Int64) -> Int {
        operations.append(Open(client: client, invokedAt: stamp(time), input: input))
        return operations.count - 1
    }

    /// The operation was answered.
    public mutating func complete(_ operation: Int, _ output: Output, at time: Int64) {
        precondition(operations[operation].result == nil, "an operation is answered once")
        operations[operation].result = (stamp(time), output)
    }

    /// It is certain that the operation never happened and never will.
    public mutating func discard(_ operation: Int) {
        operations[operation].isDiscarded = true
    }

    /// A moment of the history, for ``settle(_:_:at:)``: after everything that was recorded so far.
    public mutating func moment(at time: Int64) -> Int64 { stamp(time) }

    /// Something other than its client tells what became of an operation that was not answered, as a log that
    /// it stands in does: it did what `output` says, by this moment. Nothing happens where the operation was
    /// answered or discarded.
    ///
    /// - Parameter moment: from ``moment(at:)``, of a time when the operation had begun.
    public mutating func settle(_ operation: Int, _ output: Output, at moment: Int64) {
        guard operations[operation].result == nil, !operations[operation].isDiscarded else { return }
        operations[operation].result = (moment, output)
    }

    /// Whatever has no answer by now never happened.
    public mutating func discardUnanswered() {
        for position in operations.indices where operations[position].result == nil {
            operations[position].isDiscarded = true
        }
    }

    /// The history so far: what was neither answered nor discarded is of unknown outcome.
    public var entries: [HistoryEntry<Input, Output>] {
        operations.compactMap { operation in
            if operation.isDiscarded { return nil }
            guard let result = operation.result else {
                return HistoryEntry(
                    client: operation.client, invokedAt: operation.invokedAt, input: operation.input)
            }
            return HistoryEntry(
                client: operation.client, invokedAt: operation.invokedAt, returnedAt: result.returnedAt,
                input: operation.input, output: result.output)
        }
    }

    private mutating func stamp(_ time: Int64) -> Int64 {
        lastStamp = time > lastStamp ? time : lastStamp + 1
        return lastStamp
    }
}
