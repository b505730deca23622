import ConsensusTypes
import Testing

@testable import HoldfastSimulation

@Suite struct EventQueueTests {
    @Test func eventsComeInTheOrderOfTimeAndThenOfAdding() {
        var queue = EventQueue<Int>()
        var random = SeededRandom(seed: 1)
        var expected: [(time: UInt64, order: Int)] = []
        for order in 0..<2_000 {
            let time = random.next(below: 50)
            queue.add(order, at: Instant(nanoseconds: time))
            expected.append((time, order))
        }
        expected.sort { ($0.time, $0.order) < ($1.time, $1.order) }
        for item in expected {
            #expect(queue.nextTime == Instant(nanoseconds: item.time))
            #expect(queue.removeFirst()?.event == item.order)
        }
        #expect(queue.isEmpty && queue.removeFirst() == nil)
    }
}

@Suite struct NodeClockTests {
    @Test(arguments: [0, 500, -500, 200_000, -200_000] as [Int64])
    func aClockShowsWhatItsRateMakes(drift: Int64) {
        var clock = NodeClock(origin: Instant(nanoseconds: 777))
        let start = Instant(nanoseconds: 5_000_000_000)
        clock.setDrift(drift, at: start)
        let before = clock.shown(at: start)
        let after = clock.shown(at: start + .seconds(100))
        #expect(Int64((after - before).nanoseconds) == 100_000_000_000 + 100_000 * drift)
    }

    /// A timer set for what the clock shows finds it shown, and not long since.
    @Test(arguments: [0, 499, -499, 199_999, -199_999] as [Int64])
    func aTimeIsFoundAgain(drift: Int64) {
        var clock = NodeClock(origin: Instant(nanoseconds: 12_345))
        clock.setDrift(drift, at: Instant(nanoseconds: 1_000_000_007))
        var random = SeededRandom(seed: 3)
        for _ in 0..<1_000 {
            let wanted = Instant(nanoseconds: 3_000_000_000 + random.next(below: 1 << 44))
            let shown = clock.shown(at: clock.time(showing: wanted))
            #expect(shown >= wanted)
            #expect((shown - wanted).nanoseconds <= 5)
        }
    }

    @Test func aClockNeverGoesBackWhenItsRateChanges() {
        var clock = NodeClock(origin: .zero)
        var random = SeededRandom(seed: 4)
        var time = Instant(nanoseconds: 1)
        var last = clock.shown(at: time)
        for _ in 0..<1_000 {
            time = time + Interval(nanoseconds: random.next(below: 10_000_000))
            let shown = clock.shown(at: time)
            #expect(shown >= last)
            last = shown
            clock.setDrift(Int64(random.next(below: 400_000)) - 200_000, at: time)
            #expect(clock.shown(at: time) == shown)
        }
    }
}

@Suite struct NetworkTests {
    private func arrivals(
        _ change: (inout SimulatedNetwork.Condition) -> Void, isOrdered: Bool = false, count: Int = 1_000
    ) -> (network: SimulatedNetwork, all: [SimulatedNetwork.Arrivals]) {
        var plan = FaultPlan()
        plan.hasOrderedLinks = isOrdered
        var network = SimulatedNetwork(nodeCount: 3, plan: plan)
        var condition = SimulatedNetwork.Condition()
        change(&condition)
        network.setCondition(from: 0, to: 1, condition)
        var random = SeededRandom(seed: 9)
        var all: [SimulatedNetwork.Arrivals] = []
        for number in 0..<count {
            let now = Instant(nanoseconds: UInt64(number) * 10_000)
            all.append(network.route(from: 0, to: 1, now: now, &random) { 1_000 })
        }
        return (network, all)
    }

    @Test func aCutLinkCarriesNothingInItsDirection() {
        var (network, all) = arrivals { $0.isCut = true }
        #expect(all.allSatisfy { $0.first == nil } && network.lostMessages == 1_000)
        var random = SeededRandom(seed: 1)
        #expect(network.route(from: 1, to: 0, now: .zero, &random) { 1 }.first != nil)
    }

    @Test func lossRepetitionAndReorderingHappenAsOftenAsTheyShould() {
        let (network, all) = arrivals {
            $0.lossPerThousand = 200
            $0.duplicationPerThousand = 100
            $0.reorderingPerThousand = 100
        }
        #expect((100...300).contains(network.lostMessages))
        #expect((40...160).contains(network.duplicatedMessages))
        #expect((40...160).contains(network.reorderedMessages))
        #expect(all.count { $0.second != nil } == network.duplicatedMessages)
    }

    @Test func anOrderedLinkKeepsItsOrder() {
        let (_, all) = arrivals({ _ in }, isOrdered: true)
        let times = all.compactMap(\.first)
        #expect(times.count == 1_000 && times == times.sorted() && Set(times).count == 1_000)
        let unordered = arrivals({ _ in }).all.compactMap(\.first)
        #expect(unordered != unordered.sorted())
    }

    /// 1,000 bytes every 10 microseconds over a link of 10 MB/s: it falls behind, and loses what would wait
    /// too long.
    @Test func aSlowLinkQueuesAndOverflows() throws {
        let (network, all) = arrivals({ $0.bytesPerSecond = 10_000_000 }, isOrdered: true)
        let last = try #require(all.last?.first)
        #expect(last >= Instant(nanoseconds: 1_000 * 100_000))
        #expect(network.lostMessages == 0)
        #expect(arrivals({ $0.bytesPerSecond = 100_000 }).network.lostMessages > 700)
    }
}
