import ConsensusTypes
import Testing

@testable import KeyValueCore

@Suite struct LeaseTests {
    private func grant(_ store: inout KeyValueStore, _ id: Int64, _ seconds: Int64 = 10) throws -> LeaseGrant
    {
        let result = try store.apply(.leaseGrant(id: LeaseID(id), timeToLiveSeconds: seconds)).get()
        guard case .leaseGrant(let response) = result else { throw KeyValueError.leaseNotFound }
        return response.lease
    }

    @Test func grantsAndTheirErrors() throws {
        var store = KeyValueStore()
        #expect(throws: KeyValueError.leaseNotFound) { try grant(&store, 0) }
        #expect(throws: KeyValueError.leaseTimeToLiveTooLarge) { try grant(&store, 1, 9_000_000_001) }
        #expect(try grant(&store, -5, 9_000_000_000).timeToLiveSeconds == 9_000_000_000)
        #expect(try grant(&store, 3, -7).timeToLiveSeconds == 1)
        #expect(throws: KeyValueError.leaseExists) { try grant(&store, 3) }
        #expect(store.leaseIDs.map(\.rawValue) == [-5, 3])
        #expect(store.revision == 1)
        #expect(store.apply(.put(put("a", lease: 9))) == .failure(.leaseNotFound))
    }

    @Test func revokingDeletesTheKeysInOneRevision() throws {
        var store = KeyValueStore()
        _ = try grant(&store, 1)
        _ = try grant(&store, 2)
        for key in ["c", "a", "b", "d", "e"] { try store.put(key, lease: 1) }
        try store.put("d", lease: 2)
        try store.put("e")
        #expect(store.lease(LeaseID(1))?.keys == [bytes("a"), bytes("b"), bytes("c")])
        let result = try store.apply(.leaseRevoke(LeaseID(1))).get()
        #expect(result == .leaseRevoke(revision: 9))
        let events = try store.events(from: 9, through: 9, matching: EventSelection(range: .all)).events
        #expect(events.map { text($0.keyValue.key) } == ["a", "b", "c"])
        #expect(events.allSatisfy { $0.kind == .delete })
        #expect(try store.get("..") == ["d=v", "e=v"])
        #expect(store.apply(.leaseRevoke(LeaseID(1))) == .failure(.leaseNotFound))
        try store.delete("d")
        #expect(store.lease(LeaseID(2))?.keys == [])
        #expect(try store.apply(.leaseRevoke(LeaseID(2))).get() == .leaseRevoke(revision: 10))
        #expect(store.leaseCount == 0)
        #expect(store.problem == nil)
    }

    /// An expiry that is proposed twice must not take a lease granted anew between the two.
    @Test func expiryOfAnEarlierLeaseSparesALaterOne() throws {
        var store = KeyValueStore()
        let first = try grant(&store, 1)
        let expiry = Command.leaseRevoke(first.id, generation: first.generation)
        _ = try store.apply(expiry).get()
        let second = try grant(&store, 1)
        #expect(second.generation > first.generation)
        try store.put("a", lease: 1)
        #expect(store.apply(expiry) == .failure(.leaseNotFound))
        #expect(try store.get("a") == ["a=v"])
        // Generations go on after a snapshot.
        var restored = try store.restored()
        #expect(try grant(&restored, 4).generation == second.generation + 1)
    }
}

@Suite struct LeaseClockTests {
    private func lease(_ id: Int64, _ seconds: Int64 = 10, generation: UInt64 = 1) -> LeaseGrant {
        LeaseGrant(id: LeaseID(id), timeToLiveSeconds: seconds, generation: generation)
    }

    private func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }

    @Test func expiresAndRenews() {
        var clock = LeaseClock()
        clock.promote([], extendingBy: .zero, now: at(0))
        clock.granted(lease(1, 10), now: at(0))
        clock.granted(lease(2, 5), now: at(0))
        #expect(clock.nextDeadline == at(5))
        #expect(clock.expired(at: at(4), limit: 10).isEmpty)
        #expect(clock.renew(LeaseID(2), now: at(4)) == 5)
        #expect(clock.remaining(LeaseID(2), now: at(5)) == .seconds(4))
        #expect(clock.expired(at: at(9), limit: 10).map(\.id.rawValue) == [2])
        #expect(clock.renew(LeaseID(2), now: at(9)) == nil)
        #expect(clock.renew(LeaseID(1), now: at(10)) == nil)
        #expect(clock.remaining(LeaseID(1), now: at(11)) == .zero)
        #expect(clock.renew(LeaseID(3), now: at(1)) == nil)
        #expect(clock.remaining(LeaseID(3), now: at(1)) == nil)
    }

    @Test func listsAgainUntilGone() {
        var clock = LeaseClock(retryInterval: .seconds(2))
        clock.promote((1...5).map { lease($0, 1) }, extendingBy: .zero, now: at(0))
        #expect(clock.expired(at: at(1), limit: 3).map(\.id.rawValue) == [1, 2, 3])
        #expect(clock.nextDeadline == at(1))
        #expect(clock.expired(at: at(1), limit: 3).map(\.id.rawValue) == [4, 5])
        #expect(clock.expired(at: at(1), limit: 3).isEmpty)
        #expect(clock.nextDeadline == at(3))
        clock.revoked(LeaseID(2))
        #expect(clock.expired(at: at(3), limit: 10).map(\.id.rawValue) == [1, 3, 4, 5])
        for id in 1...5 { clock.revoked(LeaseID(Int64(id))) }
        #expect(clock.nextDeadline == nil)
        #expect(clock.count == 0)
    }

    @Test func aNewLeaderExtendsAndAnOldOneIsSilent() {
        var clock = LeaseClock()
        #expect(clock.renew(LeaseID(1), now: at(0)) == nil)
        clock.granted(lease(1), now: at(0))
        #expect(clock.nextDeadline == nil)
        clock.promote([lease(1, 10)], extendingBy: .seconds(3), now: at(100))
        #expect(clock.remaining(LeaseID(1), now: at(100)) == .seconds(13))
        // Renewing never takes time away.
        #expect(clock.renew(LeaseID(1), now: at(101)) == 10)
        #expect(clock.nextDeadline == at(113))
        clock.demote()
        #expect(clock.expired(at: at(1_000), limit: 10).isEmpty)
        #expect(clock.renew(LeaseID(1), now: at(101)) == nil)
        #expect(!clock.isActive)
        clock.promote([lease(1, 9_000_000_000)], extendingBy: .seconds(3), now: at(200))
        #expect(clock.expired(at: at(1_000_000), limit: 10).isEmpty)
    }

    @Test func aLeaseGrantedAnewStartsAnew() {
        var clock = LeaseClock()
        clock.promote([lease(1, 5)], extendingBy: .zero, now: at(0))
        #expect(clock.expired(at: at(5), limit: 1).map(\.generation) == [1])
        clock.revoked(LeaseID(1))
        clock.granted(lease(1, 5, generation: 2), now: at(6))
        #expect(clock.expired(at: at(10), limit: 9).isEmpty)
        #expect(clock.expired(at: at(11), limit: 9).map(\.generation) == [2])
    }
}
