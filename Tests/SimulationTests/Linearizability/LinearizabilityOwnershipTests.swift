import HoldfastSimulation
import Testing

@Suite struct LinearizabilityOwnershipTests {
    // MARK: Leases

    private func broken(
        _ observations: [LeaseHistory.Observation], endedAt: Int64? = nil, driftPerThousand: Int64 = 0
    ) -> String? {
        let lease = LeaseHistory(name: "a lease", timeToLiveNanoseconds: 10_000, observations: observations)
        let checker = LeaseChecker(driftPerThousand: driftPerThousand, maximumExtensionNanoseconds: 5_000)
        return checker.check(lease, endedAt: endedAt)?.property
    }

    private let granted = LeaseHistory.Observation.granted(invokedAt: 1_000, returnedAt: 1_500)

    @Test func aLeaseLastsItsTime() {
        #expect(broken([granted, .seenGone(invokedAt: 10_999, returnedAt: 11_000)]) == nil)
        #expect(
            broken([granted, .seenGone(invokedAt: 10_000, returnedAt: 10_999)]) == "leases last their time")
        let gone = LeaseHistory.Observation.seenGone(invokedAt: 10_000, returnedAt: 10_999)
        #expect(broken([granted, gone], driftPerThousand: 10) == nil)
    }

    @Test func aRenewalGivesTheFullTimeAgain() {
        let renewed = LeaseHistory.Observation.renewed(invokedAt: 9_000, returnedAt: 9_500)
        #expect(
            broken([granted, renewed, .seenGone(invokedAt: 18_000, returnedAt: 18_999)])
                == "leases last their time")
        #expect(broken([granted, renewed, .seenGone(invokedAt: 18_000, returnedAt: 19_000)]) == nil)
    }

    @Test func aRevokedLeaseMayGoAtOnce() {
        let gone = LeaseHistory.Observation.seenGone(invokedAt: 3_000, returnedAt: 3_500)
        #expect(broken([granted, .revoked(invokedAt: 2_000), gone]) == nil)
        #expect(broken([granted, .revoked(invokedAt: 4_000), gone]) == "leases last their time")
    }

    @Test func aLeaseStaysGone() {
        let gone = LeaseHistory.Observation.seenGone(invokedAt: 20_000, returnedAt: 20_500)
        #expect(
            broken([granted, gone, .seenAlive(invokedAt: 21_000, returnedAt: 21_500)]) == "leases stay gone")
        #expect(
            broken([granted, gone, .renewed(invokedAt: 21_000, returnedAt: 21_500)]) == "leases stay gone")
    }

    @Test func aLeaseEnds() {
        #expect(broken([granted, .seenAlive(invokedAt: 16_501, returnedAt: 16_600)]) == "leases end")
        #expect(broken([granted, .seenAlive(invokedAt: 16_500, returnedAt: 16_600)]) == nil)
        #expect(broken([granted], endedAt: 17_000) == "leases end")
        #expect(broken([granted], endedAt: 16_000) == nil)
        #expect(broken([granted]) == nil)
    }

    // MARK: Locks

    private func broken(
        grants: [(client: Int, token: Int64, revision: Int64)], ends: [(Int64, Int64)] = [],
        writes: [(client: Int, token: Int64, revision: Int64)] = []
    ) -> String? {
        var lock = LockHistory()
        lock.grants = grants.map { .init(client: $0.client, token: $0.token, revision: $0.revision) }
        lock.ends = ends.map { .init(token: $0.0, revision: $0.1) }
        lock.guardedWrites = writes.map { .init(client: $0.client, token: $0.token, revision: $0.revision) }
        return LockChecker.check(lock)?.property
    }

    @Test func aLockHasOneOwner() {
        #expect(broken(grants: [(0, 2, 2), (1, 3, 7)], ends: [(2, 7)]) == nil)
        #expect(broken(grants: [(0, 2, 2), (1, 3, 6)], ends: [(2, 7)]) == "a lock has one owner")
        #expect(broken(grants: [(0, 2, 2), (1, 3, 6)]) == "a lock has one owner")
        #expect(broken(grants: [(0, 2, 2), (1, 2, 3)]) == "a token has one owner")
        #expect(broken(grants: [(0, 2, 2), (0, 2, 4)]) == nil)
    }

    /// Scenario 28: granted after the session had ended.
    @Test func aLockIsNotGrantedToWhoIsGone() {
        #expect(broken(grants: [(0, 2, 9)], ends: [(2, 7)]) == "a lock has one owner")
    }

    /// Scenario 40: the owner was paused past its time to live, and writes late.
    @Test func aLateWriteIsFenced() {
        let grants = [(0, 2, 2), (1, 3, 7)] as [(client: Int, token: Int64, revision: Int64)]
        #expect(broken(grants: grants, ends: [(2, 7)], writes: [(0, 2, 5), (1, 3, 8)]) == nil)
        #expect(broken(grants: grants, ends: [(2, 7)], writes: [(1, 3, 8), (0, 2, 9)]) == "tokens fence")
        #expect(broken(grants: [(0, 2, 2)], writes: [(1, 3, 8), (0, 2, 9)]) == "tokens fence")
        #expect(broken(grants: [(0, 2, 2)], writes: [(0, 2, 2)]) == "tokens fence")
        #expect(broken(grants: [(0, 2, 2)], ends: [(2, 7)], writes: [(0, 2, 9)]) == "tokens fence")
    }

    // MARK: Queues

    private func broken(
        added: [(UInt8, Int64?)], taken: [(UInt8, Int64, Int64)], unknown: Int = 0, isDrained: Bool = true
    ) -> String? {
        var queue = QueueHistory()
        queue.additions = added.map { .init(item: [$0.0], revision: $0.1) }
        queue.removals = taken.map { .init(client: 0, item: [$0.0], createRevision: $0.1, revision: $0.2) }
        queue.unknownRemovalCount = unknown
        queue.isDrained = isDrained
        return QueueChecker.check(queue)?.property
    }

    @Test func aQueueGivesEachItemOnceAndInOrder() {
        let added = [(1, 2), (2, 3), (3, nil)] as [(UInt8, Int64?)]
        #expect(broken(added: added, taken: [(1, 2, 5), (2, 3, 6)]) == nil)
        #expect(broken(added: added, taken: [(1, 2, 5), (2, 3, 6), (3, 4, 7)]) == nil)
        #expect(broken(added: added, taken: [(2, 3, 5), (1, 2, 6)]) == "items come in order")
        #expect(broken(added: added, taken: [(1, 2, 5), (1, 2, 6), (2, 3, 7)]) == "items are taken once")
        #expect(broken(added: added, taken: [(9, 2, 5)]) == "items come from somewhere")
        #expect(broken(added: added, taken: [(1, 3, 5)]) == "items are added once")
    }

    @Test func aQueueLosesNothing() {
        let added = [(1, 2), (2, 3)] as [(UInt8, Int64?)]
        #expect(broken(added: added, taken: [(1, 2, 5)]) == "no item is lost")
        #expect(broken(added: added, taken: [(1, 2, 5)], unknown: 1) == nil)
        #expect(broken(added: added, taken: [(1, 2, 5)], isDrained: false) == nil)
    }
}
