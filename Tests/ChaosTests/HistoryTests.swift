import ConsensusTypes
import Foundation
import Testing

@testable import HoldfastChaos

/// Histories: kept in files, and judged.
@Suite struct HistoryTests {
    // MARK: Files

    private func withFile(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/holdfast-history-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    @Test func aFileGivesBackWhatWasWritten() throws {
        var history = PlannedHistory.sample
        let odd = ["-", "a\tb\nc", "100 %", "%2d", "", "Zoë", "é\t%"]
        for (number, text) in odd.enumerated() {
            history.records.append(
                HistoryRecord(
                    client: number, node: 0, key: text,
                    action: .compareAndSwap(expected: number % 2 == 0 ? nil : text, value: text + "!"),
                    invokedAt: Instant(nanoseconds: 1), endedAt: Instant(nanoseconds: 2),
                    outcome: number % 2 == 0 ? .unknown : .refused))
            let pair = HistoryPair(value: text, createRevision: 1, modRevision: 2, version: 3)
            history.events.append(HistoryEvent(revision: 99, key: text, pair: number % 3 == 0 ? nil : pair))
        }
        try withFile { path in
            try HistoryFile.write(history, to: path)
            #expect(try HistoryFile.read(path) == history)
        }
    }

    @Test func aFileThatIsCutOffIsNoHistory() throws {
        let lines = HistoryFile.lines(of: PlannedHistory.sample)
        #expect(throws: ChaosFailure.self) {
            try HistoryFile.parse(lines.dropLast().joined(separator: "\n"), path: "f")
        }
        // A line is missing in the middle.
        var shorter = lines
        shorter.remove(at: 5)
        #expect(throws: ChaosFailure.self) {
            try HistoryFile.parse(shorter.joined(separator: "\n"), path: "f")
        }
    }

    @Test(arguments: ["operation\t1", "nonsense", "event\tx\ta\t-\t0\t0\t0", "holdfast-history 1", ""])
    func aLineThatIsNoneIsNamed(line: String) {
        var lines = HistoryFile.lines(of: PlannedHistory.sample)
        lines.insert(line, at: 4)
        #expect(throws: ChaosFailure("f, line 5, is no part of a history that `holdfast chaos` wrote")) {
            try HistoryFile.parse(lines.joined(separator: "\n") + "\n", path: "f")
        }
    }

    // MARK: Verdicts

    /// The first record that fits, changed.
    private func planted(
        _ fits: (HistoryRecord) -> Bool, _ change: (inout ChaosHistory, Int) -> Void
    ) throws -> [String] {
        var history = PlannedHistory.sample
        let position = try #require(history.records.indices.dropFirst(12).first { fits(history.records[$0]) })
        change(&history, position)
        return HistoryVerdict.violations(in: history)
    }

    @Test func whatIsRightPasses() {
        #expect(HistoryVerdict.violations(in: PlannedHistory.sample) == [])
        #expect(HistoryVerdict.violations(in: ChaosHistory()) == [])
    }

    /// Outcomes that nobody knows do not make a history wrong, whatever became of them.
    @Test func unknownOutcomesAreAllowed() {
        var history = PlannedHistory.sample
        for position in history.records.indices where position % 5 == 0 {
            guard history.records[position].action != .get else { continue }
            history.records[position] = history.records[position].with(outcome: .unknown)
        }
        #expect(HistoryVerdict.violations(in: history) == [])
        history.records.append(
            HistoryRecord(
                client: 1, node: 0, key: "a", action: .put("never made"), invokedAt: Instant(nanoseconds: 5),
                endedAt: Instant(nanoseconds: 6), outcome: .unknown))
        #expect(HistoryVerdict.violations(in: history) == [])
    }

    /// The last acknowledged put of a key is gone, and nobody has read it: only its revision tells.
    @Test func aLostWriteIsFound() throws {
        var planned = PlannedHistory()
        planned.put("a", "1")
        planned.put("a", "2")
        var history = planned.history
        #expect(HistoryVerdict.violations(in: history) == [])
        history.events.removeLast()
        #expect(HistoryVerdict.violations(in: history).contains { $0.hasPrefix("lost write") })
    }

    @Test func aLostDeletionIsFound() throws {
        var planned = PlannedHistory()
        planned.put("a", "1")
        planned.delete("a")
        var history = planned.history
        history.events.removeLast()
        #expect(HistoryVerdict.violations(in: history).contains { $0.hasPrefix("lost write") })
    }

    /// A read answers what was there before a write that had ended when it began.
    @Test func aStaleReadIsFound() throws {
        var planned = PlannedHistory()
        planned.put("a", "1")
        planned.get("a")
        let old = planned.history.records[1].outcome
        planned.put("a", "2")
        planned.get("b")
        planned.get("a")
        var history = planned.history
        #expect(HistoryVerdict.violations(in: history) == [])
        history.records[4] = history.records[4].with(outcome: old)
        let found = HistoryVerdict.violations(in: history)
        // By the values alone, and by the revisions.
        #expect(found.contains { $0.hasPrefix("not linearizable") }, "\(found)")
        #expect(found.contains { !$0.hasPrefix("not linearizable") }, "\(found)")
    }

    @Test func anAnswerOfAnotherValueIsFound() throws {
        let found = try planted({ $0.action == .get && $0.acknowledgedPair != nil }) { history, position in
            guard case .acknowledged(let answer) = history.records[position].outcome, let pair = answer.pair
            else { return }
            history.records[position] = history.records[position].with(
                outcome: .acknowledged(
                    HistoryRecord.Answer(
                        revision: answer.revision, hasChanged: false,
                        pair: HistoryPair(
                            value: "b-put-0", createRevision: pair.createRevision,
                            modRevision: pair.modRevision, version: pair.version))))
        }
        #expect(!found.isEmpty)
    }

    @Test func aRefusedWriteThatWasExecutedIsFound() throws {
        let found = try planted({ $0.newValue != nil && $0.acknowledgedChange != nil }) { history, position in
            history.records[position] = history.records[position].with(outcome: .refused)
        }
        #expect(found.contains { $0.hasPrefix("refused and executed") }, "\(found)")
    }

    @Test func aWriteThatWasExecutedTwiceIsFound() throws {
        var planned = PlannedHistory()
        planned.put("a", "1")
        planned.put("b", "2")
        var history = planned.history
        history.lastRevision += 1
        history.events.append(
            HistoryEvent(
                revision: history.lastRevision, key: "a",
                pair: HistoryPair(value: "1", createRevision: 11, modRevision: 13, version: 2)))
        #expect(HistoryVerdict.violations(in: history).contains { $0.hasPrefix("executed twice") })
    }

    @Test func aChangeThatNobodyAskedForIsFound() throws {
        for pair in [HistoryPair(value: "x", createRevision: 11, modRevision: 12, version: 2), nil] {
            var planned = PlannedHistory()
            planned.put("a", "1")
            var history = planned.history
            history.lastRevision += 1
            history.events.append(HistoryEvent(revision: history.lastRevision, key: "a", pair: pair))
            #expect(HistoryVerdict.violations(in: history).contains { $0.hasPrefix("from nowhere") })
        }
    }

    @Test func aSwapThatShouldHaveFailedIsFound() throws {
        var planned = PlannedHistory()
        planned.put("a", "1")
        planned.swap("a", "1", "2")
        var history = planned.history
        let swap = history.records[1]
        history.records[1] = HistoryRecord(
            client: swap.client, node: swap.node, key: swap.key,
            action: .compareAndSwap(expected: "0", value: "2"), invokedAt: swap.invokedAt,
            endedAt: swap.endedAt, outcome: swap.outcome)
        #expect(!HistoryVerdict.violations(in: history).isEmpty)
    }
}

extension HistoryRecord {
    fileprivate var acknowledgedPair: HistoryPair? {
        guard case .acknowledged(let answer) = outcome else { return nil }
        return answer.pair
    }
}
