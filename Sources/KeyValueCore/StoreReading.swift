/// Ranges.
extension KeyValueStore {
    /// Reads keys at the current or an earlier revision.
    ///
    /// Throws ``KeyValueError/emptyKey``, ``KeyValueError/futureRevision`` or ``KeyValueError/compacted``.
    public func range(_ request: RangeRequest) throws(KeyValueError) -> RangeResponse {
        try range(request, current: revision)
    }

    /// As etcd does it: bounds on revisions and sorting are applied to what was fetched; only when neither an
    /// order nor a bound is given does the limit cut the fetch itself, and that one pair after the limit. (So
    /// a sort target without an order sorts the first `limit + 1` keys only.)
    func range(_ request: RangeRequest, current: Int64) throws(KeyValueError) -> RangeResponse {
        guard !request.range.key.isEmpty else { throw .emptyKey }
        guard request.revision <= current else { throw .futureRevision }
        let main = request.revision <= 0 ? current : request.revision
        guard main >= compactRevision else { throw .compacted }
        if request.countOnly {
            let count = countKeys(in: request.range, at: main, current: current)
            return RangeResponse(keyValues: [], more: false, count: Int64(count), revision: current)
        }
        let limit = request.limit > 0 ? Int(request.limit) : Int.max
        let fetchesAll = request.sortOrder != .none || request.hasBounds || limit == Int.max
        var found: [VersionRecord] = []
        let count = fetch(
            request.range, at: main, current: current, limit: fetchesAll ? Int.max : limit + 1, into: &found)
        if request.hasBounds { found.removeAll { !request.admits($0.keyValue) } }
        Self.sort(&found, request)
        let more = found.count > limit
        if more { found.removeSubrange(limit...) }
        var keyValues = found.map(\.keyValue)
        if request.keysOnly {
            for position in keyValues.indices { keyValues[position].value = [] }
        }
        return RangeResponse(keyValues: keyValues, more: more, count: Int64(count), revision: current)
    }

    /// The newest version of one key, or `nil` where it does not exist.
    public func keyValue(_ key: [UInt8]) -> KeyValue? {
        guard let newest = index[KeyBytes(key)]?.newest, !newest.isDeletion else { return nil }
        return newest.keyValue
    }

    /// Hands out the newest version of the range's keys that exist, in order, until `body` says false.
    func visitNewest(in range: KeyRange, _ body: (VersionRecord) -> Bool) {
        visitHistories(in: range) { history in
            history.newest.isDeletion ? true : body(history.newest)
        }
    }

    func visitHistories(in range: KeyRange, _ body: (KeyHistory) -> Bool) {
        let start = KeyBytes(range.key)
        if range.isSingleKey {
            if let history = index[start] { _ = body(history) }
            return
        }
        if range.isUnbounded {
            index.visit(from: start) { _, history in body(history) }
            return
        }
        let end = KeyBytes(range.rangeEnd)
        index.visit(from: start) { key, history in key < end ? body(history) : false }
    }

    /// Collects the versions that a reader at `main` sees, up to `limit`, and counts all of them.
    private func fetch(
        _ range: KeyRange, at main: Int64, current: Int64, limit: Int, into found: inout [VersionRecord]
    ) -> Int {
        if main >= current {
            visitNewest(in: range) { record in
                found.append(record)
                return found.count < limit
            }
            return found.count < limit ? found.count : countKeys(in: range, at: main, current: current)
        }
        var count = 0
        visitHistories(in: range) { history in
            guard let record = history.version(at: main) else { return true }
            count += 1
            if found.count < limit { found.append(record) }
            return true
        }
        return count
    }

    /// At the current revision without a walk, by the weights in the tree.
    private func countKeys(in range: KeyRange, at main: Int64, current: Int64) -> Int {
        if main >= current, !range.isSingleKey {
            let start = KeyBytes(range.key)
            if range.isUnbounded { return index.weight - index.weight(below: start) }
            let end = KeyBytes(range.rangeEnd)
            return start < end ? index.weight(below: end) - index.weight(below: start) : 0
        }
        var count = 0
        visitHistories(in: range) { history in
            if history.version(at: main) != nil { count += 1 }
            return true
        }
        return count
    }

    /// Equal pairs keep the order of their keys.
    private static func sort(_ records: inout [VersionRecord], _ request: RangeRequest) {
        let isDescending = request.sortOrder == .descending
        func sort(_ isBefore: (KeyValue, KeyValue) -> Bool) {
            // The standard library's sort is stable, though it does not promise so: the position decides.
            let sorted = records.enumerated().sorted { left, right in
                let (first, second) = isDescending ? (right, left) : (left, right)
                if isBefore(first.element.keyValue, second.element.keyValue) { return true }
                if isBefore(second.element.keyValue, first.element.keyValue) { return false }
                return left.offset < right.offset
            }
            records = sorted.map(\.element)
        }
        switch request.sortTarget {
        case .key: if isDescending { records.reverse() }
        case .version: sort { $0.version < $1.version }
        case .createRevision: sort { $0.createRevision < $1.createRevision }
        case .modRevision: sort { $0.modRevision < $1.modRevision }
        case .value: sort { compareBytes($0.value, $1.value) < 0 }
        }
    }
}

extension RangeRequest {
    var hasBounds: Bool {
        minimumModRevision != 0 || maximumModRevision != 0 || minimumCreateRevision != 0
            || maximumCreateRevision != 0
    }

    func admits(_ pair: KeyValue) -> Bool {
        if maximumModRevision != 0, pair.modRevision > maximumModRevision { return false }
        if minimumModRevision != 0, pair.modRevision < minimumModRevision { return false }
        if maximumCreateRevision != 0, pair.createRevision > maximumCreateRevision { return false }
        return minimumCreateRevision == 0 || pair.createRevision >= minimumCreateRevision
    }
}
