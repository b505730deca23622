import KeyValueCore

/// etcd's data model once more, in the plainest way that is right: what production's machine is compared
/// with, entry by entry. It knows what the simulator's clients ask for, and keeps all history.
struct ReferenceStore {
    struct Lease: Equatable {
        let timeToLiveSeconds: Int64
        let generation: UInt64
        /// In order.
        var keys: [[UInt8]] = []
    }

    private(set) var revision: Int64 = 1
    private(set) var compactRevision: Int64 = -1
    /// What changed at each revision, in order; a deletion has version zero. Nothing at 0 and 1.
    private(set) var changes: [[KeyValue]] = [[], []]
    private(set) var leases: [LeaseID: Lease] = [:]
    private var leaseGeneration: UInt64 = 0
    /// In order.
    private var keys: [[UInt8]] = []
    /// All versions of each key, oldest first.
    private var versions: [[UInt8]: [KeyValue]] = [:]
    private var pending: [KeyValue] = []

    // MARK: Reading

    func newest(_ key: [UInt8], at main: Int64 = .max) -> KeyValue? {
        guard let found = versions[key]?.last(where: { $0.modRevision <= main }), found.version > 0 else {
            return nil
        }
        return found
    }

    /// The pairs of a range as they were after `main`, by key.
    func range(_ range: KeyRange, at main: Int64 = .max) -> [KeyValue] {
        if range.isSingleKey { return newest(range.key, at: main).map { [$0] } ?? [] }
        return keys.filter { range.contains($0) }.compactMap { newest($0, at: main) }
    }

    // MARK: Commands

    mutating func apply(_ command: Command) -> Result<CommandResult, KeyValueError> {
        pending = []
        do throws(KeyValueError) {
            switch command {
            case .put(let request):
                let previous = try put(request)
                finish()
                return .success(
                    .put(
                        PutResponse(previous: request.previousKeyValue ? previous : nil, revision: revision)))
            case .deleteRange(let request):
                let deleted = delete(request.range)
                finish()
                return .success(
                    .deleteRange(
                        DeleteRangeResponse(
                            deleted: Int64(deleted.count),
                            previous: request.previousKeyValues ? deleted : [], revision: revision)))
            case .transaction(let request):
                return .success(.transaction(try transaction(request)))
            case .compact(let request):
                guard request.revision > compactRevision else { throw .compacted }
                guard request.revision <= revision else { throw .futureRevision }
                compactRevision = request.revision
                return .success(.compact(revision: revision))
            case .leaseGrant(let id, let seconds):
                guard leases[id] == nil else { throw .leaseExists }
                leaseGeneration += 1
                leases[id] = Lease(timeToLiveSeconds: max(seconds, 1), generation: leaseGeneration)
                let grant = LeaseGrant(
                    id: id, timeToLiveSeconds: max(seconds, 1), generation: leaseGeneration)
                return .success(.leaseGrant(LeaseGrantResponse(lease: grant, revision: revision)))
            case .leaseRevoke(let id, let generation):
                guard let lease = leases[id], generation ?? lease.generation == lease.generation else {
                    throw .leaseNotFound
                }
                leases[id] = nil
                for key in lease.keys { _ = delete(KeyRange(key: key)) }
                finish()
                return .success(.leaseRevoke(revision: revision))
            }
        } catch {
            pending = []
            return .failure(error)
        }
    }

    private mutating func put(_ request: PutRequest) throws(KeyValueError) -> KeyValue? {
        if let lease = request.lease, lease.rawValue != 0, leases[lease] == nil { throw .leaseNotFound }
        let before = newest(request.key)
        let pair = KeyValue(
            key: request.key, value: request.value, createRevision: before?.createRevision ?? revision + 1,
            modRevision: revision + 1, version: (before?.version ?? 0) + 1, lease: request.lease)
        add(pair)
        move(request.key, from: before?.lease, to: request.lease)
        return before
    }

    private mutating func delete(_ range: KeyRange) -> [KeyValue] {
        let found = self.range(range)
        for pair in found {
            add(
                KeyValue(
                    key: pair.key, value: [], createRevision: 0, modRevision: revision + 1, version: 0))
            move(pair.key, from: pair.lease, to: nil)
        }
        return found
    }

    /// Without nested transactions, which the clients do not use.
    private mutating func transaction(
        _ request: TransactionRequest
    ) throws(KeyValueError) -> TransactionResponse {
        let isMet = request.compare.allSatisfy { holds($0) }
        let operations = isMet ? request.success : request.failure
        for case .put(let put) in operations {
            if let lease = put.lease, leases[lease] == nil { throw .leaseNotFound }
        }
        var responses: [OperationResponse] = []
        for operation in operations {
            let visible = pending.isEmpty ? revision : revision + 1
            switch operation {
            case .range(let request):
                let found = range(request.range)
                responses.append(
                    .range(
                        RangeResponse(
                            keyValues: found, more: false, count: Int64(found.count), revision: visible)))
            case .put(let request):
                let previous = try put(request)
                responses.append(
                    .put(
                        PutResponse(
                            previous: request.previousKeyValue ? previous : nil, revision: revision + 1)))
            case .deleteRange(let request):
                let deleted = delete(request.range)
                responses.append(
                    .deleteRange(
                        DeleteRangeResponse(
                            deleted: Int64(deleted.count),
                            previous: request.previousKeyValues ? deleted : [],
                            revision: pending.isEmpty ? revision : revision + 1)))
            case .transaction:
                preconditionFailure("the simulator's clients do not nest transactions")
            }
        }
        finish()
        return TransactionResponse(succeeded: isMet, responses: responses, revision: revision)
    }

    private func holds(_ compare: Compare) -> Bool {
        precondition(compare.range.isSingleKey, "the simulator's clients compare single keys")
        let pair = newest(compare.range.key)
        let order: Int64
        switch compare.target {
        case .version(let number): order = (pair?.version ?? 0) - number
        case .createRevision(let number): order = (pair?.createRevision ?? 0) - number
        case .modRevision(let number): order = (pair?.modRevision ?? 0) - number
        case .lease(let number): order = (pair?.lease?.rawValue ?? 0) - number
        case .value(let value):
            guard let pair else { return false }
            order = pair.value == value ? 0 : pair.value.lexicographicallyPrecedes(value) ? -1 : 1
        }
        return switch compare.result {
        case .equal: order == 0
        case .notEqual: order != 0
        case .greater: order > 0
        case .less: order < 0
        }
    }

    // MARK: Changes

    private mutating func add(_ pair: KeyValue) {
        pending.append(pair)
        if versions[pair.key] == nil {
            let position = keys.firstIndex { pair.key.lexicographicallyPrecedes($0) } ?? keys.count
            keys.insert(pair.key, at: position)
        }
        versions[pair.key, default: []].append(pair)
    }

    private mutating func move(_ key: [UInt8], from old: LeaseID?, to new: LeaseID?) {
        guard old != new else { return }
        if let old { leases[old]?.keys.removeAll { $0 == key } }
        if let new {
            let position =
                leases[new]?.keys.firstIndex { key.lexicographicallyPrecedes($0) } ?? leases[new]?.keys.count
            leases[new]?.keys.insert(key, at: position ?? 0)
        }
    }

    private mutating func finish() {
        guard !pending.isEmpty else { return }
        revision += 1
        changes.append(pending)
        pending = []
    }
}
