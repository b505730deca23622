import ConsensusTypes
import Testing

@Suite struct TimeAndIdentifierTests {
    @Test func instantsSaturate() {
        #expect(Instant.distantFuture + .seconds(1) == .distantFuture)
        #expect(Instant.zero - .seconds(1) == .zero)
        #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: 9) == .zero)
        #expect(Instant(nanoseconds: 9) - Instant(nanoseconds: 5) == Interval(nanoseconds: 4))
        #expect(Instant.zero + .milliseconds(1_500) == Instant(nanoseconds: 1_500_000_000))
    }

    @Test func instantsReadAsSeconds() {
        #expect(Instant(nanoseconds: 12_000_034_567).description == "12.000034")
        #expect(Instant.zero.description == "0.000000")
    }

    @Test func intervalsCount() {
        #expect(Interval.seconds(2) == .milliseconds(2_000))
        #expect(Interval.milliseconds(3) == .microseconds(3_000))
        #expect((Interval.milliseconds(7) / 2).milliseconds == 3)
        #expect((Interval.milliseconds(7) * 3 + .microseconds(999)).milliseconds == 21)
    }

    @Test func indexesCount() {
        let index = LogIndex(7)
        #expect(index.next == LogIndex(8) && index.previous == LogIndex(6))
        #expect(index + 3 == LogIndex(10) && index + -7 == .zero)
        #expect(LogIndex(3) - index == -4)
    }

    /// The sequence is part of the contract: a seed must give the same run on every platform and for ever.
    @Test func randomSequenceIsFixed() {
        var random = SeededRandom(seed: 1_234_567)
        // The published test vector of SplitMix64.
        let expected: [UInt64] = [
            6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
        ]
        #expect((0..<5).map { _ in random.next() } == expected)
    }

    @Test func randomNumbersStayBelowTheirBound() {
        var random = SeededRandom(seed: 4)
        var counts = Array(repeating: 0, count: 10)
        for _ in 0..<10_000 { counts[Int(random.next(below: 10))] += 1 }
        #expect(counts.allSatisfy { (800...1_200).contains($0) })
        #expect((0..<100).allSatisfy { _ in random.next(below: 1) == 0 })
        #expect((0..<1_000).count { _ in random.chance(1, outOf: 4) } > 150)
        var split = random.split()
        #expect(split.next() != random.next())
    }
}

@Suite("Rare paths")
struct RarePathTests {
    @Test("Every rare path has a place of its own in a set")
    func places() {
        var set = RarePathSet()
        for path in RarePath.allCases {
            #expect(!set.contains(path))
            set.insert(path)
            #expect(set.contains(path))
        }
        #expect(set.missing.isEmpty)
        #expect(RarePathSet().missing == RarePath.allCases)
    }
}
