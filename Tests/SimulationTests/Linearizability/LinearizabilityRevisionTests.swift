import HoldfastSimulation
import Testing

/// Promises of the revisions, each with a history that breaks it.
@Suite struct LinearizabilityRevisionTests {
    private let key = Array("a".utf8)

    private func put(_ value: UInt8, _ from: Int64, at revision: Int64) -> KeyValueHistoryEntry {
        KeyValueHistoryEntry(
            client: 0, invokedAt: from, returnedAt: from + 5, input: .put(key, [value]),
            output: KeyValueOutput(revision: revision, results: [.put]))
    }

    private func lostPut(_ value: UInt8, _ from: Int64) -> KeyValueHistoryEntry {
        KeyValueHistoryEntry(client: 0, invokedAt: from, input: .put(key, [value]))
    }

    /// A read that shows the value as written at `revision`, from a state at `header`.
    private func get(
        _ value: UInt8?, _ from: Int64, at header: Int64, mod revision: Int64 = 0, version: Int64 = 1,
        create: Int64? = nil, isSerializable: Bool = false
    ) -> KeyValueHistoryEntry {
        let pairs = value.map {
            [
                ObservedPair(
                    key: key, value: [$0], createRevision: create ?? revision, modRevision: revision,
                    version: version)
            ]
        }
        let span = KeySpan(key: key)
        return KeyValueHistoryEntry(
            client: 1, invokedAt: from, returnedAt: from + 5,
            input: isSerializable ? .serializableGet(span) : .step(.get(span)),
            output: KeyValueOutput(revision: header, results: [.pairs(pairs ?? [])]))
    }

    private func broken(_ history: [KeyValueHistoryEntry]) -> String? {
        switch RevisionWitness.check(history) {
        case .consistent: nil
        case .inconsistent(let violation): violation.property
        case .undecided(let reason): "undecided: \(reason)"
        }
    }

    @Test func whatIsRightPasses() {
        let history = [
            put(1, 0, at: 2), get(1, 10, at: 2, mod: 2), put(2, 20, at: 3),
            get(2, 30, at: 3, mod: 3, version: 2, create: 2), get(1, 40, at: 2, mod: 2, isSerializable: true),
        ]
        #expect(broken(history) == nil)
    }

    @Test func twoChangesDoNotShareARevision() {
        #expect(broken([put(1, 0, at: 2), put(2, 3, at: 2)]) == "revisions are unique")
    }

    @Test func aStaleReadGoesBackInRevisions() {
        let history = [put(1, 0, at: 2), put(2, 10, at: 3), get(1, 20, at: 2, mod: 2)]
        #expect(broken(history) == "revisions follow real time")
    }

    @Test func aLaterChangeHasALargerRevision() {
        #expect(broken([get(nil, 0, at: 2), put(1, 10, at: 2)]) == "revisions follow real time")
        #expect(broken([put(1, 0, at: 3), put(2, 10, at: 2)]) == "revisions follow real time")
    }

    @Test func aReadShowsTheStateAtItsRevision() {
        let history = [put(1, 0, at: 2), put(2, 10, at: 3), get(1, 20, at: 3, mod: 2)]
        #expect(broken(history) == "answers follow from the writes before them")
        #expect(
            broken([put(1, 0, at: 2), get(nil, 10, at: 2)]) == "answers follow from the writes before them")
        #expect(
            broken([put(1, 0, at: 2), get(1, 10, at: 2, mod: 2, version: 2)])
                == "answers follow from the writes before them")
    }

    @Test func anUnknownWriteIsTakenWhereItIsShown() {
        #expect(broken([lostPut(1, 0), get(1, 10, at: 2, mod: 2)]) == nil)
        #expect(broken([lostPut(1, 0), get(nil, 10, at: 1)]) == nil)
    }

    @Test func anUnknownWriteHappensOnce() {
        let twice = [
            lostPut(1, 0), get(1, 10, at: 2, mod: 2), put(2, 20, at: 3),
            get(1, 30, at: 4, mod: 4, version: 3, create: 2),
        ]
        #expect(broken(twice) == "a write happens at most once")
    }

    @Test func anAcknowledgedWriteHappensOnce() {
        let shownTwice = [put(1, 0, at: 2), get(1, 10, at: 3, mod: 3, version: 2, create: 2)]
        #expect(broken(shownTwice) == "a write happens at most once")
        // Nobody saw the second one, but it took a revision.
        #expect(broken([put(1, 0, at: 2), put(2, 10, at: 4)]) == "revisions are made by writes")
        #expect(broken([put(1, 0, at: 2), lostPut(3, 6), put(2, 10, at: 4)]) == nil)
    }

    @Test func aWriteIsNotShownBeforeItBegan() {
        #expect(broken([get(1, 0, at: 2, mod: 2), lostPut(1, 10)]) == "revisions follow real time")
    }

    @Test func valuesComeFromSomewhere() {
        #expect(broken([put(1, 0, at: 2), get(7, 10, at: 3, mod: 3)]) == "values come from somewhere")
    }

    @Test func aTransactionTakesTheBranchThatItsConditionsChoose() {
        func history(succeeded: Bool) -> [KeyValueHistoryEntry] {
            [
                put(1, 0, at: 2),
                KeyValueHistoryEntry(
                    client: 1, invokedAt: 10, returnedAt: 15,
                    input: .transaction(
                        conditions: [KeyValueCondition(key: key, .equal, .modRevision(2))],
                        success: [.put(key: key, value: [2])], failure: [.put(key: key, value: [3])]),
                    output: KeyValueOutput(revision: 3, succeeded: succeeded, results: [.put])),
            ]
        }
        #expect(broken(history(succeeded: true)) == nil)
        #expect(broken(history(succeeded: false)) == "answers follow from the writes before them")
    }

    @Test func foreignWritesAreAllowedWhereSaid() {
        let history = [put(1, 0, at: 2), get(7, 10, at: 5, mod: 4, version: 3, create: 2)]
        #expect(broken(history) != nil)
        let settings = RevisionWitness.Settings(allowsForeignWrites: true)
        guard case .consistent(let log) = RevisionWitness.check(history, settings: settings) else {
            Issue.record("a foreign write was refused")
            return
        }
        #expect(log.hasUnknownWrites)
        #expect(log.changes(at: 4) == [KeyValueChange(key: key, value: [7])])
    }

    /// With values that are not unique it can be impossible to say which write was seen.
    @Test func ambiguityIsSaid() {
        let other = Array("b".utf8)
        let both = KeyValueHistoryEntry(
            client: 2, invokedAt: 0,
            input: .transaction(
                conditions: [], success: [.put(key: key, value: [1]), .put(key: other, value: [1])],
                failure: []))
        let history = [both, lostPut(1, 0), get(1, 10, at: 2, mod: 2), put(2, 20, at: 3)]
        #expect(broken(history) == nil)
        let pair = ObservedPair(key: other, value: [1], createRevision: 4, modRevision: 4, version: 1)
        let later = KeyValueHistoryEntry(
            client: 1, invokedAt: 30, returnedAt: 35, input: .get(other),
            output: KeyValueOutput(revision: 4, results: [.pairs([pair])]))
        #expect(broken(history + [later])?.hasPrefix("undecided") == true)
    }
}
