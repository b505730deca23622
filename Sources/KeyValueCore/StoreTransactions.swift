/// Transactions, in etcd's three steps: all conditions are evaluated on the state before the transaction,
/// nested ones included; the operations of the chosen branches are checked, before any of them; then they
/// are carried out in order.
extension KeyValueStore {
    /// Answers a transaction that ``TransactionRequest/isReadOnly`` from this state.
    public func readOnlyTransaction(
        _ request: TransactionRequest
    ) throws(KeyValueError) -> TransactionResponse {
        precondition(request.isReadOnly, "a transaction that may write goes through the log")
        var copy = self
        return try copy.applyTransaction(request)
    }

    mutating func applyTransaction(_ request: TransactionRequest) throws(KeyValueError) -> TransactionResponse
    {
        var path: [Bool] = []
        choosePath(request, into: &path)
        let canFailMidway = try check(request, path)
        var changes = ChangeSet(main: revision + 1)
        var position = 0
        guard canFailMidway else {
            var response = try carryOut(request, path, &position, &changes)
            finish(changes)
            response.revision = revision
            return response
        }
        // A put that keeps the present value or lease can still find that an operation before it deleted the
        // key. The copy costs little; what it makes the writes copy, little more.
        let before = self
        do throws(KeyValueError) {
            var response = try carryOut(request, path, &position, &changes)
            finish(changes)
            response.revision = revision
            return response
        } catch {
            self = before
            throw error
        }
    }

    /// The branch taken by the transaction and by each nested one in a branch taken, in the order in which
    /// they are carried out.
    private func choosePath(_ request: TransactionRequest, into path: inout [Bool]) {
        let succeeded = request.compare.allSatisfy(holds)
        path.append(succeeded)
        for case .transaction(let nested) in succeeded ? request.success : request.failure {
            choosePath(nested, into: &path)
        }
    }

    private func holds(_ compare: Compare) -> Bool {
        var isEmpty = true
        var allHold = true
        visitNewest(in: compare.range) { record in
            isEmpty = false
            allHold = compare.holds(for: record.keyValue)
            return allHold
        }
        guard isEmpty else { return allHold }
        if case .value = compare.target { return false }
        return compare.holds(
            for: KeyValue(key: [], value: [], createRevision: 0, modRevision: 0, version: 0))
    }

    /// Every put first, then every range, so that of several errors the one is reported that etcd reports.
    /// True where an operation can still fail once others have been carried out.
    private func check(_ request: TransactionRequest, _ path: [Bool]) throws(KeyValueError) -> Bool {
        var canFailMidway = false
        var position = 0
        try visitChosen(request, path, &position) { operation throws(KeyValueError) in
            guard case .put(let put) = operation else { return }
            if put.key.isEmpty { throw .emptyKey }
            guard put.key.count + put.value.count <= KeyValueLimits.maximumPairSizeBytes else {
                throw .requestTooLarge
            }
            if put.ignoreValue || put.ignoreLease {
                guard keyValue(put.key) != nil else { throw .keyNotFound }
                canFailMidway = true
            }
            try checkLease(of: put)
        }
        position = 0
        try visitChosen(request, path, &position) { operation throws(KeyValueError) in
            switch operation {
            case .range(let range):
                guard !range.range.key.isEmpty else { throw .emptyKey }
                guard range.revision != 0 else { return }
                guard range.revision <= revision else { throw .futureRevision }
                guard range.revision >= compactRevision else { throw .compacted }
            case .deleteRange(let deletion):
                guard !deletion.range.key.isEmpty else { throw .emptyKey }
            case .put, .transaction: return
            }
        }
        return canFailMidway
    }

    /// Hands out the operations that will be carried out, nested ones included.
    private func visitChosen(
        _ request: TransactionRequest, _ path: [Bool], _ position: inout Int,
        _ body: (Operation) throws(KeyValueError) -> Void
    ) throws(KeyValueError) {
        let succeeded = path[position]
        position += 1
        for operation in succeeded ? request.success : request.failure {
            if case .transaction(let nested) = operation {
                try visitChosen(nested, path, &position, body)
            } else {
                try body(operation)
            }
        }
    }

    private mutating func carryOut(
        _ request: TransactionRequest, _ path: [Bool], _ position: inout Int, _ changes: inout ChangeSet
    ) throws(KeyValueError) -> TransactionResponse {
        let succeeded = path[position]
        position += 1
        var responses: [OperationResponse] = []
        for operation in succeeded ? request.success : request.failure {
            switch operation {
            case .range(let range):
                responses.append(.range(try self.range(range, current: changes.visibleRevision)))
            case .put(let put):
                responses.append(.put(try self.put(put, &changes)))
            case .deleteRange(let deletion):
                responses.append(.deleteRange(try deleteRange(deletion, &changes)))
            case .transaction(let nested):
                responses.append(.transaction(try carryOut(nested, path, &position, &changes)))
            }
        }
        return TransactionResponse(succeeded: succeeded, responses: responses, revision: 0)
    }
}

extension Compare {
    func holds(for pair: KeyValue) -> Bool {
        let order: Int
        switch target {
        case .version(let number): order = Self.order(pair.version, number)
        case .createRevision(let number): order = Self.order(pair.createRevision, number)
        case .modRevision(let number): order = Self.order(pair.modRevision, number)
        case .value(let value): order = compareBytes(pair.value, value)
        case .lease(let number): order = Self.order(pair.lease?.rawValue ?? 0, number)
        }
        switch result {
        case .equal: return order == 0
        case .notEqual: return order != 0
        case .greater: return order > 0
        case .less: return order < 0
        }
    }

    private static func order(_ left: Int64, _ right: Int64) -> Int {
        left == right ? 0 : left < right ? -1 : 1
    }
}
