import ConsensusTypes
import KeyValueCore
import ReplicaRuntime

/// What clients were told of their operations, against what the committed log makes of them.
struct OperationBook {
    /// What was told of an operation, as long as it has not been compared with the model.
    private struct Unverified {
        let operation: UInt64
        let result: Result<CommandResult, KeyValueError>
    }

    /// What the model made of each operation in the log.
    private var expected: [UInt64: Result<CommandResult, KeyValueError>] = [:]
    private var unverified: [Unverified] = []
    /// Operations that failed for certain: they are in no log.
    private var refused: Set<UInt64> = []
    private var acknowledged: [UInt64] = []

    mutating func noteCommitted(
        _ operation: UInt64, _ result: Result<CommandResult, KeyValueError>
    ) throws(SimulationFailure) {
        guard expected.updateValue(result, forKey: operation) == nil else {
            throw SimulationFailure("at most once", "operation \(operation) was executed twice")
        }
        guard !refused.contains(operation) else {
            throw SimulationFailure(
                "refusals", "operation \(operation) failed for certain, and was executed later")
        }
    }

    mutating func noteAnswer(_ operation: UInt64, _ result: Result<CommandResult, KeyValueError>) {
        unverified.append(Unverified(operation: operation, result: result))
        acknowledged.append(operation)
    }

    mutating func noteRefusal(_ operation: UInt64) throws(SimulationFailure) {
        guard expected[operation] == nil else {
            throw SimulationFailure(
                "refusals", "operation \(operation) failed for certain, and was executed before")
        }
        refused.insert(operation)
    }

    /// Compares what was answered since the last call; the model has applied all that any node has.
    mutating func verify() throws(SimulationFailure) {
        guard !unverified.isEmpty else { return }
        for item in unverified {
            guard let expected = expected[item.operation] else {
                throw SimulationFailure(
                    "nothing is acknowledged before it is committed",
                    "operation \(item.operation) was answered and is not in the committed log")
            }
            guard expected == item.result else {
                throw SimulationFailure(
                    "answers",
                    "operation \(item.operation) was answered \(item.result), the model says \(expected)")
            }
        }
        unverified.removeAll(keepingCapacity: true)
    }

    var acknowledgedCount: Int { acknowledged.count }
}
