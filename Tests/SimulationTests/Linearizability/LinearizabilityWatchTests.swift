import HoldfastSimulation
import Testing

@Suite struct LinearizabilityWatchTests {
    private let keys = [Array("a".utf8), Array("b".utf8)]

    /// Revision 2 puts a, 3 puts b, 4 puts both, 5 deletes a.
    private var writes: WriteLog {
        var log = WriteLog()
        log.add([KeyValueChange(key: keys[0], value: [2])], at: 2)
        log.add([KeyValueChange(key: keys[1], value: [3])], at: 3)
        log.add([KeyValueChange(key: keys[0], value: [4]), KeyValueChange(key: keys[1], value: [4])], at: 4)
        log.add([KeyValueChange(key: keys[0], value: nil)], at: 5)
        return log
    }

    private func put(_ key: Int, _ revision: Int64, value: UInt8? = nil) -> WatchedEvent {
        WatchedEvent(kind: .put, key: keys[key], value: [value ?? UInt8(revision)], modRevision: revision)
    }

    private func deletion(_ key: Int, _ revision: Int64) -> WatchedEvent {
        WatchedEvent(kind: .delete, key: keys[key], modRevision: revision)
    }

    private func broken(
        _ observations: [WatchHistory.Observation], span: KeySpan = .all, from start: Int64 = 2
    ) -> String? {
        let watch = WatchHistory(
            name: "a watch", span: span, observations: [.started(revision: start)] + observations)
        return WatchChecker.check([watch], against: writes)?.property
    }

    private var all: [WatchedEvent] { [put(0, 2), put(1, 3), put(0, 4), put(1, 4), deletion(0, 5)] }

    @Test func allEventsInOrderPass() {
        #expect(broken([.events(all), .progress(revision: 5)]) == nil)
        #expect(broken([.events([put(0, 4), put(1, 4)]), .progress(revision: 4)], from: 4) == nil)
        #expect(
            broken([.events([put(1, 3), put(1, 4)]), .progress(revision: 9)], span: KeySpan(key: keys[1]))
                == nil)
    }

    @Test func eventsAreOrdered() {
        #expect(broken([.events([put(0, 2), put(1, 3), put(0, 2)])]) == "watches are ordered")
    }

    @Test func noEventIsMissing() {
        #expect(broken([.events([put(0, 2), put(0, 4), put(1, 4)])]) == "watches are complete")
        #expect(
            broken([.events([put(0, 2), put(1, 3), put(0, 4), deletion(0, 5)])]) == "watches are complete")
        #expect(broken([.events([put(0, 2)]), .progress(revision: 3)]) == "watches are complete")
        #expect(broken([.events(Array(all.dropFirst()))]) == "watches are complete")
    }

    @Test func noEventComesTwice() {
        #expect(broken([.events([put(0, 2), put(0, 2)])]) == "watches show each change once")
    }

    @Test func nothingIsShownThatDidNotHappen() {
        #expect(broken([.events([put(0, 2, value: 9)])]) == "watches show what happened")
        #expect(broken([.events([put(0, 2), deletion(1, 3)])]) == "watches show what happened")
        #expect(broken([.events(all + [put(0, 6)])]) == "watches show what happened")
    }

    @Test func onlyWhatWasAskedForIsShown() {
        #expect(broken([.events([put(0, 2)])], from: 3) == "watches show what was asked for")
        #expect(
            broken([.events([put(0, 2)])], span: KeySpan(key: keys[1])) == "watches show what was asked for")
    }

    @Test func progressIsNeverAhead() {
        let early = [put(0, 2), put(1, 3)]
        #expect(
            broken([.events(early), .progress(revision: 3), .events([put(1, 3)])])
                == "progress is never ahead")
    }

    @Test func aWatchIsResumedWithoutLossOrRepetition() {
        let first: [WatchHistory.Observation] = [.events([put(0, 2), put(1, 3)]), .started(revision: 4)]
        #expect(broken(first + [.events(Array(all.dropFirst(2))), .progress(revision: 5)]) == nil)
        #expect(broken(first + [.events([deletion(0, 5)])]) == "watches are complete")
        #expect(broken(first + [.events([put(1, 3)])]) == "watches show what was asked for")
        // It broke within a revision, and comes back to the whole of it.
        let cut: [WatchHistory.Observation] = [
            .events([put(0, 2), put(1, 3), put(0, 4)]), .started(revision: 4),
            .events([put(0, 4), put(1, 4)]), .progress(revision: 4),
        ]
        #expect(broken(cut) == nil)
        #expect(
            broken([.events([put(0, 2), put(1, 3), put(0, 4)]), .started(revision: 5)])
                == "watches are complete")
    }

    @Test func watchesAgree() {
        var log = WriteLog()
        log.hasUnknownWrites = true
        let watches = [7, 8].map { (value: UInt8) in
            WatchHistory(
                name: "watch \(value)", span: .all,
                observations: [.started(revision: 2), .events([put(0, 2, value: value)])])
        }
        #expect(WatchChecker.check(watches, against: log)?.property == "watches agree")
        #expect(WatchChecker.check([watches[0], watches[0]], against: log) == nil)
    }

    /// A watch tells what became of an unknown operation, and is then held to it.
    @Test func watchesAndRevisionsAreCheckedTogether() {
        let entries = [
            KeyValueHistoryEntry(client: 0, invokedAt: 0, input: .put(keys[0], [2])),
            KeyValueHistoryEntry(
                client: 0, invokedAt: 10, returnedAt: 15, input: .put(keys[1], [3]),
                output: KeyValueOutput(revision: 3, results: [.put])),
        ]
        func watch(_ events: [WatchedEvent]) -> WatchHistory {
            WatchHistory(
                name: "a watch", span: .all,
                observations: [.started(revision: 2), .events(events), .progress(revision: 3)])
        }
        let whole = watch([put(0, 2), put(1, 3)])
        #expect(KeyValueHistory(entries: entries, watches: [whole]).check().isClean)
        let report = KeyValueHistory(entries: entries, watches: [whole, watch([put(1, 3)])]).check()
        #expect(report.violations.map(\.property) == ["watches are complete"])
        #expect(report.isViolated)
    }
}
