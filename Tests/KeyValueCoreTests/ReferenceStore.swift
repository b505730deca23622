@testable import KeyValueCore

/// etcd's data model in the plainest way: a list of all versions that ever were, searched from end to end.
/// Compaction only forbids to look. Written without regard to the store's own code.
struct ReferenceStore {
    struct Version {
        var pair: KeyValue
        var isDeletion: Bool
    }

    var versions: [Version] = []
    var revision: Int64 = 1
    var compactRevision: Int64 = -1
    var leases: [Int64: (timeToLive: Int64, generation: UInt64)] = [:]
    var generation: UInt64 = 0

    func latest(_ key: [UInt8], at main: Int64) -> KeyValue? {
        guard
            let found = versions.last(where: { $0.pair.key == key && $0.pair.modRevision <= main }),
            !found.isDeletion
        else { return nil }
        return found.pair
    }

    func pairs(_ range: KeyRange, at main: Int64) -> [KeyValue] {
        var keys: [[UInt8]] = []
        for version in versions where !keys.contains(version.pair.key) { keys.append(version.pair.key) }
        return
            keys
            .filter { key in
                if range.rangeEnd.isEmpty { return key == range.key }
                if key.lexicographicallyPrecedes(range.key) { return false }
                return range.rangeEnd == [0] || key.lexicographicallyPrecedes(range.rangeEnd)
            }
            .sorted { $0.lexicographicallyPrecedes($1) }
            .compactMap { latest($0, at: main) }
    }

    mutating func apply(_ command: Command) -> Result<CommandResult, KeyValueError> {
        let before = self
        do throws(KeyValueError) {
            return .success(try carryOut(command))
        } catch {
            self = before
            return .failure(error)
        }
    }

    private mutating func carryOut(_ command: Command) throws(KeyValueError) -> CommandResult {
        let main = revision + 1
        let start = versions.count
        switch command {
        case .put(let request):
            if let lease = request.lease, leases[lease.rawValue] == nil { throw .leaseNotFound }
            let response = try put(request, main)
            revision = main
            return .put(response)
        case .deleteRange(let request):
            let response = delete(request, main, start)
            if versions.count > start { revision = main }
            return .deleteRange(response)
        case .transaction(let request):
            let plan = self.plan(request)
            try check(plan.operations)
            var response = try run(plan, main, start)
            if versions.count > start { revision = main }
            response.revision = revision
            return .transaction(response)
        case .compact(let request):
            if request.revision <= compactRevision { throw .compacted }
            if request.revision > revision { throw .futureRevision }
            compactRevision = request.revision
            return .compact(revision: revision)
        case .leaseGrant(let id, let timeToLive):
            if id.rawValue == 0 { throw .leaseNotFound }
            if timeToLive > 9_000_000_000 { throw .leaseTimeToLiveTooLarge }
            if leases[id.rawValue] != nil { throw .leaseExists }
            generation += 1
            leases[id.rawValue] = (max(1, timeToLive), generation)
            let grant = LeaseGrant(id: id, timeToLiveSeconds: max(1, timeToLive), generation: generation)
            return .leaseGrant(LeaseGrantResponse(lease: grant, revision: revision))
        case .leaseRevoke(let id, let generation):
            guard let lease = leases[id.rawValue], generation == nil || generation == lease.generation else {
                throw .leaseNotFound
            }
            leases[id.rawValue] = nil
            for pair in pairs(.all, at: revision) where pair.lease == id {
                _ = delete(DeleteRangeRequest(range: KeyRange(key: pair.key)), main, start)
            }
            if versions.count > start { revision = main }
            return .leaseRevoke(revision: revision)
        }
    }

    private mutating func put(_ request: PutRequest, _ main: Int64) throws(KeyValueError) -> PutResponse {
        let old = latest(request.key, at: main)
        if request.ignoreValue || request.ignoreLease, old == nil { throw .keyNotFound }
        let pair = KeyValue(
            key: request.key, value: request.ignoreValue ? old!.value : request.value,
            createRevision: old?.createRevision ?? main, modRevision: main, version: (old?.version ?? 0) + 1,
            lease: request.ignoreLease ? old!.lease : request.lease)
        versions.append(Version(pair: pair, isDeletion: false))
        return PutResponse(previous: request.previousKeyValue ? old : nil, revision: main)
    }

    private mutating func delete(_ request: DeleteRangeRequest, _ main: Int64, _ start: Int)
        -> DeleteRangeResponse
    {
        let old = pairs(request.range, at: main)
        for pair in old {
            let marker = KeyValue(key: pair.key, value: [], createRevision: 0, modRevision: main, version: 0)
            versions.append(Version(pair: marker, isDeletion: true))
        }
        return DeleteRangeResponse(
            deleted: Int64(old.count), previous: request.previousKeyValues ? old : [],
            revision: versions.count > start ? main : main - 1)
    }

    /// A transaction whose conditions have been decided.
    struct Plan {
        var succeeded: Bool
        var operations: [(Operation, Plan?)]
    }

    func plan(_ request: TransactionRequest) -> Plan {
        let succeeded = request.compare.allSatisfy { compare in
            let found = pairs(compare.range, at: revision)
            if found.isEmpty {
                if case .value = compare.target { return false }
                let zero = KeyValue(key: [], value: [], createRevision: 0, modRevision: 0, version: 0)
                return satisfies(zero, compare)
            }
            return found.allSatisfy { satisfies($0, compare) }
        }
        let chosen = succeeded ? request.success : request.failure
        return Plan(
            succeeded: succeeded,
            operations: chosen.map { operation in
                if case .transaction(let nested) = operation { return (operation, plan(nested)) }
                return (operation, nil)
            })
    }

    private func satisfies(_ pair: KeyValue, _ compare: Compare) -> Bool {
        func decide<Number: Comparable>(_ left: Number, _ right: Number) -> Bool {
            switch compare.result {
            case .equal: left == right
            case .notEqual: left != right
            case .greater: left > right
            case .less: left < right
            }
        }
        switch compare.target {
        case .version(let number): return decide(pair.version, number)
        case .createRevision(let number): return decide(pair.createRevision, number)
        case .modRevision(let number): return decide(pair.modRevision, number)
        case .lease(let number): return decide(pair.lease?.rawValue ?? 0, number)
        case .value(let value):
            let order = pair.value == value ? 0 : pair.value.lexicographicallyPrecedes(value) ? -1 : 1
            return decide(order, 0)
        }
    }

    private func check(_ operations: [(Operation, Plan?)]) throws(KeyValueError) {
        let all = flattened(operations)
        for case .put(let request) in all {
            if request.ignoreValue || request.ignoreLease, latest(request.key, at: revision) == nil {
                throw .keyNotFound
            }
            if let lease = request.lease, leases[lease.rawValue] == nil { throw .leaseNotFound }
        }
        for case .range(let request) in all where request.revision != 0 {
            if request.revision > revision { throw .futureRevision }
            if request.revision < compactRevision { throw .compacted }
        }
    }

    private func flattened(_ operations: [(Operation, Plan?)]) -> [Operation] {
        operations.flatMap { operation, plan in plan.map { flattened($0.operations) } ?? [operation] }
    }

    private mutating func run(
        _ plan: Plan, _ main: Int64, _ start: Int
    ) throws(KeyValueError) -> TransactionResponse {
        var responses: [OperationResponse] = []
        for (operation, nested) in plan.operations {
            switch operation {
            case .range(let request):
                responses.append(
                    .range(try range(request, current: versions.count > start ? main : main - 1)))
            case .put(let request): responses.append(.put(try put(request, main)))
            case .deleteRange(let request): responses.append(.deleteRange(delete(request, main, start)))
            case .transaction: responses.append(.transaction(try run(nested!, main, start)))
            }
        }
        return TransactionResponse(succeeded: plan.succeeded, responses: responses, revision: 0)
    }

    func range(_ request: RangeRequest, current: Int64? = nil) throws(KeyValueError) -> RangeResponse {
        let current = current ?? revision
        let main = request.revision <= 0 ? current : request.revision
        if main > current { throw .futureRevision }
        if main < compactRevision { throw .compacted }
        let all = pairs(request.range, at: main)
        if request.countOnly {
            return RangeResponse(keyValues: [], more: false, count: Int64(all.count), revision: current)
        }
        var found = all
        let isBounded =
            [
                request.minimumModRevision, request.maximumModRevision, request.minimumCreateRevision,
                request.maximumCreateRevision,
            ] != [0, 0, 0, 0]
        if request.limit > 0, request.sortOrder == .none, !isBounded {
            found = Array(found.prefix(Int(request.limit) + 1))
        }
        found = found.filter { pair in
            (request.minimumModRevision == 0 || pair.modRevision >= request.minimumModRevision)
                && (request.maximumModRevision == 0 || pair.modRevision <= request.maximumModRevision)
                && (request.minimumCreateRevision == 0
                    || pair.createRevision >= request.minimumCreateRevision)
                && (request.maximumCreateRevision == 0
                    || pair.createRevision <= request.maximumCreateRevision)
        }
        found = sorted(found, request)
        let more = request.limit > 0 && found.count > request.limit
        if more { found = Array(found.prefix(Int(request.limit))) }
        if request.keysOnly { for position in found.indices { found[position].value = [] } }
        return RangeResponse(keyValues: found, more: more, count: Int64(all.count), revision: current)
    }

    /// By insertion, which keeps equal pairs in the order of their keys.
    private func sorted(_ pairs: [KeyValue], _ request: RangeRequest) -> [KeyValue] {
        func isBefore(_ left: KeyValue, _ right: KeyValue) -> Bool {
            switch request.sortTarget {
            case .key: left.key.lexicographicallyPrecedes(right.key)
            case .version: left.version < right.version
            case .createRevision: left.createRevision < right.createRevision
            case .modRevision: left.modRevision < right.modRevision
            case .value: left.value.lexicographicallyPrecedes(right.value)
            }
        }
        var result: [KeyValue] = []
        for pair in pairs {
            let position =
                result.firstIndex { other in
                    request.sortOrder == .descending ? isBefore(other, pair) : isBefore(pair, other)
                } ?? result.count
            result.insert(pair, at: position)
        }
        return result
    }

    /// The events from `first` on.
    func events(from first: Int64, matching selection: EventSelection) -> [WatchEvent] {
        versions.filter { version in
            version.pair.modRevision >= first && selection.range.contains(version.pair.key)
                && (version.isDeletion ? selection.includesDeletes : selection.includesPuts)
        }.map { version in
            let pair = version.pair
            var previous: KeyValue?
            if selection.previousKeyValues, pair.modRevision - 1 >= compactRevision,
                pair.createRevision != pair.modRevision
            {
                previous = latest(pair.key, at: pair.modRevision - 1)
            }
            return WatchEvent(kind: version.isDeletion ? .delete : .put, keyValue: pair, previous: previous)
        }
    }
}
