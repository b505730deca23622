/// What is checked before a request is proposed, so that the log holds only commands that make sense. As in
/// etcd, these checks look at the request alone and not at the state.
extension KeyValueStore {
    public static func validate(
        _ command: Command, limits: KeyValueLimits = KeyValueLimits()
    ) throws(KeyValueError) {
        switch command {
        case .put(let request): try validate(request)
        case .deleteRange(let request): try validate(request)
        case .transaction(let request): try validate(request, limits: limits)
        case .compact, .leaseRevoke: break
        case .leaseGrant(_, let timeToLiveSeconds):
            guard timeToLiveSeconds <= KeyValueLimits.maximumTimeToLiveSeconds else {
                throw .leaseTimeToLiveTooLarge
            }
        }
    }

    public static func validate(_ request: RangeRequest) throws(KeyValueError) {
        guard !request.range.key.isEmpty else { throw .emptyKey }
    }

    /// A transaction, whether it is to be proposed or, being read-only, answered from the state.
    public static func validate(
        _ request: TransactionRequest, limits: KeyValueLimits = KeyValueLimits()
    ) throws(KeyValueError) {
        try validateOperations(request, maximum: limits.maximumOperations, depth: 1)
        _ = try WriteIntervals(request.success)
        _ = try WriteIntervals(request.failure)
    }

    private static func validate(_ request: PutRequest) throws(KeyValueError) {
        guard !request.key.isEmpty else { throw .emptyKey }
        guard !request.ignoreValue || request.value.isEmpty else { throw .valueProvided }
        guard !request.ignoreLease || request.lease == nil else { throw .leaseProvided }
        guard request.key.count + request.value.count <= KeyValueLimits.maximumPairSizeBytes else {
            throw .requestTooLarge
        }
    }

    private static func validate(_ request: DeleteRangeRequest) throws(KeyValueError) {
        guard !request.range.key.isEmpty else { throw .emptyKey }
    }

    /// A nested transaction may hold what its parents' largest lists leave of the maximum.
    private static func validateOperations(
        _ request: TransactionRequest, maximum: Int, depth: Int
    ) throws(KeyValueError) {
        let largest = max(request.compare.count, request.success.count, request.failure.count)
        guard largest <= maximum, depth <= KeyValueLimits.maximumNestingDepth else {
            throw .tooManyOperations
        }
        for condition in request.compare where condition.range.key.isEmpty {
            throw .emptyKey
        }
        for branch in [request.success, request.failure] {
            for operation in branch {
                switch operation {
                case .range(let range): try validate(range)
                case .put(let put): try validate(put)
                case .deleteRange(let deletion): try validate(deletion)
                case .transaction(let nested):
                    try validateOperations(nested, maximum: maximum - largest, depth: depth + 1)
                }
            }
        }
    }
}

/// What one branch of a transaction puts and deletes, for etcd's rule that no key is put twice and none put
/// that the same branch deletes.
///
/// As etcd reads the rule: the two branches of a nested transaction exclude each other and may overlap; a
/// nested transaction's puts are checked against the deletes of its parent and of the nested ones before it,
/// but not of those after it; and a delete "from this key on" never conflicts, so that a transaction can
/// replace everything. Where a put and a delete of one key do share a revision, they take effect in order.
private struct WriteIntervals {
    /// In order; ``putSet`` answers whether one is there.
    private var puts: [KeyBytes] = []
    private var putSet: Set<KeyBytes> = []
    private var deletes: [KeyRange] = []
    private var deletedRanges = IntervalTree()
    private var deletedKeys: Set<KeyBytes> = []

    init(_ operations: [Operation]) throws(KeyValueError) {
        for case .deleteRange(let request) in operations {
            addDelete(request.range)
        }
        for case .transaction(let nested) in operations {
            let success = try WriteIntervals(nested.success)
            let failure = try WriteIntervals(nested.failure)
            for key in success.puts { try addPut(key) }
            for key in failure.puts where !success.putSet.contains(key) { try addPut(key) }
            for range in success.deletes { addDelete(range) }
            for range in failure.deletes { addDelete(range) }
        }
        for case .put(let request) in operations {
            try addPut(KeyBytes(request.key))
        }
    }

    private mutating func addPut(_ key: KeyBytes) throws(KeyValueError) {
        guard putSet.insert(key).inserted, !deletedKeys.contains(key), !deletedRanges.contains(key.bytes)
        else {
            throw .duplicateKey
        }
        puts.append(key)
    }

    private mutating func addDelete(_ range: KeyRange) {
        if range.isSingleKey {
            deletedKeys.insert(KeyBytes(range.key))
        } else if !range.isUnbounded {
            deletedRanges.insert(range, id: UInt64(deletes.count))
        }
        deletes.append(range)
    }
}
