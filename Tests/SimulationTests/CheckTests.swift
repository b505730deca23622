import ConsensusTypes
import KeyValueCore
import RaftCore
import ReplicaRuntime
import Testing

@testable import HoldfastSimulation

/// Every check fails where it should.
@Suite struct SafetyCheckerTests {
    private let world = World(SimulationSettings(seed: 1), plan: FaultPlan(), random: SeededRandom(seed: 1))

    private func entry(_ index: UInt64, _ term: UInt64, _ text: String = "") -> Entry {
        Entry(
            index: LogIndex(index), term: Term(term), kind: .command, payload: ByteSlice(Array(text.utf8)))
    }

    private func core(
        _ node: UInt64, term: UInt64, entries: [Entry], commit: UInt64 = 0
    ) -> RaftCore {
        let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])
        return RaftCore(
            nodeID: NodeID(node), settings: RaftSettings(),
            restored: RestoredState(
                hardState: HardState(term: Term(term), votedFor: nil, commitIndex: LogIndex(commit)),
                snapshot: SnapshotMetadata(index: .zero, term: .zero, membership: membership),
                entries: entries),
            session: 1, now: .zero, seed: 1)
    }

    /// A core that was elected in the term after `term`.
    private func leader(_ node: UInt64, term: UInt64, entries: [Entry]) -> RaftCore {
        var core = core(node, term: term, entries: entries)
        let now = Instant(nanoseconds: 10_000_000_000)
        core.advance(now: now)
        for peer in [UInt64(1), 2, 3] where peer != node {
            core.receive(
                RaftMessage(
                    from: NodeID(peer), to: NodeID(node), term: Term(term + 1),
                    body: .preVoteResponse(granted: true)), now: now)
        }
        for peer in [UInt64(1), 2, 3] where peer != node {
            core.receive(
                RaftMessage(
                    from: NodeID(peer), to: NodeID(node), term: Term(term + 1),
                    body: .voteResponse(granted: true)), now: now)
        }
        return core
    }

    private func property(_ body: () throws(SimulationFailure) -> Void) -> String? {
        do throws(SimulationFailure) {
            try body()
            return nil
        } catch {
            return error.property
        }
    }

    @Test func twoLeadersOfATerm() {
        var checker = SafetyChecker(nodeCount: 3)
        let first = leader(1, term: 1, entries: [])
        let second = leader(2, term: 1, entries: [])
        #expect(first.role == .leader && second.role == .leader)
        #expect(property { () throws(SimulationFailure) in try checker.check(0, first, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(1, second, world) }
                == "election safety")
    }

    @Test func twoEntriesOfOneIndexAndTerm() {
        var checker = SafetyChecker(nodeCount: 3)
        let one = core(1, term: 2, entries: [entry(1, 1, "a"), entry(2, 2, "b")])
        let other = core(2, term: 2, entries: [entry(1, 1, "a"), entry(2, 2, "c")])
        #expect(property { () throws(SimulationFailure) in try checker.check(0, one, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(1, other, world) } == "log matching")
    }

    @Test func oneEntryWithTwoPasts() {
        var checker = SafetyChecker(nodeCount: 3)
        let one = core(1, term: 3, entries: [entry(1, 1), entry(2, 3)])
        let other = core(2, term: 3, entries: [entry(1, 2), entry(2, 3)])
        #expect(property { () throws(SimulationFailure) in try checker.check(0, one, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(1, other, world) } == "log matching")
    }

    @Test func twoCommittedEntriesAtOneIndex() {
        var checker = SafetyChecker(nodeCount: 3)
        let one = core(1, term: 3, entries: [entry(1, 1, "a")], commit: 1)
        let other = core(2, term: 3, entries: [entry(1, 2, "b")], commit: 1)
        #expect(property { () throws(SimulationFailure) in try checker.check(0, one, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(1, other, world) }
                == "state machine safety")
    }

    @Test func aLeaderWithoutACommittedEntry() {
        var checker = SafetyChecker(nodeCount: 3)
        let one = core(1, term: 1, entries: [entry(1, 1, "a"), entry(2, 1, "b")], commit: 2)
        let other = leader(2, term: 1, entries: [entry(1, 1, "a")])
        #expect(property { () throws(SimulationFailure) in try checker.check(0, one, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(1, other, world) }
                == "leader completeness")
    }

    @Test func aLeaderThatDropsEntries() {
        var checker = SafetyChecker(nodeCount: 3)
        let before = leader(1, term: 1, entries: [entry(1, 1), entry(2, 1)])
        let after = leader(1, term: 1, entries: [entry(1, 1)])
        #expect(property { () throws(SimulationFailure) in try checker.check(0, before, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(0, after, world) }
                == "leader append-only")
    }

    @Test func termsAndCommitIndexesThatGoBack() {
        var checker = SafetyChecker(nodeCount: 3)
        let entries = [entry(1, 1), entry(2, 1)]
        let late = core(1, term: 5, entries: entries, commit: 2)
        let early = core(1, term: 4, entries: entries, commit: 2)
        let uncommitted = core(1, term: 5, entries: entries, commit: 1)
        #expect(property { () throws(SimulationFailure) in try checker.check(0, late, world) } == nil)
        #expect(
            property { () throws(SimulationFailure) in try checker.check(0, early, world) }
                == "terms never go back")
        #expect(
            property { () throws(SimulationFailure) in try checker.check(0, uncommitted, world) }
                == "commit indexes never go back")
    }

    @Test func aTermThatIsForgotten() {
        var checker = SafetyChecker(nodeCount: 3)
        let vote = RaftMessage(
            from: NodeID(1), to: NodeID(2), term: Term(7), body: .voteResponse(granted: true))
        checker.noteSent(0, vote)
        let back = core(1, term: 6, entries: [])
        #expect(
            property { () throws(SimulationFailure) in try checker.noteRestart(0, core: back) }
                == "durable term")
    }
}

@Suite struct ModelCheckTests {
    private func put(_ key: String, _ value: String) -> Command {
        .put(PutRequest(key: Array(key.utf8), value: Array(value.utf8)))
    }

    private func delete(_ key: String) -> Command {
        .deleteRange(DeleteRangeRequest(range: KeyRange(key: Array(key.utf8))))
    }

    /// The model and the real store agree on what clients ask for.
    @Test func theModelIsTheStore() {
        var store = KeyValueStore()
        var model = ReferenceStore()
        var random = SeededRandom(seed: 5)
        let mixture = ClientMixture()
        for operation in 1...3_000 as ClosedRange<UInt64> {
            let command: Command
            switch KeyValueClient.draw(operation, mixture, &random) {
            case .write(let write, _): command = write
            case .compaction(let behind):
                command = .compact(CompactRequest(revision: max(1, store.revision - behind)))
            default:
                command =
                    random.chance(1, outOf: 2)
                    ? .leaseGrant(id: LeaseID(Int64(1 + random.next(below: 5))), timeToLiveSeconds: 3)
                    : .leaseRevoke(LeaseID(Int64(1 + random.next(below: 5))))
            }
            #expect(store.apply(command) == model.apply(command))
        }
        var checker = StateChecker(nodeCount: 1)
        #expect(throws: Never.self) {
            try checker.check(0, store, appliedIndex: LogIndex(1), model, modelIndex: LogIndex(1))
            try checker.checkAll(0, store, model)
        }
    }

    @Test func aStoreThatDiffersIsFound() {
        var model = ReferenceStore()
        var store = KeyValueStore()
        _ = model.apply(put("a", "1"))
        _ = store.apply(put("a", "2"))
        var checker = StateChecker(nodeCount: 1)
        #expect(throws: SimulationFailure.self) {
            try checker.check(0, store, appliedIndex: LogIndex(1), model, modelIndex: LogIndex(1))
        }
    }

    @Test func aStoreThatWentBackIsFound() {
        var model = ReferenceStore()
        var store = KeyValueStore()
        for value in ["1", "2"] {
            _ = model.apply(put("a", value))
            _ = store.apply(put("a", value))
        }
        var checker = StateChecker(nodeCount: 1)
        #expect(throws: Never.self) {
            try checker.check(0, store, appliedIndex: LogIndex(2), model, modelIndex: LogIndex(2))
        }
        var older = KeyValueStore()
        _ = older.apply(put("a", "1"))
        #expect(throws: SimulationFailure.self) {
            try checker.check(0, older, appliedIndex: LogIndex(1), model, modelIndex: LogIndex(2))
        }
    }

    @Test func aLeaseThatOnlyOneHasIsFound() {
        let model = ReferenceStore()
        var store = KeyValueStore()
        _ = store.apply(.leaseGrant(id: LeaseID(7), timeToLiveSeconds: 5))
        let checker = StateChecker(nodeCount: 1)
        #expect(throws: SimulationFailure.self) { try checker.checkAll(0, store, model) }
    }

    // MARK: Answers

    private let answer = Result<CommandResult, KeyValueError>.success(
        .put(PutResponse(previous: nil, revision: 4)))

    @Test func answersMustBeThoseOfTheLog() throws {
        var book = OperationBook()
        try book.noteCommitted(1, answer)
        book.noteAnswer(1, answer)
        try book.verify()
        book.noteAnswer(1, .success(.put(PutResponse(previous: nil, revision: 5))))
        #expect(throws: SimulationFailure.self) { try book.verify() }
    }

    @Test func whatIsAcknowledgedIsCommitted() {
        var book = OperationBook()
        book.noteAnswer(9, answer)
        #expect(throws: SimulationFailure.self) { try book.verify() }
    }

    @Test func nothingIsExecutedTwice() throws {
        var book = OperationBook()
        try book.noteCommitted(1, answer)
        #expect(throws: SimulationFailure.self) { try book.noteCommitted(1, answer) }
    }

    @Test func whatFailedForCertainIsNotExecuted() throws {
        var book = OperationBook()
        try book.noteRefusal(1)
        #expect(throws: SimulationFailure.self) { try book.noteCommitted(1, answer) }
        try book.noteCommitted(2, answer)
        #expect(throws: SimulationFailure.self) { try book.noteRefusal(2) }
    }

    // MARK: Watches

    private func watched() -> (model: ReferenceStore, events: [WatchEvent]) {
        var model = ReferenceStore()
        for command in [put("a", "1"), put("b", "2"), delete("a"), put("a", "3")] { _ = model.apply(command) }
        let events = model.changes.joined().map {
            WatchEvent(kind: $0.version == 0 ? .delete : .put, keyValue: $0, previous: nil)
        }
        return (model, events)
    }

    private func audit(_ range: KeyRange = .all) -> WatchAudit {
        WatchAudit(WatchRequest(range: range, startRevision: 2))
    }

    @Test func aWatchThatShowsAllIsRight() {
        let (model, events) = watched()
        var audit = audit()
        #expect(audit.check(events: Array(events[..<2]), through: 3, model) == nil)
        #expect(audit.check(events: Array(events[2...]), through: 5, model) == nil)
        #expect(audit.checkProgress(5, model) == nil)
    }

    @Test func lostRepeatedSwappedAndInventedEventsAreFound() {
        let (model, events) = watched()
        for wrong in [
            [events[0], events[2]], [events[0], events[0]], [events[1], events[0]], events + [events[3]],
        ] {
            var audit = audit()
            #expect(audit.check(events: wrong, through: 5, model) != nil)
        }
    }

    @Test func progressAheadOfEventsIsFound() {
        let (model, events) = watched()
        var audit = audit(KeyRange(key: Array("a".utf8)))
        #expect(audit.check(events: [events[0]], through: 3, model) == nil)
        #expect(audit.checkProgress(4, model) != nil)
        var future = self.audit()
        #expect(future.check(events: events, through: 6, model) != nil)
    }

    // MARK: Leases

    @Test func aLeaseThatEndsEarlyIsFound() throws {
        let asked = Instant(nanoseconds: 1_000_000_000)
        let id = LeaseID(3)
        var audit = LeaseAudit()
        try audit.noteGranted(id, timeToLiveSeconds: 5, asked: asked, fastestDrift: 0)
        try audit.noteRenewed(id, asked: asked + .seconds(3), fastestDrift: 0)
        var onTime = audit
        #expect(throws: Never.self) {
            try onTime.noteExpired(id, now: asked + .seconds(8), fastestDrift: 0)
        }
        // A clock that is a tenth too fast may end it a little earlier.
        var early = audit
        #expect(throws: SimulationFailure.self) {
            try early.noteExpired(id, now: asked + .milliseconds(7_900), fastestDrift: 0)
        }
        #expect(throws: Never.self) {
            try audit.noteExpired(id, now: asked + .milliseconds(7_900), fastestDrift: 100_000)
        }
    }

    @Test func aRenewalThatIsConfirmedAfterTheEndIsFound() throws {
        let asked = Instant(nanoseconds: 1_000_000_000)
        var audit = LeaseAudit()
        try audit.noteGranted(LeaseID(3), timeToLiveSeconds: 5, asked: asked, fastestDrift: 0)
        try audit.noteExpired(LeaseID(3), now: asked + .seconds(5), fastestDrift: 0)
        #expect(throws: SimulationFailure.self) {
            try audit.noteRenewed(LeaseID(3), asked: asked + .seconds(4), fastestDrift: 0)
        }
    }
}
