import ConsensusTypes
import KeyValueCore

/// One client: asks one node at a time for one thing at a time, and remembers what it was told.
///
/// Every write carries its own number in its value, so that the committed log tells how often it was
/// executed.
struct SimulatedClient {
    /// What a write was told of its outcome.
    enum Outcome: Hashable {
        case acknowledged(revision: Int64)
        /// Refused for certain, or never executed.
        case failed
        case unknown
    }

    let number: Int
    private(set) var operationCount: UInt64 = 0
    /// The operation under way; an answer to an earlier one is late and says nothing to the client any more.
    private(set) var current: UInt64?

    init(number: Int) {
        self.number = number
    }

    /// The number of the next operation, unique in the run.
    mutating func begin() -> UInt64 {
        operationCount += 1
        let operation = UInt64(number + 1) << 40 | operationCount
        current = operation
        return operation
    }

    mutating func end() {
        current = nil
    }

    /// A random write on a small set of keys.
    static func write(_ operation: UInt64, _ random: inout SeededRandom) -> Command {
        let key = Array("key\(random.next(below: 20))".utf8)
        let value =
            Array("operation \(operation)".utf8) + Array(repeating: 0x2e, count: Int(random.next(below: 64)))
        let put = PutRequest(key: key, value: value)
        switch random.next(below: 10) {
        case 0:
            // A delete leaves no value behind, so a second key carries the number.
            let deletion = DeleteRangeRequest(range: KeyRange(key: key))
            let mark = PutRequest(key: Array("deletions".utf8), value: value)
            return .transaction(
                TransactionRequest(compare: [], success: [.deleteRange(deletion), .put(mark)], failure: []))
        case 1:
            let compare = Compare(
                range: KeyRange(key: key), result: .greater, target: .version(Int64(random.next(below: 5))))
            return .transaction(
                TransactionRequest(
                    compare: [compare], success: [.put(put)],
                    failure: [.put(PutRequest(key: Array("refusals".utf8), value: value))]))
        default:
            return .put(put)
        }
    }

    /// The number that a command carries, where a client of the simulation made it.
    static func operation(of command: Command) -> UInt64? {
        switch command {
        case .put(let put):
            return number(in: put.value)
        case .transaction(let transaction):
            for operation in transaction.success {
                if case .put(let put) = operation { return number(in: put.value) }
            }
            return nil
        default:
            return nil
        }
    }

    private static func number(in value: [UInt8]) -> UInt64? {
        let prefix = Array("operation ".utf8)
        guard value.starts(with: prefix) else { return nil }
        var result: UInt64 = 0
        for byte in value[prefix.count...] {
            guard (0x30...0x39).contains(byte) else { break }
            result = result * 10 + UInt64(byte - 0x30)
        }
        return result
    }
}
