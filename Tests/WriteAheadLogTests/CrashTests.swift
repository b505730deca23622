import ConsensusTypes
import Testing

@testable import WriteAheadLog

@Suite("Crashes of the write-ahead log")
struct CrashTests {
    @Test(
        "a crash at any operation loses nothing acknowledged and invents nothing", arguments: UInt64(1)...8)
    func everyCrashPoint(seed: UInt64) {
        let violations = CrashHarness().runAll(seed: seed)
        #expect(violations.isEmpty, "\(violations.prefix(3).joined(separator: "\n"))")
    }

    @Test("the same with segments that single batches fill", arguments: UInt64(100)...103)
    func everyCrashPointWithLargeBatches(seed: UInt64) {
        var harness = CrashHarness()
        harness.options.maximumSpareSegments = 1
        harness.stepsPerLife = 40
        let violations = harness.runAll(seed: seed)
        #expect(violations.isEmpty, "\(violations.prefix(3).joined(separator: "\n"))")
    }

    // The checks above can fail: a disk that does not do what it says makes them.

    @Test("a directory whose syncs do nothing is noticed")
    func lostDirectorySyncs() {
        var harness = CrashHarness()
        harness.lie = { $0.operation == .synchronizeDirectory ? .lose : .none }
        #expect((UInt64(1)...3).contains { !harness.runAll(seed: $0).isEmpty })
    }

    @Test("a file whose syncs do nothing is noticed")
    func lostSyncs() {
        var harness = CrashHarness()
        harness.lie = { $0.operation == .synchronize ? .lose : .none }
        #expect((UInt64(1)...3).contains { !harness.runAll(seed: $0).isEmpty })
    }

    @Test("a lost write is noticed")
    func lostWrites() {
        var harness = CrashHarness()
        harness.lie = { $0.operation == .write && $0.number % 50 == 49 ? .lose : .none }
        #expect((UInt64(1)...3).contains { !harness.runAll(seed: $0).isEmpty })
    }
}
