import Testing

@testable import HoldfastChaos

/// Which faults come when.
@Suite struct ScheduleTests {
    private func faults(
        _ count: Int, seed: UInt64, kinds: [FaultKind] = FaultKind.allCases, nodes: Int = 3
    ) -> [ScheduledFault] {
        var schedule = FaultSchedule(seed: seed, kinds: kinds, nodeCount: nodes)
        return (0..<count).map { _ in schedule.next() }
    }

    @Test func theSameSeedGivesTheSameFaults() {
        #expect(faults(500, seed: 7) == faults(500, seed: 7))
        #expect(faults(50, seed: 7) != faults(50, seed: 8))
    }

    /// A seed means the same in every version, or a report that names one is worth nothing.
    @Test func aSeedKeepsItsMeaning() {
        #expect(
            faults(4, seed: 42).map(\.description) == [
                "2.0 s: slow-link leader for 1.8 s", "5.8 s: delay leader for 2.0 s",
                "9.4 s: disk-full n3 for 4.5 s", "15.9 s: flap leader for 7.0 s",
            ])
    }

    @Test func onlyTheKindsThatWereAskedFor() {
        let found = Set(faults(200, seed: 1, kinds: [.cut, .slowDisk]).map(\.kind))
        #expect(found == [.cut, .slowDisk])
        #expect(Set(faults(500, seed: 1).map(\.kind)) == Set(FaultKind.allCases))
    }

    @Test(arguments: [3, 5]) func valuesAreWithinTheirBounds(nodes: Int) {
        let found = faults(2_000, seed: 3, nodes: nodes)
        var overlaps = 0
        var end = 0
        for (earlier, later) in zip(found, found.dropFirst()) {
            #expect(later.startMilliseconds > earlier.startMilliseconds)
            #expect(later.number == earlier.number + 1)
        }
        for fault in found {
            if fault.startMilliseconds < end {
                overlaps += 1
            } else {
                #expect(end == 0 || fault.startMilliseconds >= end + FaultSchedule.leastQuiet)
            }
            end = max(end, fault.startMilliseconds + fault.durationMilliseconds)
            #expect((1..<nodes).contains(fault.peerDistance))
            #expect((100...10_000).contains(fault.durationMilliseconds))
            #expect(fault.bytesPerSecond >= 4_000 && fault.periodMilliseconds >= 200)
            #expect(fault.kind != .pause || (1_000...10_000).contains(fault.durationMilliseconds))
            if case .node(let node) = fault.target { #expect((0..<nodes).contains(node)) }
        }
        #expect((200...600).contains(overlaps))
        #expect(found.contains { $0.target == .leader })
        for node in 0..<nodes { #expect(found.contains { $0.target == .node(node) }) }
    }

    @Test func namesOfFaults() throws {
        #expect(try FaultKind.list("kill,one-way,kill") == [.kill, .oneWay])
        #expect(throws: ChaosFailure.self) { try FaultKind.list("kill,bite") }
        #expect(throws: ChaosFailure.self) { try FaultKind.list(",") }
    }

    @Test func conditionsOfFaults() {
        for fault in faults(500, seed: 5) {
            let conditions = ChaosCluster.conditions(of: fault)
            switch fault.kind {
            case .cut, .oneWay, .flap:
                #expect(conditions.cut == (fault.losesBytes ? .swallow : .hold))
            case .delay: #expect(conditions.delayMilliseconds > 0)
            case .slowLink: #expect(conditions.bytesPerSecond == fault.bytesPerSecond)
            case .refuse: #expect(conditions.isRefusing)
            default: #expect(conditions == .perfect)
            }
        }
    }
}
