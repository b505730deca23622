import KeyValueCore

// Answers as the linearizability checker wants them.
extension KeyValue {
    var observed: ObservedPair {
        ObservedPair(
            key: key, value: value, createRevision: createRevision, modRevision: modRevision,
            version: version)
    }
}

extension CommandResult {
    var observed: KeyValueOutput {
        switch self {
        case .put(let put): KeyValueOutput(revision: put.revision, results: [.put])
        case .deleteRange(let deletion):
            KeyValueOutput(revision: deletion.revision, results: [.deleted(count: deletion.deleted)])
        case .transaction(let transaction):
            KeyValueOutput(
                revision: transaction.revision, succeeded: transaction.succeeded,
                results: transaction.responses.map(\.observed))
        case .compact(let revision), .leaseRevoke(let revision):
            KeyValueOutput(revision: revision, results: [])
        case .leaseGrant(let grant): KeyValueOutput(revision: grant.revision, results: [])
        }
    }
}

extension OperationResponse {
    fileprivate var observed: KeyValueStepResult {
        switch self {
        case .range(let range): .pairs(range.keyValues.map(\.observed))
        case .put: .put
        case .deleteRange(let deletion): .deleted(count: deletion.deleted)
        case .transaction: preconditionFailure("the simulator's clients do not nest transactions")
        }
    }
}
