import HoldfastSimulation
import Testing

@Suite struct FaultShrinkerTests {
    private func faults(_ count: Int) -> [Fault] {
        (0..<count).map { Fault(.pause, atMicroseconds: UInt64($0), durationMicroseconds: 64_000) }
    }

    /// Fails only with these three together, the second of which must last.
    @Test(arguments: [(3, 17, 40), (0, 1, 2), (5, 62, 63)])
    func theFaultsThatMatterAreFound(_ wanted: (Int, Int, Int)) throws {
        var shrinker = FaultShrinker { faults in
            let times = faults.map(\.atMicroseconds)
            let lasting = faults.first { $0.atMicroseconds == UInt64(wanted.1) }
            return times.contains(UInt64(wanted.0)) && times.contains(UInt64(wanted.2))
                && lasting?.durationMicroseconds ?? 0 >= 16_000
        }
        let shrunk = shrinker.shrink(faults(64))
        let found = try #require(shrunk)
        #expect(found.map(\.atMicroseconds) == [wanted.0, wanted.1, wanted.2].map(UInt64.init))
        #expect(found[1].durationMicroseconds == 16_000)
        #expect(found[0].durationMicroseconds <= 1_000)
        #expect(shrinker.runCount < 200)
    }

    @Test func whatFailsWithoutFaultsNeedsNone() {
        var shrinker = FaultShrinker { _ in true }
        let found = shrinker.shrink(faults(20))
        #expect(found == [])
    }

    @Test func whatDoesNotFailIsNotShortened() {
        var shrinker = FaultShrinker { _ in false }
        let found = shrinker.shrink(faults(20))
        #expect(found == nil)
    }

    @Test func theNumberOfRunsIsBounded() {
        var shrinker = FaultShrinker(maximumRuns: 10) { $0.count > 30 }
        _ = shrinker.shrink(faults(64))
        #expect(shrinker.runCount <= 10)
    }
}
