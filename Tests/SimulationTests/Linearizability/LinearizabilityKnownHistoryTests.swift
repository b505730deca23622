import HoldfastSimulation
import Testing

/// Histories whose verdict is known.
@Suite struct LinearizabilityKnownHistoryTests {
    private func verdict(_ history: [RegisterEntry]) -> LinearizabilityVerdict {
        let verdict = LinearizabilityChecker.check(history, RegisterModel())
        #expect(verdict.isLinearizable == BruteForce(model: RegisterModel(), entries: history).isLinearizable)
        return verdict
    }

    private func isViolation(_ history: [RegisterEntry]) -> Bool {
        if case .notLinearizable = verdict(history) { return true }
        return false
    }

    @Test func nothingIsLinearizable() {
        #expect(verdict([]).isLinearizable)
    }

    @Test func aReadSeesWhatWasWrittenBefore() {
        #expect(verdict([write(0, 0, 1, 5), read(1, 2, 3, 5)]).isLinearizable)
    }

    @Test func aStaleReadIsNot() {
        #expect(isViolation([write(0, 0, 1, 5), read(1, 2, 3, 0)]))
    }

    @Test func whatOverlapsMayComeInEitherOrder() {
        #expect(verdict([write(0, 0, 10, 5), read(1, 2, 3, 0), read(1, 4, 5, 5)]).isLinearizable)
    }

    /// Touching intervals overlap: the clock may be too coarse to tell.
    @Test func whatTouchesOverlaps() {
        #expect(verdict([write(0, 0, 2, 5), read(1, 2, 3, 0)]).isLinearizable)
        #expect(isViolation([write(0, 0, 2, 5), read(1, 3, 4, 0)]))
    }

    @Test func readsMustNotGoBack() {
        #expect(isViolation([write(0, 0, 10, 5), read(1, 1, 2, 5), read(2, 3, 4, 0)]))
    }

    @Test func aLostUpdateIsFound() {
        let set = { (client: Int, from: Int64, to: Int64, old: Int, new: Int) in
            RegisterEntry(
                client: client, invokedAt: from, returnedAt: to, input: .compareAndSet(old, new),
                output: .done)
        }
        #expect(isViolation([set(0, 0, 5, 0, 1), set(1, 1, 6, 0, 2)]))
        #expect(verdict([set(0, 0, 5, 0, 1), set(1, 1, 6, 1, 2)]).isLinearizable)
    }

    @Test func anUnknownWriteMayHaveHappened() {
        #expect(verdict([lostWrite(0, 0, 5), read(1, 2, 3, 5)]).isLinearizable)
    }

    @Test func anUnknownWriteMayNotHaveHappened() {
        #expect(verdict([lostWrite(0, 0, 5), read(1, 2, 3, 0)]).isLinearizable)
    }

    @Test func anUnknownWriteMayHappenLate() {
        #expect(
            verdict([lostWrite(0, 0, 5), read(1, 2, 3, 0), write(1, 4, 5, 7), read(1, 6, 7, 5)])
                .isLinearizable)
    }

    @Test func anUnknownWriteHappensOnce() {
        #expect(
            isViolation([lostWrite(0, 0, 5), read(1, 2, 3, 5), write(1, 4, 5, 7), read(1, 6, 7, 5)]))
    }

    @Test func anUnknownWriteIsNotSeenBeforeItBegan() {
        #expect(isViolation([read(1, 0, 1, 5), lostWrite(0, 2, 5)]))
    }

    @Test func twoUnknownWritesOfOneValueHappenTwiceAtMost() {
        let history = [
            lostWrite(0, 0, 5), lostWrite(1, 0, 5), read(2, 2, 3, 5), write(2, 4, 5, 7), read(2, 6, 7, 5),
        ]
        #expect(verdict(history).isLinearizable)
        #expect(isViolation(history + [write(2, 8, 9, 7), read(2, 10, 11, 5)]))
    }

    @Test func aViolationNamesTheShortestBeginning() throws {
        var history = (0..<20).map { write(0, 10 * Int64($0), 10 * Int64($0) + 5, $0) }
        history.append(read(1, 87, 89, 3))
        guard case .notLinearizable(let violation) = verdict(history.filter { $0.invokedAt < 90 }) else {
            Issue.record("a stale read was not found")
            return
        }
        guard case .notLinearizable(let later) = LinearizabilityChecker.check(history, RegisterModel()) else {
            Issue.record("a stale read was not found")
            return
        }
        // Nine writes and the read: nothing that came later belongs to the explanation.
        #expect(later.prefixOperationCount == 10)
        #expect(later == violation)
        #expect(later.culprit.contains("client 1 [87 .. 89] read -> value(3)"))
        #expect(later.state == "8")
        #expect(later.ordered.last == "client 0 [80 .. 85] write(8) -> done")
        #expect("\(later)".contains("no order explains the first 10 operations"))
    }

    /// An answer that comes after the beginning must not be used to explain it.
    @Test func theShortestBeginningForgetsLaterAnswers() {
        let history = [
            RegisterEntry(
                client: 0, invokedAt: 0, returnedAt: 30, input: .compareAndSet(0, 1), output: .refused),
            read(1, 1, 2, 1), read(2, 3, 4, 1),
        ]
        guard case .notLinearizable(let violation) = verdict(history) else {
            Issue.record("nobody wrote 1")
            return
        }
        #expect(violation.prefixOperationCount == 3)
        #expect(violation.blocked.contains { $0.contains("[0 .. 30]") })
    }

    @Test func aCheckGivesUpAtItsLimits() {
        let history = (0..<12).map { write($0, 0, 100, $0) } + [read(20, 101, 102, 99)]
        let steps = LinearizabilityChecker.check(
            history, RegisterModel(), limits: LinearizabilityLimits(maximumSteps: 50))
        let memory = LinearizabilityChecker.check(
            history, RegisterModel(), limits: LinearizabilityLimits(maximumConfigurations: 10))
        for verdict in [steps, memory] {
            guard case .undecided = verdict else {
                Issue.record("\(verdict)")
                return
            }
        }
    }

    @Test func theRecorderKeepsTheOrderOfOneInstant() {
        var recorder = HistoryRecorder<RegisterModel.Input, RegisterModel.Output>()
        let first = recorder.invoke(client: 0, .write(5), at: 7)
        recorder.complete(first, .done, at: 7)
        let second = recorder.invoke(client: 1, .read, at: 7)
        recorder.complete(second, .value(0), at: 7)
        _ = recorder.invoke(client: 2, .write(9), at: 7)
        recorder.discard(recorder.invoke(client: 3, .write(8), at: 7))
        let entries = recorder.entries
        #expect(entries.count == 3)
        #expect(entries[0].returnedAt! < entries[1].invokedAt)
        #expect(entries[2].isUnknown)
        #expect(isViolation(entries))
    }

    /// What became of operations without an answer may be known from elsewhere, and then counts like an answer.
    @Test func whatIsSettledCountsAsAnswered() {
        var recorder = HistoryRecorder<RegisterModel.Input, RegisterModel.Output>()
        let lost = recorder.invoke(client: 0, .write(5), at: 1)
        let never = recorder.invoke(client: 1, .write(6), at: 2)
        let moment = recorder.moment(at: 3)
        let read = recorder.invoke(client: 2, .read, at: 4)
        recorder.complete(read, .value(0), at: 5)
        #expect(!isViolation(recorder.entries))
        recorder.settle(lost, .done, at: moment)
        recorder.settle(read, .value(5), at: moment)
        recorder.discardUnanswered()
        #expect(recorder.entries.count == 2)
        #expect(recorder.entries.allSatisfy { !$0.isUnknown })
        // The write was there before the read began, which was told of nothing.
        #expect(isViolation(recorder.entries))
        #expect(never == 1)
    }

    @Test func operationsOnSeveralKeysJoinTheirParts() {
        typealias Entry = HistoryEntry<[String], Int>
        let entries = [["a"], ["b"], ["c"], ["a", "b"], ["d"], []].map { keys in
            Entry(client: 0, invokedAt: 0, returnedAt: 1, input: keys, output: 0)
        }
        let parts = KeyPartitioning<String>.split(entries) { $0 }
        #expect(parts.map(\.name) == ["a", "c", "d"])
        #expect(parts.map(\.entries.count) == [3, 1, 1])
    }
}
