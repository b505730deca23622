import ConsensusTypes
import HoldfastSimulation
import Testing

@testable import HoldfastChaos

/// What watches tell, and what it says of leases.
@Suite struct WatchAndLeaseTests {
    private func event(_ revision: Int64, _ key: String = "a", _ value: String? = "v") -> HistoryEvent {
        HistoryEvent(
            revision: revision, key: key,
            pair: value.map {
                HistoryPair(value: $0, createRevision: 1, modRevision: revision, version: 1)
            })
    }

    @Test func watchesThatAgree() {
        let log = EventLog()
        for revision: Int64 in 1...3 {
            #expect(log.take(event(revision), position: Int(revision) - 1, from: "one"))
        }
        for revision: Int64 in 1...4 {
            #expect(log.take(event(revision), position: Int(revision) - 1, from: "two"))
        }
        #expect(log.violations == [])
        #expect(log.entries.map(\.event.revision) == [1, 2, 3, 4])
    }

    @Test func aMissingChangeIsFound() {
        let log = EventLog()
        for revision: Int64 in 1...3 { log.take(event(revision), position: Int(revision) - 1, from: "one") }
        #expect(log.take(event(1), position: 0, from: "two"))
        #expect(!log.take(event(3), position: 1, from: "two"))
        #expect(log.violations.count == 1)
    }

    @Test func aRepeatedOrAnEarlierChangeIsFound() {
        let log = EventLog()
        log.take(event(1), position: 0, from: "one")
        log.take(event(2), position: 1, from: "one")
        #expect(!log.take(event(1), position: 2, from: "one"))
        #expect(log.violations.count == 1)
    }

    @Test func anotherValueIsFound() {
        let log = EventLog()
        log.take(event(1), position: 0, from: "one")
        #expect(!log.take(event(1, "a", "w"), position: 0, from: "two"))
    }

    // MARK: Leases

    private let second: Int64 = 1_000_000_000

    private func violations(
        goneAt: Int64?, renewedAt: Int64 = 20, isRevoked: Bool = false, endedAt: Int64 = 1_000
    ) -> [String] {
        var observations: [LeaseHistory.Observation] = [
            .granted(invokedAt: 10 * second, returnedAt: 11 * second),
            .renewed(invokedAt: renewedAt * second, returnedAt: (renewedAt + 1) * second),
        ]
        if isRevoked { observations.append(.revoked(invokedAt: (renewedAt + 1) * second)) }
        let lease = LeaseRecord(
            key: "l", id: 1,
            history: LeaseHistory(
                name: "l", timeToLiveNanoseconds: 3 * second, observations: observations))
        var entries = [
            EventLog.Entry(event: event(1, "l"), seenAt: Instant(nanoseconds: UInt64(11 * second)))
        ]
        if let goneAt {
            entries.append(
                EventLog.Entry(
                    event: event(2, "l", nil), seenAt: Instant(nanoseconds: UInt64(goneAt * second))))
        }
        return LeaseCheck.violations(
            [lease], entries, endedAt: Instant(nanoseconds: UInt64(endedAt * second)))
    }

    @Test func leasesLastTheirTime() {
        #expect(violations(goneAt: 23) == [])
        #expect(violations(goneAt: 22).count == 1)
        #expect(violations(goneAt: 22, isRevoked: true) == [])
        // Renewed when it was gone already.
        #expect(violations(goneAt: 14).count == 1)
    }

    @Test func leasesEnd() {
        #expect(violations(goneAt: nil).count == 1)
        // Too early to say.
        #expect(violations(goneAt: nil, endedAt: 24) == [])
    }

    @Test func aLeasesKeyMustHaveBeenThere() {
        let lease = LeaseRecord(
            key: "l", id: 1, history: LeaseHistory(name: "l", timeToLiveNanoseconds: 3 * second))
        #expect(LeaseCheck.violations([lease], [], endedAt: Instant(nanoseconds: 1)).count == 1)
    }
}
