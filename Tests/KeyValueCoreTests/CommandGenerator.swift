import ConsensusTypes

@testable import KeyValueCore

/// Random commands over few keys, leases and revisions, so that they meet often.
struct CommandGenerator {
    var random: SeededRandom
    var revision: Int64 = 1
    var compactRevision: Int64 = -1
    var liveLeases: [LeaseGrant] = []

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
    }

    mutating func pick(_ bound: Int) -> Int { Int(random.next(below: UInt64(bound))) }

    mutating func key() -> [UInt8] {
        let letters = bytes("abcde")
        return pick(3) == 0 ? [letters[pick(5)], letters[pick(5)]] : [letters[pick(5)]]
    }

    mutating func value() -> [UInt8] { bytes(["", "x", "y", "long value of some bytes"][pick(4)]) }

    mutating func range() -> KeyRange {
        switch pick(6) {
        case 0: KeyRange(key: [0], rangeEnd: [0])
        case 1: KeyRange(key: key(), rangeEnd: [0])
        case 2, 3: KeyRange(key: key(), rangeEnd: key())
        default: KeyRange(key: key())
        }
    }

    mutating func leaseID() -> LeaseID { LeaseID(Int64(pick(4)) + (pick(30) == 0 ? 0 : 1)) }

    mutating func put() -> PutRequest {
        let mode = pick(12)
        return PutRequest(
            key: key(), value: mode == 0 ? [] : value(), lease: mode != 1 && pick(4) == 0 ? leaseID() : nil,
            previousKeyValue: pick(2) == 0, ignoreValue: mode == 0, ignoreLease: mode == 1)
    }

    mutating func rangeRequest() -> RangeRequest {
        var request = RangeRequest(range: range())
        request.limit = pick(3) == 0 ? Int64(pick(5)) - 1 : 0
        if pick(3) == 0 { request.revision = revision + 1 - Int64(pick(12)) }
        if pick(3) == 0 {
            request.sortOrder = SortOrder(rawValue: UInt8(pick(3)))!
            request.sortTarget = SortTarget(rawValue: UInt8(pick(5)))!
        }
        request.keysOnly = pick(6) == 0
        request.countOnly = pick(6) == 0
        if pick(4) == 0 { request.minimumModRevision = max(0, revision - Int64(pick(10))) }
        if pick(6) == 0 { request.maximumModRevision = max(0, revision - Int64(pick(10))) }
        if pick(6) == 0 { request.minimumCreateRevision = max(0, revision - Int64(pick(20))) }
        if pick(6) == 0 { request.maximumCreateRevision = max(0, revision - Int64(pick(20))) }
        return request
    }

    mutating func compare() -> Compare {
        let target: Compare.Target
        switch pick(5) {
        case 0: target = .version(Int64(pick(4)))
        case 1: target = .createRevision(max(0, revision - Int64(pick(10))))
        case 2: target = .modRevision(max(0, revision - Int64(pick(10))))
        case 3: target = .value(value())
        default: target = .lease(Int64(pick(3)))
        }
        return Compare(range: range(), result: Compare.Result(rawValue: UInt8(pick(4)))!, target: target)
    }

    mutating func transaction(depth: Int = 0) -> TransactionRequest {
        var request = TransactionRequest()
        for _ in 0..<pick(3) { request.compare.append(compare()) }
        for _ in 0..<pick(4) { request.success.append(operation(depth)) }
        for _ in 0..<pick(4) { request.failure.append(operation(depth)) }
        return request
    }

    mutating func operation(_ depth: Int) -> Operation {
        switch pick(depth < 3 ? 8 : 7) {
        case 0, 1: .range(rangeRequest())
        case 2, 3, 4: .put(put())
        case 5, 6: .deleteRange(DeleteRangeRequest(range: range(), previousKeyValues: pick(2) == 0))
        default: .transaction(transaction(depth: depth + 1))
        }
    }

    mutating func command() -> Command {
        switch pick(40) {
        case 0..<20: .put(put())
        case 20..<26: .deleteRange(DeleteRangeRequest(range: range(), previousKeyValues: pick(2) == 0))
        case 26..<34: .transaction(transaction())
        case 34: .compact(CompactRequest(revision: revision + 2 - Int64(pick(12)), physical: pick(2) == 0))
        case 35, 36, 37:
            .leaseGrant(id: leaseID(), timeToLiveSeconds: pick(20) == 0 ? 9_000_000_001 : Int64(pick(30)))
        default: .leaseRevoke(leaseID(), generation: pick(3) == 0 ? UInt64(pick(9)) : nil)
        }
    }

    /// What the next command may refer to.
    mutating func observe(_ store: KeyValueStore) {
        revision = store.revision
        compactRevision = store.compactRevision
    }
}
