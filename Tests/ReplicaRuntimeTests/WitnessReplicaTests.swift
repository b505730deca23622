import ConsensusTypes
import KeyValueCore
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// A witness with five entries, and what becomes of them.
@Suite struct WitnessReplicaTests {
    private static let leader = NodeID(2)
    private static let membership = Membership(
        voters: [NodeID(1), NodeID(2), NodeID(3)],
        descriptions: [MemberDescription(node: NodeID(1), isWitness: true)])
    private let now = Instant(nanoseconds: 5_000_000_000)
    private let environment = RecordingEnvironment()
    private let group: KeyValueGroup
    private let replica: Replica<KeyValueGroup>

    init() {
        let beginning = SnapshotMetadata(index: .zero, term: .zero, membership: Self.membership)
        let entries = (1...5).map { Entry(index: LogIndex($0), term: Term(1), kind: .withheld) }
        let now = now
        let core = RaftCore(
            nodeID: NodeID(1), settings: RaftSettings(),
            restored: RestoredState(
                hardState: HardState(term: Term(1)), snapshot: beginning, entries: entries),
            session: 9, now: now, seed: 7)
        var settings = ReplicaSettings()
        settings.snapshotEntryCount = 5
        group = KeyValueGroup(
            nodeID: NodeID(1), session: 9, seed: 7, store: KeyValueStore(),
            settings: KeyValueGroupSettings(), environment: environment, clock: { now })
        replica = Replica(
            group: GroupID(1), core: core, snapshot: beginning, machine: group, environment: environment,
            settings: settings)
        group.attach(replica)
    }

    private func receive(_ body: RaftMessage.Body) {
        replica.receive(
            RaftMessage(from: Self.leader, to: NodeID(1), term: Term(1), body: body), now: now)
        replica.runTurn(now: now)
    }

    private func commit(_ index: UInt64) {
        receive(
            .append(
                AppendEntries(
                    previous: LogPosition(term: Term(1), index: LogIndex(5)), entries: [],
                    commitIndex: LogIndex(index), readRound: 0, sentAt: now)))
    }

    /// Nothing is applied to the state machine, and what stands for the log's beginning has no state in it.
    @Test func itCompactsWithoutAState() {
        commit(5)
        #expect(replica.isWitness && replica.appliedIndex == LogIndex(5))
        #expect(group.store.revision == KeyValueStore().revision)
        let metadata = SnapshotMetadata(
            index: LogIndex(5), term: Term(1), membership: Self.membership, isWithheld: true)
        #expect(environment.begunSnapshots == [metadata])
        replica.snapshotStored(metadata, succeeded: true, now: now)
        replica.runTurn(now: now)
        #expect(environment.markers == [metadata])
    }

    /// A snapshot from the leader says where the log starts, and leaves the machine alone.
    @Test func itRestoresWithoutAState() throws {
        let metadata = SnapshotMetadata(
            index: LogIndex(9), term: Term(1), membership: Self.membership, isWithheld: true)
        receive(
            .snapshotChunk(
                SnapshotChunk(metadata: metadata, offset: 0, bytes: ByteSlice(), isLast: true, sentAt: now)))
        let restorer = try #require(environment.restorers.last)
        // Bytes of a state are none of a witness's.
        #expect(throws: ByteDecodingError.self) { try restorer.receive(ByteSlice([1])) }
        try restorer.finish()
        replica.receivedSnapshotStored(metadata, restorer: restorer, now: now)
        replica.runTurn(now: now)
        #expect(replica.appliedIndex == LogIndex(9) && group.store.revision == KeyValueStore().revision)
    }

    /// Whatever a client wants of the data, it is told at once to ask somebody else.
    @Test func itServesNobody() {
        var answers: [ServiceError?] = []
        group.propose(.put(PutRequest(key: [1], value: [2]))) { result in
            if case .failure(let error) = result { answers.append(error) }
        }
        group.linearizableRead { answers.append($0) }
        group.leaseRead { answers.append($0) }
        group.renewLease(LeaseID(1)) { result in
            if case .failure(let error) = result { answers.append(error) }
        }
        #expect(answers == [.witness, .witness, .witness, .witness])
        #expect(!ServiceError.witness.isOutcomeUnknown)
    }

    /// The snapshot file of a witness is not read for anybody.
    @Test func itsSnapshotIsGivenToNobody() throws {
        let fileSystem = SimulatedFileSystem(seed: 1)
        let store = try SnapshotStore.open(directory: "/snapshots", fileSystem: fileSystem)
        let files = SnapshotFiles(store: store, group: GroupID(1))
        let metadata = SnapshotMetadata(
            index: LogIndex(9), term: Term(1), membership: Self.membership, isWithheld: true)
        try files.write(metadata, source: WithheldSnapshotSource())
        #expect(try store.latest(GroupID(1))?.metadata == metadata)
        for asked in [nil, metadata] {
            let read = SnapshotRead(peer: NodeID(2), metadata: asked, offset: 0, maximumSizeBytes: 10)
            #expect(throws: SnapshotError.self) { _ = try files.read(read) }
        }
        // Nor would a machine take it for a state.
        #expect(throws: ByteDecodingError.self) { try StoreSnapshotRestorer().finish() }
    }
}

/// What the keeper does about witnesses.
@Suite struct WitnessKeeperTests {
    private static func membership(_ voters: [UInt64], witnesses: [UInt64], evicted: [UInt64] = [])
        -> Membership
    {
        Membership(
            voters: voters.map(NodeID.init), evicted: evicted.map(NodeID.init),
            descriptions: witnesses.map { MemberDescription(node: NodeID($0), isWitness: true) })
    }

    private static func keeper() -> MembershipKeeper {
        var settings = MembershipKeeperSettings()
        settings.evictAfterMilliseconds = 1_000
        settings.minimumVoters = 2
        return MembershipKeeper(settings: settings)
    }

    private static func observations(silent: UInt64, others: [UInt64]) -> [MembershipKeeper.Observation] {
        ([silent] + others).map { node in
            MembershipKeeper.Observation(
                node: NodeID(node), silence: .milliseconds(node == silent ? 5_000 : 10),
                isRecentlyActive: node != silent, isCaughtUp: true)
        }
    }

    private static func decide(
        _ membership: Membership, silent: UInt64, others: [UInt64], connected: [UInt64] = []
    ) -> MembershipChange? {
        var keeper = keeper()
        return keeper.decide(
            leader: NodeID(1), membership: membership, isChangeUnderWay: false,
            observations: observations(silent: silent, others: others),
            connected: connected.map(NodeID.init), now: Instant(nanoseconds: 1_000_000_000))?.change
    }

    @Test func whoWasEvictedAsAWitnessComesBackAsOne() throws {
        let before = Self.membership([1, 2, 3], witnesses: [3])
        let change = try #require(Self.decide(before, silent: 3, others: [2]))
        #expect(change.steps == [.evict(NodeID(3))])
        let after = try change.applied(to: before).membership
        let back = try #require(Self.decide(after, silent: 9, others: [2], connected: [3]))
        guard case .addLearner(let description)? = back.steps.first else {
            Issue.record("\(back.steps)")
            return
        }
        #expect(description.isWitness && description.isPromotedWhenReady)
        #expect(try back.applied(to: after).membership.isWitness(NodeID(3)))
    }

    /// Two witnesses of three would decide alone: the silent member stays.
    @Test func nobodyIsEvictedWhereWitnessesWouldBeAQuorum() {
        #expect(
            Self.decide(Self.membership([1, 2, 3, 4], witnesses: [3, 4]), silent: 2, others: [3, 4]) == nil)
        #expect(
            Self.decide(Self.membership([1, 2, 3, 4], witnesses: [3]), silent: 2, others: [3, 4]) != nil)
    }
}
