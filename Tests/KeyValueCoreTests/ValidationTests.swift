import Testing

@testable import KeyValueCore

@Suite struct ValidationTests {
    private func problem(_ command: Command, maximumOperations: Int = 128) -> KeyValueError? {
        do throws(KeyValueError) {
            let limits = KeyValueLimits(maximumOperations: maximumOperations)
            try KeyValueStore.validate(command, limits: limits)
            return nil
        } catch { return error }
    }

    private func problem(_ success: [Operation], _ failure: [Operation] = []) -> KeyValueError? {
        problem(.transaction(TransactionRequest(success: success, failure: failure)))
    }

    private func nested(_ success: [Operation], _ failure: [Operation] = []) -> Operation {
        .transaction(TransactionRequest(success: success, failure: failure))
    }

    private func puts(_ key: String) -> Operation { .put(put(key)) }

    private func deletes(_ notation: String) -> Operation { .deleteRange(delete(notation)) }

    @Test func singleRequests() {
        #expect(problem(.put(put("a"))) == nil)
        #expect(problem(.put(put(""))) == .emptyKey)
        #expect(
            problem(.deleteRange(DeleteRangeRequest(range: KeyRange(key: [], rangeEnd: [1])))) == .emptyKey)
        var request = put("a", "v")
        request.ignoreValue = true
        #expect(problem(.put(request)) == .valueProvided)
        request.value = []
        #expect(problem(.put(request)) == nil)
        request.lease = LeaseID(4)
        request.ignoreLease = true
        #expect(problem(.put(request)) == .leaseProvided)
        #expect(throws: KeyValueError.emptyKey) {
            try KeyValueStore.validate(RangeRequest(range: KeyRange(key: [])))
        }
        #expect(
            problem(.leaseGrant(id: LeaseID(1), timeToLiveSeconds: 9_000_000_001)) == .leaseTimeToLiveTooLarge
        )
        #expect(problem(.leaseGrant(id: LeaseID(1), timeToLiveSeconds: 9_000_000_000)) == nil)
    }

    @Test func emptyKeysInTransactions() {
        let compare = Compare(range: KeyRange(key: []), result: .equal, target: .version(0))
        #expect(problem(.transaction(TransactionRequest(compare: [compare]))) == .emptyKey)
        #expect(problem([puts("")]) == .emptyKey)
        #expect(
            problem([], [deletes("a"), nested([.range(RangeRequest(range: KeyRange(key: [])))])]) == .emptyKey
        )
    }

    @Test func numberOfOperations() {
        func list(_ count: Int) -> [Operation] { (0..<count).map { puts("k\($0)") } }
        #expect(problem(list(128)) == nil)
        #expect(problem(list(129)) == .tooManyOperations)
        #expect(problem([], list(129)) == .tooManyOperations)
        let compare = Compare(range: range("a"), result: .equal, target: .version(0))
        let compares = TransactionRequest(compare: Array(repeating: compare, count: 129))
        #expect(problem(.transaction(compares)) == .tooManyOperations)
        // What the parent's longest list leaves of 128.
        #expect(problem([nested(list(127))]) == nil)
        #expect(problem([nested(list(128))]) == .tooManyOperations)
        #expect(problem([nested(list(100))], Array(list(29))) == .tooManyOperations)
        #expect(problem([nested(list(99))], Array(list(29))) == nil)
    }

    @Test func noKeyTwice() {
        #expect(problem([puts("a"), puts("b")]) == nil)
        #expect(problem([puts("a"), puts("a")]) == .duplicateKey)
        #expect(problem([], [puts("a"), puts("a")]) == .duplicateKey)
        #expect(problem([puts("a")], [puts("a")]) == nil)
        #expect(problem([puts("a"), deletes("a")]) == .duplicateKey)
        #expect(problem([deletes("a..c"), puts("b")]) == .duplicateKey)
        #expect(problem([deletes("a..c"), puts("c")]) == nil)
        #expect(problem([deletes("a"), deletes("a..c")]) == nil)
        // etcd lets a delete without an end stand beside any put.
        #expect(problem([deletes(".."), puts("b")]) == nil)
    }

    /// As seen in etcd 3.4.23.
    @Test func noKeyTwiceInNestedTransactions() {
        #expect(problem([nested([puts("a")]), puts("a")]) == .duplicateKey)
        #expect(problem([nested([puts("a")], [puts("a")])]) == nil)
        #expect(problem([nested([puts("a")], [puts("b")]), puts("b")]) == .duplicateKey)
        #expect(problem([nested([puts("a")]), nested([puts("a")])]) == .duplicateKey)
        #expect(problem([nested([puts("a")]), nested([], [puts("a")])]) == .duplicateKey)
        #expect(problem([nested([puts("a")]), deletes("a")]) == .duplicateKey)
        #expect(problem([nested([deletes("a")]), puts("a")]) == .duplicateKey)
        #expect(problem([nested([puts("a")], [deletes("a")])]) == nil)
        #expect(problem([nested([deletes("s")]), nested([puts("s")])]) == .duplicateKey)
        #expect(problem([nested([puts("s")]), nested([deletes("s")])]) == nil)
        #expect(problem([nested([nested([nested([puts("a")])])]), puts("a")]) == .duplicateKey)
    }

    @Test func whatNeedsSpace() {
        #expect(Command.put(put("a")).needsSpace)
        #expect(Command.leaseGrant(id: LeaseID(1), timeToLiveSeconds: 1).needsSpace)
        #expect(!Command.deleteRange(delete("a")).needsSpace)
        #expect(!Command.compact(CompactRequest(revision: 1)).needsSpace)
        #expect(!Command.leaseRevoke(LeaseID(1)).needsSpace)
        #expect(!Command.transaction(TransactionRequest(success: [deletes("a")])).needsSpace)
        #expect(Command.transaction(TransactionRequest(failure: [nested([], [puts("a")])])).needsSpace)
    }
}
