import ConsensusTypes
import KeyValueCore
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// What the leader of three nodes may do with leases, and what becomes of it when another one leads
/// (scenario 27). The other two say only what the tests let them say.
@Suite struct LeaseLeadershipTests {
    private final class ManualClock {
        var now = Instant(nanoseconds: 5_000_000_000)
    }

    private static let lease = LeaseID(7)
    private let clock = ManualClock()
    private let environment = RecordingEnvironment()
    private let group: KeyValueGroup
    private let replica: Replica<KeyValueGroup>

    /// Leads term 1 and has granted a lease of five seconds.
    init() {
        let clock = clock
        let beginning = SnapshotMetadata(
            index: .zero, term: .zero, membership: Membership(voters: [NodeID(1), NodeID(2), NodeID(3)]))
        var settings = RaftSettings()
        settings.promisesLeases = true
        group = KeyValueGroup(
            nodeID: NodeID(1), session: 9, seed: 7, store: KeyValueStore(), settings: KeyValueGroupSettings(),
            environment: environment, clock: { clock.now })
        replica = Replica(
            group: GroupID(1),
            core: RaftCore(
                nodeID: NodeID(1), settings: settings,
                restored: RestoredState(hardState: HardState(), snapshot: beginning, entries: []),
                session: 9, now: clock.now, seed: 7),
            snapshot: beginning, machine: group, environment: environment, settings: ReplicaSettings())
        group.attach(replica)
        clock.now = replica.core.nextDeadline
        replica.advance(now: clock.now)
        runTurn()
        receive(.preVoteResponse(granted: true))
        receive(.voteResponse(granted: true))
        acknowledge(1)
        group.propose(.leaseGrant(id: LeaseLeadershipTests.lease, timeToLiveSeconds: 5)) { _ in }
        runTurn()
        acknowledge(2)
    }

    /// Ends the turn, on a disk that is ready at once.
    private func runTurn() {
        replica.runTurn(now: clock.now)
        guard let last = environment.writes.last else { return }
        replica.persisted(through: last.sequence, now: clock.now)
        replica.runTurn(now: clock.now)
    }

    private func receive(_ body: RaftMessage.Body, term: UInt64 = 1) {
        replica.receive(
            RaftMessage(from: NodeID(2), to: NodeID(1), term: Term(term), body: body), now: clock.now)
        runTurn()
    }

    /// Node 2 holds the log up to `index` and answers the newest read round that it was asked in.
    private func acknowledge(_ index: UInt64) {
        var round: UInt64 = 0
        for message in environment.sent {
            if case .append(let append) = message.body { round = max(round, append.readRound) }
        }
        receive(
            .appendResponse(
                AppendResponse(outcome: .matched(LogIndex(index)), readRound: round, sentAt: clock.now)))
    }

    /// What was written to the log about the end of leases.
    private var revocations: [Entry] {
        environment.writes.flatMap(\.write.entries).filter {
            guard $0.kind == .command, case .leaseRevoke? = try? Command.decode($0.payload) else {
                return false
            }
            return true
        }
    }

    /// The clock stands still while the machine is suspended, and the others elect somebody meanwhile.
    @Test func aSuspendedMachineHasNoLease() throws {
        #expect(replica.requestLeaseRead(now: clock.now) != nil)
        let deadline = try #require(replica.leaseDeadline(now: clock.now))
        #expect(deadline > clock.now)
        // Too little to matter: the readings of two clocks differ by as much.
        environment.suspendedTime = environment.suspendedTime + .microseconds(500)
        #expect(replica.requestLeaseRead(now: clock.now) != nil)

        environment.suspendedTime = environment.suspendedTime + .milliseconds(600)
        #expect(replica.leaseDeadline(now: clock.now) == nil)
        #expect(replica.requestLeaseRead(now: clock.now) == nil)
        // It asks the others instead, and answers nothing by itself.
        var answers: [ServiceError?] = []
        group.leaseRead { answers.append($0) }
        runTurn()
        #expect(answers.isEmpty)

        // An answer to what was sent before it is no confirmation, one to what was sent after it is.
        let before = clock.now
        clock.now = clock.now + .milliseconds(10)
        receive(
            .appendResponse(
                AppendResponse(outcome: .matched(LogIndex(2)), readRound: 0, sentAt: before)))
        #expect(replica.requestLeaseRead(now: clock.now) == nil)
        acknowledge(2)
        #expect(replica.requestLeaseRead(now: clock.now) != nil)
        #expect(try #require(replica.leaseDeadline(now: clock.now)) > deadline)
        #expect(answers.count == 1)
    }

    /// On this machine, whatever its clocks are.
    @Test func suspensionsOnlyGrow() {
        var last = MachineSuspension.total()
        for _ in 0..<1_000 {
            let total = MachineSuspension.total()
            #expect(total + .milliseconds(1) >= last)
            last = total
        }
    }

    @Test func renewalWaitsForAQuorumThatSaysWhoLeads() throws {
        #expect(group.isLeader)
        var results: [Result<Int64, ServiceError>] = []
        group.renewLease(LeaseLeadershipTests.lease) { results.append($0) }
        runTurn()
        #expect(results.isEmpty)
        acknowledge(2)
        #expect(results.count == 1)
        #expect(try results.first?.get() == 5)
    }

    /// The next leader gives the lease its full time again: what this one saw of it says nothing then.
    @Test func endThatWasNotCommittedIsProposedToNobodyElse() {
        clock.now = clock.now + .milliseconds(500)
        replica.advance(now: clock.now)
        acknowledge(2)
        // A quorum answers all the time, so that it leads still when the lease ends.
        for _ in 0..<14 {
            clock.now = clock.now + .milliseconds(500)
            acknowledge(2)
            replica.advance(now: clock.now)
            runTurn()
        }
        #expect(group.isLeader)
        #expect(!revocations.isEmpty)
        #expect(revocations.allSatisfy { $0.proposal == .none })
        let next = Entry(
            index: LogIndex(3), term: Term(2), kind: .noOperation, payload: ByteSlice())
        receive(
            .append(
                AppendEntries(
                    previous: LogPosition(term: Term(1), index: LogIndex(2)), entries: [next],
                    commitIndex: LogIndex(3), readRound: 0, sentAt: clock.now)), term: 2)
        for _ in 0..<4 {
            clock.now = clock.now + .milliseconds(100)
            replica.advance(now: clock.now)
            runTurn()
        }
        #expect(!group.isLeader)
        #expect(group.store.lease(LeaseLeadershipTests.lease) != nil)
        let proposed = environment.sent.filter {
            if case .propose = $0.body { true } else { false }
        }
        #expect(proposed.isEmpty)
    }
}
