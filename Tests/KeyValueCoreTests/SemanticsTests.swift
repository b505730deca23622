import ConsensusTypes
import Testing

@testable import KeyValueCore

/// etcd's rules one by one; each expectation was seen in etcd 3.4 where its documentation leaves it open.
@Suite struct SemanticsTests {
    @Test func firstWriteIsRevisionTwo() throws {
        var store = KeyValueStore()
        #expect(store.revision == 1)
        #expect(store.compactRevision == -1)
        let response = try store.apply(.put(put("a"))).get()
        #expect(response == .put(PutResponse(previous: nil, revision: 2)))
        #expect(store.keyValue(bytes("a"))?.summary == "a=v c2 m2 v1 l0")
        try store.put("a", "w")
        #expect(store.keyValue(bytes("a"))?.summary == "a=w c2 m3 v2 l0")
    }

    @Test func deletionEndsALife() throws {
        var store = KeyValueStore()
        try store.put("a", "1")
        try store.put("a", "2")
        let result = try store.apply(.deleteRange(delete("a", previous: true))).get()
        guard case .deleteRange(let response) = result else { return #expect(Bool(false)) }
        #expect(response.deleted == 1 && response.revision == 4)
        #expect(response.previous.map(\.summary) == ["a=2 c2 m3 v2 l0"])
        let nothing = try store.apply(.deleteRange(delete("a"))).get()
        #expect(nothing == .deleteRange(DeleteRangeResponse(deleted: 0, previous: [], revision: 4)))
        #expect(store.revision == 4)
        try store.put("a", "3")
        #expect(store.keyValue(bytes("a"))?.summary == "a=3 c5 m5 v1 l0")
        #expect(try store.get("a", at: 3) == ["a=2"])
        #expect(try store.get("a", at: 4) == [])
        #expect(try store.get("a", at: 2) == ["a=1"])
        #expect(try store.get("a", at: 1) == [])
    }

    @Test func oneCommandHasOneRevision() throws {
        var store = KeyValueStore()
        let request = TransactionRequest(success: [
            .put(put("b")), .put(put("a")), .deleteRange(delete("x")),
            .range(RangeRequest(range: range(".."))),
        ])
        let result = try store.apply(.transaction(request)).get()
        #expect(store.revision == 2)
        guard case .transaction(let response) = result else { return #expect(Bool(false)) }
        #expect(response.revision == 2)
        guard case .range(let seen) = response.responses[3] else { return #expect(Bool(false)) }
        #expect(seen.keyValues.map(\.summary) == ["a=v c2 m2 v1 l0", "b=v c2 m2 v1 l0"])
        #expect(seen.revision == 2)
        #expect(
            response.responses[2] == .deleteRange(DeleteRangeResponse(deleted: 0, previous: [], revision: 2)))
        var revisions: [Revision] = []
        store.log.visit { revision, _ in
            revisions.append(revision); return true
        }
        #expect(revisions == [Revision(main: 2, sub: 0), Revision(main: 2, sub: 1)])
        try store.delete("..")
        #expect(store.revision == 3)
        #expect(store.log[Revision(main: 3, sub: 1)]?.keyValue.key == bytes("b"))
    }

    @Test func transactionsThatWriteNothingHaveNoRevision() throws {
        var store = KeyValueStore()
        try store.put("a")
        let readOnly = TransactionRequest(success: [.range(RangeRequest(range: range("a")))])
        #expect(readOnly.isReadOnly)
        #expect(try store.readOnlyTransaction(readOnly).revision == 2)
        let empty = TransactionRequest(success: [.deleteRange(delete("zzz"))])
        #expect(!empty.isReadOnly)
        let result = try store.apply(.transaction(empty)).get()
        #expect(result.revision == 2)
        #expect(store.revision == 2)
    }

    /// etcd 3.4.23 answers a nested comparison from the state before the transaction, and leaves the nested
    /// header empty.
    @Test func nestedConditionsSeeTheStateBefore() throws {
        var store = KeyValueStore()
        let nested = TransactionRequest(
            compare: [Compare(range: range("x"), result: .greater, target: .version(0))],
            success: [.put(put("y"))], failure: [.range(RangeRequest(range: range("x")))])
        let request = TransactionRequest(success: [.put(put("x")), .transaction(nested)])
        let result = try store.apply(.transaction(request)).get()
        guard case .transaction(let outer) = result, case .transaction(let inner) = outer.responses[1],
            case .range(let seen) = inner.responses[0]
        else { return #expect(Bool(false)) }
        #expect(!inner.succeeded && inner.revision == 0)
        #expect(seen.keyValues.count == 1 && seen.revision == 2)
        #expect(store.keyCount == 1)
    }

    @Test func replaceEverythingInOneRevision() throws {
        var store = KeyValueStore()
        try store.put("a")
        try store.put("b", "old")
        let request = TransactionRequest(success: [.deleteRange(delete("..")), .put(put("b", "new"))])
        try KeyValueStore.validate(.transaction(request))
        _ = try store.apply(.transaction(request)).get()
        #expect(store.keyValue(bytes("b"))?.summary == "b=new c4 m4 v1 l0")
        #expect(try store.get("..", at: 4) == ["b=new"])
        #expect(try store.get("..", at: 3) == ["a=v", "b=old"])
        let all = EventSelection(range: .all, previousKeyValues: true)
        let page = try store.events(from: 4, through: 4, matching: all)
        #expect(page.events.map(\.kind) == [.delete, .delete, .put])
        // The put begins a new life, so etcd gives it no previous pair.
        #expect(page.events.map { $0.previous?.summary } == ["a=v c2 m2 v1 l0", "b=old c3 m3 v1 l0", nil])
    }

    struct CompareCase: Sendable, CustomTestStringConvertible {
        let compare: Compare
        let holds: Bool
        var testDescription: String { "\(compare)" }
    }

    /// The state: a = "m" at revision 2, version 1; b = "n" at 3, then "o" at 4, version 2, on lease 7.
    static let compareCases: [CompareCase] = [
        example("a", .equal, .value([0x6d]), true),
        example("a", .notEqual, .value([0x6d]), false),
        example("a", .greater, .value([0x6c]), true),
        example("a", .less, .value([0x6e]), true),
        example("a", .less, .value([0x6d]), false),
        example("a", .greater, .value([0x6d]), false),
        example("a", .equal, .version(1), true),
        example("b", .equal, .version(2), true),
        example("b", .less, .version(2), false),
        example("b", .equal, .createRevision(3), true),
        example("b", .equal, .modRevision(4), true),
        example("b", .greater, .modRevision(3), true),
        example("b", .equal, .lease(7), true),
        example("a", .equal, .lease(0), true),
        example("b", .notEqual, .lease(0), true),
        example("missing", .equal, .version(0), true),
        example("missing", .equal, .createRevision(0), true),
        example("missing", .equal, .modRevision(0), true),
        example("missing", .equal, .lease(0), true),
        example("missing", .less, .version(1), true),
        example("missing", .greater, .version(0), false),
        example("missing", .equal, .value([]), false),
        example("missing", .notEqual, .value([1]), false),
        example("a..c", .greater, .version(0), true),
        example("a..c", .equal, .version(1), false),
        example("..", .less, .modRevision(5), true),
        example("..", .less, .modRevision(4), false),
        example("x..z", .equal, .version(0), true),
        example("x..z", .notEqual, .value([1]), false),
        example("c..a", .equal, .version(0), true),
    ]

    private static func example(
        _ keys: String, _ result: Compare.Result, _ target: Compare.Target, _ holds: Bool
    ) -> CompareCase {
        CompareCase(compare: Compare(range: range(keys), result: result, target: target), holds: holds)
    }

    @Test(arguments: compareCases)
    func comparisons(_ example: CompareCase) throws {
        var store = KeyValueStore()
        try store.put("a", "m")
        try store.put("b", "n")
        _ = try store.apply(.leaseGrant(id: LeaseID(7), timeToLiveSeconds: 10)).get()
        try store.put("b", "o", lease: 7)
        let request = TransactionRequest(compare: [example.compare])
        #expect(try store.readOnlyTransaction(request).succeeded == example.holds)
    }

    /// q1 (version 3, revisions 2 to 6), q2 (version 2, 3 to 7), q3 (version 1, 4).
    private func queue() throws -> KeyValueStore {
        var store = KeyValueStore()
        for key in ["q1", "q2", "q3", "q1", "q1", "q2"] { try store.put(key, "v-" + key) }
        return store
    }

    private func keys(_ store: KeyValueStore, _ edit: (inout RangeRequest) -> Void) throws -> String {
        var request = RangeRequest(range: range("q..r"))
        edit(&request)
        let response = try store.range(request)
        let names = response.keyValues.map { text($0.key) }.joined(separator: " ")
        return "\(names) count \(response.count)\(response.more ? " more" : "")"
    }

    @Test func limitsCountsAndBounds() throws {
        let store = try queue()
        #expect(try keys(store) { _ in } == "q1 q2 q3 count 3")
        #expect(try keys(store) { $0.limit = 2 } == "q1 q2 count 3 more")
        #expect(try keys(store) { $0.limit = 3 } == "q1 q2 q3 count 3")
        #expect(try keys(store) { $0.limit = -1 } == "q1 q2 q3 count 3")
        #expect(
            try keys(store) {
                $0.countOnly = true; $0.limit = 1
            } == " count 3")
        #expect(
            try keys(store) {
                $0.minimumModRevision = 4; $0.limit = 1
            } == "q1 count 3 more")
        #expect(try keys(store) { $0.minimumModRevision = 7 } == "q2 count 3")
        #expect(try keys(store) { $0.maximumModRevision = 4 } == "q3 count 3")
        #expect(
            try keys(store) {
                $0.minimumCreateRevision = 3; $0.maximumCreateRevision = 3
            } == "q2 count 3")
        #expect(try keys(store) { $0.revision = 3 } == "q1 q2 count 2")
        #expect(
            try keys(store) {
                $0.revision = 3; $0.limit = 1
            } == "q1 count 2 more")
        #expect(try keys(store) { $0.revision = -9 } == "q1 q2 q3 count 3")
    }

    @Test func sorting() throws {
        let store = try queue()
        func sorted(_ order: SortOrder, _ target: SortTarget, limit: Int64 = 0) throws -> String {
            try keys(store) {
                $0.sortOrder = order; $0.sortTarget = target; $0.limit = limit
            }
        }
        #expect(try sorted(.descending, .key) == "q3 q2 q1 count 3")
        #expect(try sorted(.descending, .key, limit: 1) == "q3 count 3 more")
        #expect(try sorted(.ascending, .version) == "q3 q2 q1 count 3")
        #expect(try sorted(.descending, .version, limit: 2) == "q1 q2 count 3 more")
        #expect(try sorted(.descending, .createRevision) == "q3 q2 q1 count 3")
        #expect(try sorted(.ascending, .modRevision) == "q3 q1 q2 count 3")
        #expect(try sorted(.descending, .value) == "q3 q2 q1 count 3")
        // A target without an order ascends, over the first limit + 1 keys only.
        #expect(try sorted(.none, .version, limit: 2) == "q3 q2 count 3 more")
        #expect(try sorted(.none, .version, limit: 1) == "q2 count 3 more")
        #expect(try sorted(.ascending, .version, limit: 1) == "q3 count 3 more")
        var request = RangeRequest(range: range("q.."))
        request.keysOnly = true
        #expect(try store.range(request).keyValues.allSatisfy { $0.value.isEmpty && $0.version > 0 })
    }

    @Test func compactionRules() throws {
        var store = KeyValueStore()
        for value in ["1", "2", "3"] { try store.put("a", value) }
        #expect(throws: KeyValueError.futureRevision) { try store.compact(to: 5) }
        #expect(throws: KeyValueError.futureRevision) { try store.get("a", at: 5) }
        try store.compact(to: 3)
        #expect(throws: KeyValueError.compacted) { try store.compact(to: 3) }
        #expect(throws: KeyValueError.compacted) { try store.compact(to: 2) }
        #expect(throws: KeyValueError.compacted) { try store.get("a", at: 2) }
        #expect(throws: KeyValueError.compacted) { try store.hash(atRevision: 2) }
        #expect(throws: KeyValueError.futureRevision) { try store.hash(atRevision: 5) }
        #expect(try store.get("a", at: 3) == ["a=2"])
        #expect(try store.get("a") == ["a=3"])
        let old = TransactionRequest(success: [.range(RangeRequest(range: range("a"), revision: 2))])
        #expect(throws: KeyValueError.compacted) { try store.readOnlyTransaction(old) }
        let negative = TransactionRequest(success: [.range(RangeRequest(range: range("a"), revision: -2))])
        #expect(throws: KeyValueError.compacted) { try store.readOnlyTransaction(negative) }
        var fresh = KeyValueStore()
        try fresh.compact(to: 0)
        #expect(throws: KeyValueError.compacted) { try fresh.compact(to: 0) }
    }

    /// What happened at the compact revision stays until the next compaction, deletions included.
    @Test func compactingAtADeletion() throws {
        var store = KeyValueStore()
        try store.put("a", "1")
        try store.delete("a")
        try store.compact(to: 3)
        #expect(store.versionCount == 1)
        let all = EventSelection(range: .all)
        #expect(try store.events(from: 3, through: 3, matching: all).events.map(\.kind) == [.delete])
        try store.put("b")
        try store.compact(to: 4)
        #expect(store.versionCount == 1)
        #expect(store.index.count == 1)
    }

    @Test func failedTransactionsChangeNothing() throws {
        var store = KeyValueStore()
        try store.put("a", "1")
        let before = store.observation
        var keep = put("a", "")
        keep.ignoreValue = true
        // Every operation passes alone; only after the delete is the key gone.
        let request = TransactionRequest(success: [
            .put(put("b")), .deleteRange(delete("..")), .put(keep),
        ])
        #expect(store.apply(.transaction(request)) == .failure(.keyNotFound))
        #expect(store.observation == before)
        #expect(store.problem == nil)
        let future = TransactionRequest(success: [
            .put(put("b")), .range(RangeRequest(range: range("a"), revision: 3)),
        ])
        #expect(store.apply(.transaction(future)) == .failure(.futureRevision))
        let noLease = TransactionRequest(success: [.put(put("b")), .put(put("c", lease: 5))])
        #expect(store.apply(.transaction(noLease)) == .failure(.leaseNotFound))
        #expect(store.observation == before)
    }

    @Test func keepingValueOrLease() throws {
        var store = KeyValueStore()
        var request = put("a", "")
        request.ignoreValue = true
        #expect(store.apply(.put(request)) == .failure(.keyNotFound))
        _ = try store.apply(.leaseGrant(id: LeaseID(1), timeToLiveSeconds: 5)).get()
        try store.put("a", "1", lease: 1)
        _ = try store.apply(.put(request)).get()
        #expect(store.keyValue(bytes("a"))?.summary == "a=1 c2 m3 v2 l0")
        try store.put("a", "2", lease: 1)
        request = put("a", "3")
        request.ignoreLease = true
        request.previousKeyValue = true
        guard case .put(let response) = try store.apply(.put(request)).get() else { return }
        #expect(response.previous?.summary == "a=2 c2 m4 v3 l1")
        #expect(store.keyValue(bytes("a"))?.summary == "a=3 c2 m5 v4 l1")
        #expect(store.lease(LeaseID(1))?.keys == [bytes("a")])
    }
}
