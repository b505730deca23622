import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// A follower whose log holds five entries, and what it does with snapshots.
@Suite struct ReplicaSnapshotTests {
    private static let leader = NodeID(2)
    private static let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])
    private let now = Instant(nanoseconds: 5_000_000_000)
    private let environment = RecordingEnvironment()
    private let machine = IdleMachine()
    private let replica: Replica<IdleMachine>

    init() {
        let beginning = SnapshotMetadata(
            index: .zero, term: .zero, membership: ReplicaSnapshotTests.membership)
        let entries = (1...5).map {
            Entry(index: LogIndex($0), term: Term(1), kind: .command, payload: ByteSlice([7]))
        }
        let core = RaftCore(
            nodeID: NodeID(1), settings: RaftSettings(),
            restored: RestoredState(
                hardState: HardState(term: Term(1)), snapshot: beginning, entries: entries),
            session: 9, now: now, seed: 7)
        var settings = ReplicaSettings()
        settings.snapshotEntryCount = 5
        replica = Replica(
            group: GroupID(1), core: core, snapshot: beginning, machine: machine, environment: environment,
            settings: settings)
    }

    private func metadata(_ index: UInt64) -> SnapshotMetadata {
        SnapshotMetadata(index: LogIndex(index), term: Term(1), membership: ReplicaSnapshotTests.membership)
    }

    private func receive(_ body: RaftMessage.Body) {
        replica.receive(
            RaftMessage(from: ReplicaSnapshotTests.leader, to: NodeID(1), term: Term(1), body: body), now: now
        )
        replica.runTurn(now: now)
    }

    /// All five entries are committed, so that the replica takes a snapshot.
    private func commitAll() {
        receive(
            .append(
                AppendEntries(
                    previous: LogPosition(term: Term(1), index: LogIndex(5)), entries: [],
                    commitIndex: LogIndex(5), readRound: 0, sentAt: now)))
    }

    private func finishPersists() {
        guard let last = environment.writes.last else { return }
        replica.persisted(through: last.sequence, now: now)
        replica.runTurn(now: now)
    }

    /// What a snapshot covers may go when recovery is sure to start from it, and no earlier.
    @Test func logIsReleasedOnceTheMarkerIsDurable() {
        commitAll()
        #expect(environment.begunSnapshots == [metadata(5)])
        replica.snapshotStored(metadata(5), succeeded: true, now: now)
        replica.runTurn(now: now)
        #expect(environment.markers == [metadata(5)])
        #expect(environment.released.isEmpty)
        #expect(replica.snapshot.index == .zero)
        finishPersists()
        #expect(environment.released == [metadata(5)])
        #expect(replica.snapshot == metadata(5))
    }

    /// Scenario 17: while the replica stores its own snapshot, a newer one comes from the leader.
    @Test func ownSnapshotThatWasOvertakenLeavesNoMarker() throws {
        commitAll()
        receive(
            .snapshotChunk(
                SnapshotChunk(
                    metadata: metadata(9), offset: 0, bytes: ByteSlice([1]), isLast: true, sentAt: now)))
        let restorer: any SnapshotRestorer = try #require(environment.restorers.last)
        replica.receivedSnapshotStored(metadata(9), restorer: restorer, now: now)
        replica.runTurn(now: now)
        finishPersists()
        #expect(environment.markers == [metadata(9)])
        #expect(replica.snapshot == metadata(9))
        replica.snapshotStored(metadata(5), succeeded: true, now: now)
        replica.runTurn(now: now)
        finishPersists()
        #expect(environment.markers == [metadata(9)])
        #expect(environment.released == [metadata(9)])
        #expect(replica.snapshot == metadata(9))
        #expect(replica.rarePaths.contains(.ownSnapshotOvertaken))
    }
}
