import ConsensusTypes
import Testing

@testable import Holdfast

@Suite struct LeadershipMonitorTests {
    static let own = NodeID(1)
    static let margin = Interval.milliseconds(100)

    static func at(_ milliseconds: Int) -> Instant {
        Instant(nanoseconds: 1_000_000_000) + .milliseconds(milliseconds)
    }

    static func leading(_ term: UInt64, until: Int?, isEstablished: Bool = true) -> LeadershipObservation {
        LeadershipObservation(
            term: Term(term), isLeading: true, leader: own, leaseDeadline: until.map(at),
            isEstablished: isEstablished)
    }

    static func following(_ term: UInt64, _ leader: UInt64?) -> LeadershipObservation {
        LeadershipObservation(term: Term(term), isLeading: false, leader: leader.map(NodeID.init))
    }

    static var monitor: LeadershipMonitor { LeadershipMonitor(node: own, noticeMargin: margin) }

    @Test func gainNeedsALeaseAndAnEntryOfTheTerm() {
        var monitor = Self.monitor
        #expect(monitor.look(Self.leading(1, until: nil), now: Self.at(0)) == [])
        #expect(monitor.look(Self.leading(1, until: 1_000, isEstablished: false), now: Self.at(0)) == [])
        #expect(monitor.look(Self.leading(1, until: 90), now: Self.at(0)) == [])
        #expect(monitor.look(Self.leading(1, until: 100), now: Self.at(0)) == [])
        #expect(
            monitor.look(Self.leading(1, until: 101), now: Self.at(0))
                == [.gained(Term(1), certainUntil: Self.at(101))])
    }

    @Test func aLeaseThatIsRenewedGoesOn() {
        var monitor = Self.monitor
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        #expect(monitor.nextLook == Self.at(900))
        #expect(monitor.look(Self.leading(1, until: 1_000), now: Self.at(50)) == [])
        #expect(
            monitor.look(Self.leading(1, until: 1_500), now: Self.at(899))
                == [.renewed(certainUntil: Self.at(1_500))])
        #expect(monitor.nextLook == Self.at(1_400))
    }

    @Test func lossIsToldBeforeTheLeaseEnds() {
        var monitor = Self.monitor
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        #expect(monitor.look(Self.leading(1, until: 1_000), now: Self.at(899)) == [])
        #expect(
            monitor.look(Self.leading(1, until: 1_000), now: monitor.nextLook)
                == [.lost(Term(1), .uncertain)])
        #expect(!monitor.isToldLeading)
        #expect(monitor.nextLook == .distantFuture)
        #expect(monitor.look(Self.leading(1, until: 1_000), now: Self.at(1_000)) == [])
    }

    @Test func aLeaderThatProvesToLeadStillGainsAnew() {
        var monitor = Self.monitor
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(950))
        #expect(
            monitor.look(Self.leading(1, until: 1_700), now: Self.at(960))
                == [.gained(Term(1), certainUntil: Self.at(1_700))])
    }

    @Test func aShorterLeaseIsToldToo() {
        var monitor = Self.monitor
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        #expect(
            monitor.look(Self.leading(1, until: 600), now: Self.at(10))
                == [.renewed(certainUntil: Self.at(600))])
        #expect(
            monitor.look(Self.leading(1, until: 100), now: Self.at(20)) == [.lost(Term(1), .uncertain)])
    }

    @Test func lossIsToldAtOnceWhereAnotherMayTakeOver() {
        for (seen, expected) in [
            (Self.following(2, 2), [LeadershipMonitor.Notice.lost(Term(1), .replaced), .follows(NodeID(2))]),
            (Self.following(2, nil), [.lost(Term(1), .replaced)]),
            (Self.leading(1, until: nil), [.lost(Term(1), .replaced)]),
        ] {
            var monitor = Self.monitor
            _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
            #expect(monitor.look(seen, now: Self.at(10)) == expected)
        }
    }

    /// A turn in which the node lost one term and won a later one.
    @Test func betweenTwoTermsThereIsALoss() {
        var monitor = Self.monitor
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        #expect(
            monitor.look(Self.leading(3, until: 1_000), now: Self.at(10))
                == [.lost(Term(1), .replaced), .gained(Term(3), certainUntil: Self.at(1_000))])
    }

    @Test func whoeverResignsIsNotToldToLead() {
        var monitor = Self.monitor
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        monitor.isResigning = true
        #expect(monitor.look(Self.leading(1, until: 1_000), now: Self.at(10)) == [.lost(Term(1), .resigned)])
        #expect(monitor.look(Self.leading(1, until: 1_100), now: Self.at(110)) == [])
        monitor.isResigning = false
        #expect(
            monitor.look(Self.leading(1, until: 1_200), now: Self.at(210))
                == [.gained(Term(1), certainUntil: Self.at(1_200))])
    }

    @Test func aNodeThatStopsLosesWhatItHas() {
        var monitor = Self.monitor
        #expect(monitor.stop() == [])
        _ = monitor.look(Self.leading(1, until: 1_000), now: Self.at(0))
        #expect(monitor.stop() == [.lost(Term(1), .stopped)])
        _ = monitor.look(Self.following(2, 3), now: Self.at(10))
        #expect(monitor.stop() == [.follows(nil)])
    }

    @Test func leadersOfOthersAreTold() {
        var monitor = Self.monitor
        #expect(monitor.look(Self.following(1, 2), now: Self.at(0)) == [.follows(NodeID(2))])
        #expect(monitor.look(Self.following(1, 2), now: Self.at(1)) == [])
        #expect(monitor.look(Self.following(2, nil), now: Self.at(2)) == [.follows(nil)])
        #expect(monitor.look(Self.following(2, 3), now: Self.at(3)) == [.follows(NodeID(3))])
        // Of itself a node says nothing until it is certain.
        #expect(monitor.look(Self.leading(3, until: nil), now: Self.at(4)) == [.follows(nil)])
    }

    /// Every sequence of three events out of those that matter, at times that matter.
    @Test func theRulesHoldForEverySequence() {
        let events: [(Int) -> LeadershipObservation] = [
            { Self.leading(1, until: $0 + 300) }, { Self.leading(1, until: $0 + 100) },
            { Self.leading(1, until: $0 - 50) }, { Self.leading(2, until: $0 + 300) },
            { _ in Self.leading(1, until: nil) },
            { _ in Self.leading(3, until: 4_000, isEstablished: false) },
            { _ in Self.following(2, 2) }, { _ in Self.following(2, nil) },
        ]
        let pauses = [0, 1, 150, 250, 400]
        let choices = events.count * pauses.count
        for sequence in 0..<(choices * choices * choices) {
            var monitor = Self.monitor
            var rest = sequence
            var now = 1_000
            var certainUntil: Instant?
            for _ in 0..<3 {
                let choice = rest % choices
                rest /= choices
                let next = now + pauses[choice / events.count]
                // The timer.
                if monitor.nextLook <= Self.at(next) {
                    let due = monitor.nextLook
                    #expect(certainUntil.map { due + Self.margin <= $0 } ?? false)
                    let notices = monitor.look(Self.following(2, nil), now: due)
                    #expect(notices.first.map(Self.isLoss) ?? false)
                    certainUntil = nil
                }
                now = next
                for notice in monitor.look(events[choice % events.count](now), now: Self.at(now)) {
                    switch notice {
                    case .gained(_, let until):
                        #expect(certainUntil == nil, "a gain without a loss before it, in \(sequence)")
                        #expect(until > Self.at(now) + Self.margin, "a gain without a lease, in \(sequence)")
                        certainUntil = until
                    case .renewed(let until):
                        #expect(certainUntil != nil, "a renewal of nothing, in \(sequence)")
                        certainUntil = until
                    case .lost:
                        #expect(certainUntil != nil, "a loss of nothing, in \(sequence)")
                        certainUntil = nil
                    case .follows:
                        #expect(certainUntil == nil, "another leads beside this node, in \(sequence)")
                    }
                }
                #expect(monitor.isToldLeading == (certainUntil != nil))
            }
        }
    }

    private static func isLoss(_ notice: LeadershipMonitor.Notice) -> Bool {
        if case .lost = notice { true } else { false }
    }
}
