import ConsensusTypes
import KeyValueCore

/// What a client of the key-value service asks for.
enum ClientRequest {
    /// With what the history shows of it, where it does.
    case write(Command, KeyValueInput?)
    /// A linearizable read.
    case read(KeySpan)
    /// A linearizable read under the leader's lease, where there is one.
    case leaseRead(KeySpan)
    /// A read of the node's own state, whatever it is.
    case serializableRead(KeySpan)
    /// A read so many revisions ago.
    case pastRead(KeySpan, behind: Int64)
    case compaction(behind: Int64)
}

/// One client: asks one node at a time for one thing at a time, and remembers what it was told.
///
/// Every write carries its own number, so that the committed log tells how often it was executed.
struct KeyValueClient {
    private static let valuePrefix = Array("operation ".utf8)

    let number: Int
    private var operationCount: UInt64 = 0
    /// The operation under way; an answer to an earlier one is late and says nothing to the client any more.
    private(set) var current: UInt64?
    private(set) var startedAt = Instant.zero
    /// Which node it asks, until it is disappointed.
    var home: Int

    init(number: Int, home: Int) {
        self.number = number
        self.home = home
    }

    /// The number of the next operation, unique in the run.
    mutating func begin(at time: Instant) -> UInt64 {
        operationCount += 1
        let operation = UInt64(number + 1) << 40 | operationCount
        current = operation
        startedAt = time
        return operation
    }

    mutating func end() {
        current = nil
    }

    // MARK: Drawing

    static func draw(
        _ operation: UInt64, _ mixture: ClientMixture, _ random: inout SeededRandom
    ) -> ClientRequest {
        let key = Array("key\(random.next(below: mixture.keyCount))".utf8)
        var draw = random.next(
            below: mixture.put + mixture.delete + mixture.transaction + mixture.read
                + mixture.serializableRead + mixture.pastRead + mixture.compaction + mixture.leaseRead)
        func isDrawn(_ weight: UInt64) -> Bool {
            if draw < weight { return true }
            draw -= weight
            return false
        }
        if isDrawn(mixture.put) {
            let value = self.value(operation, mixture, &random)
            return .write(.put(PutRequest(key: key, value: value)), .put(key, value))
        }
        if isDrawn(mixture.delete) { return deletion(operation, key) }
        if isDrawn(mixture.transaction) {
            return transaction(operation, key, value(operation, mixture, &random), mixture, &random)
        }
        let isOfAll = random.chance(1, outOf: 8)
        let span = isOfAll ? KeySpan(key: Array("key".utf8), end: Array("kez".utf8)) : KeySpan(key: key)
        if isDrawn(mixture.read) { return .read(span) }
        if isDrawn(mixture.leaseRead) { return .leaseRead(span) }
        if isDrawn(mixture.serializableRead) { return .serializableRead(span) }
        if isDrawn(mixture.pastRead) { return .pastRead(span, behind: Int64(random.next(below: 40))) }
        return .compaction(behind: Int64(random.next(below: 40)))
    }

    private static func value(
        _ operation: UInt64, _ mixture: ClientMixture, _ random: inout SeededRandom
    ) -> [UInt8] {
        valuePrefix + Array(String(operation).utf8)
            + Array(repeating: 0x2e, count: Int(random.next(below: mixture.valueSizeBytes)))
    }

    /// A delete leaves no value behind, so its number stands in the end of its range, which holds no other
    /// key.
    private static func deletion(_ operation: UInt64, _ key: [UInt8]) -> ClientRequest {
        let end = key + [0] + valuePrefix + Array(String(operation).utf8)
        let request = DeleteRangeRequest(
            range: KeyRange(key: key, rangeEnd: end), previousKeyValues: operation % 2 == 0)
        return .write(.deleteRange(request), .delete(key))
    }

    private static func transaction(
        _ operation: UInt64, _ key: [UInt8], _ value: [UInt8], _ mixture: ClientMixture,
        _ random: inout SeededRandom
    ) -> ClientRequest {
        let version = Int64(random.next(below: 6))
        let compare = Compare(range: KeyRange(key: key), result: .greater, target: .version(version))
        let condition = KeyValueCondition(key: key, .greater, .version(version))
        let put = PutRequest(key: key, value: value)
        let putStep = KeyValueStep.put(key: key, value: value)
        let get = Operation.range(RangeRequest(range: KeyRange(key: key)))
        let getStep = KeyValueStep.get(KeySpan(key: key))
        switch random.next(below: 3) {
        case 0:
            // A counter is raised, or begun: what must not be retried.
            return .write(
                .transaction(
                    TransactionRequest(compare: [compare], success: [.put(put)], failure: [get])),
                .transaction(conditions: [condition], success: [putStep], failure: [getStep]))
        case 1:
            return .write(
                .transaction(
                    TransactionRequest(compare: [compare], success: [get, .put(put)], failure: [.put(put)])),
                .transaction(conditions: [condition], success: [getStep, putStep], failure: [putStep]))
        default:
            let other = Array("key\(random.next(below: mixture.keyCount))".utf8)
            guard other != key else { return .write(.put(put), .put(key, value)) }
            let deletion = DeleteRangeRequest(range: KeyRange(key: other))
            return .write(
                .transaction(
                    TransactionRequest(
                        compare: [compare], success: [.put(put), .deleteRange(deletion)], failure: [.put(put)]
                    )),
                .transaction(
                    conditions: [condition], success: [putStep, .delete(KeySpan(key: other))],
                    failure: [putStep]))
        }
    }

    // MARK: Recognising

    /// The number that a command carries, where a client of the simulation made it.
    static func operation(of command: Command) -> UInt64? {
        switch command {
        case .put(let put): return number(in: put.value[...])
        case .deleteRange(let deletion):
            let start = deletion.range.key.count + 1
            guard deletion.range.rangeEnd.count > start else { return nil }
            return number(in: deletion.range.rangeEnd[start...])
        case .transaction(let transaction):
            for operation in transaction.success {
                if case .put(let put) = operation { return number(in: put.value[...]) }
            }
            return nil
        case .leaseGrant(let id, _): return UInt64(id.rawValue)
        case .leaseRevoke, .compact: return nil
        }
    }

    private static func number(in value: ArraySlice<UInt8>) -> UInt64? {
        guard value.starts(with: valuePrefix) else { return nil }
        var result: UInt64 = 0
        for byte in value.dropFirst(valuePrefix.count) {
            guard (0x30...0x39).contains(byte) else { break }
            result = result * 10 + UInt64(byte - 0x30)
        }
        return result
    }
}
