import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// A follower whose leaders are played by the test.
private final class PlayedFollower: ReplicaEnvironment {
    typealias Group = StateMachineGroup<TallyMachine>

    private(set) var group: Group!
    private(set) var replica: Replica<Group>!
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var persisted: [UInt64] = []
    private(set) var sent: [RaftMessage] = []
    private(set) var committed: [(Membership, LogIndex)] = []
    let first = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])

    init() {
        group = Group(
            session: 1, state: TallyMachine(), settings: StateMachineGroupSettings(), environment: self,
            clock: { [unowned self] in now })
        let snapshot = SnapshotMetadata(index: .zero, term: .zero, membership: first)
        let core = RaftCore(
            nodeID: NodeID(1), settings: RaftSettings(),
            restored: RestoredState(hardState: HardState(), snapshot: snapshot, entries: []), session: 1,
            now: now, seed: 1)
        replica = Replica(
            group: GroupID(1), core: core, snapshot: snapshot, machine: group, environment: self,
            settings: ReplicaSettings(), changeSession: 7)
        group.attach(replica)
    }

    func run(milliseconds: Int = 1) {
        for _ in 0..<milliseconds {
            now = now + .milliseconds(1)
            if replica.nextDeadline <= now { replica.advance(now: now) }
            replica.runTurn(now: now)
            for sequence in persisted { replica.persisted(through: sequence, now: now) }
            persisted = []
        }
    }

    /// What the leader of a term sends.
    func hear(
        from leader: UInt64, term: UInt64,
        after previous: LogPosition = LogPosition(term: .zero, index: .zero),
        _ entries: [Entry] = [], commit: UInt64 = 0
    ) {
        let append = AppendEntries(
            previous: previous, entries: entries, commitIndex: LogIndex(commit), readRound: 0, sentAt: now)
        replica.receive(
            RaftMessage(from: NodeID(leader), to: NodeID(1), term: Term(term), body: .append(append)),
            now: now)
        run()
    }

    func refuse(_ id: ProposalID, _ reason: ProposalRejection, from leader: UInt64, term: UInt64) {
        replica.receive(
            RaftMessage(
                from: NodeID(leader), to: NodeID(1), term: Term(term), body: .proposeRejected([id], reason)),
            now: now)
        run()
    }

    /// The changes that were forwarded since the last call, with the leader that they went to.
    func takeForwarded() -> [(proposal: Proposal, to: NodeID)] {
        defer { sent = [] }
        return sent.flatMap { message -> [(Proposal, NodeID)] in
            guard case .propose(let proposals) = message.body else { return [] }
            return proposals.map { ($0, message.to) }
        }
    }

    func send(_ message: RaftMessage) { sent.append(message) }
    func sendAside(_ bytes: [UInt8], to peer: NodeID) {}
    func persist(_ write: LogWrite, sequence: UInt64) { persisted.append(sequence) }
    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {}
    func releaseLog(through metadata: SnapshotMetadata) {}
    func readSnapshot(_ read: SnapshotRead) {}
    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {}
    func scheduleTurn() {}
    func membershipCommitted(_ membership: Membership, index: LogIndex) {
        committed.append((membership, index))
    }
}

/// Changes of the membership that a client of this node asked for.
@Suite struct MembershipRequestsTests {
    private let change = MembershipChange([.remove(NodeID(3))])
    private let two = Membership(voters: [NodeID(1), NodeID(2)])

    private func entry(
        _ index: UInt64, term: UInt64, _ membership: Membership? = nil, _ id: ProposalID = .none
    ) -> Entry {
        var writer = ByteWriter()
        membership?.encode(into: &writer)
        return Entry(
            index: LogIndex(index), term: Term(term), kind: membership == nil ? .noOperation : .membership,
            proposal: id, payload: ByteSlice(writer.bytes))
    }

    private final class Answers {
        var all: [Result<Membership, MembershipChangeError>] = []
    }

    private func ask(_ follower: PlayedFollower, timeoutMilliseconds: Int = 1_000) -> Answers {
        let answers = Answers()
        follower.replica.changeMembership(
            change, timeoutMilliseconds: timeoutMilliseconds, now: follower.now
        ) { answers.all.append($0) }
        follower.run()
        return answers
    }

    @Test func aChangeIsForwardedAndAnsweredWhenItIsApplied() throws {
        let follower = PlayedFollower()
        follower.hear(from: 2, term: 1)
        let answers = ask(follower)
        let forwarded = follower.takeForwarded()
        #expect(forwarded.map(\.to) == [NodeID(2)])
        #expect(forwarded.map(\.proposal.kind) == [.membershipChange])
        let id = try #require(forwarded.first?.proposal.id)
        follower.hear(from: 2, term: 1, [entry(1, term: 1, two, id)])
        #expect(answers.all.isEmpty)
        follower.hear(from: 2, term: 1, after: LogPosition(term: Term(1), index: LogIndex(1)), commit: 1)
        #expect(answers.all == [.success(two)])
        #expect(follower.committed.map(\.0) == [two])
    }

    /// The entry of a later term comes with it: the change was made and must not be asked for again.
    @Test func aChangeThatIsAppliedTogetherWithALaterTermIsMadeOnce() throws {
        let follower = PlayedFollower()
        follower.hear(from: 2, term: 1)
        let answers = ask(follower)
        let id = try #require(follower.takeForwarded().first?.proposal.id)
        follower.hear(from: 3, term: 2, [entry(1, term: 1, two, id), entry(2, term: 2)], commit: 2)
        #expect(answers.all == [.success(two)])
        follower.run(milliseconds: 50)
        #expect(follower.takeForwarded().isEmpty)
    }

    /// An entry of a later term without it: it is in no log that can win, and is asked for again.
    @Test func aChangeThatWasLostIsAskedForAgain() throws {
        let follower = PlayedFollower()
        follower.hear(from: 2, term: 1)
        let answers = ask(follower)
        let first = try #require(follower.takeForwarded().first?.proposal)
        follower.hear(from: 3, term: 2)
        #expect(follower.takeForwarded().isEmpty)
        follower.hear(from: 3, term: 2, [entry(1, term: 2)], commit: 1)
        let again = follower.takeForwarded()
        #expect(again.map(\.to) == [NodeID(3)])
        #expect(again.first?.proposal.payload == first.payload)
        #expect(again.first?.proposal.id != first.id)
        #expect(answers.all.isEmpty)
    }

    @Test func aLeaderThatIsNotReadyIsAskedAgain() throws {
        let follower = PlayedFollower()
        follower.hear(from: 2, term: 1)
        let answers = ask(follower)
        let id = try #require(follower.takeForwarded().first?.proposal.id)
        follower.refuse(id, .leaderNotReady, from: 2, term: 1)
        #expect(follower.takeForwarded().isEmpty)
        follower.run(milliseconds: 20)
        let again = follower.takeForwarded()
        #expect(again.count == 1)
        #expect(again.first?.proposal.id != id)
        #expect(answers.all.isEmpty)
        // Until its time is over.
        follower.run(milliseconds: 1_200)
        #expect(answers.all == [.failure(.service(.timeout))])
    }

    @Test func refusalsSayWhy() throws {
        for (reason, error) in [
            (.changeUnderWay, .changeUnderWay), (.learnerNotReady, .learnerNotReady),
            (.invalidChange(.unknownMember), .invalid(.unknownMember)), (.noSpace, .service(.noSpace)),
        ] as [(ProposalRejection, MembershipChangeError)] {
            let follower = PlayedFollower()
            follower.hear(from: 2, term: 1)
            let answers = ask(follower)
            let id = try #require(follower.takeForwarded().first?.proposal.id)
            follower.refuse(id, reason, from: 2, term: 1)
            #expect(answers.all == [.failure(error)])
            #expect(!error.isOutcomeUnknown)
        }
    }

    @Test func aJointChangeIsAnsweredByTheMembershipThatFollows() throws {
        let follower = PlayedFollower()
        let joint = Membership(voters: [NodeID(1), NodeID(2)], outgoingVoters: follower.first.voters)
        follower.hear(from: 2, term: 1)
        let answers = ask(follower)
        let id = try #require(follower.takeForwarded().first?.proposal.id)
        follower.hear(from: 2, term: 1, [entry(1, term: 1, joint, id)], commit: 1)
        #expect(answers.all.isEmpty)
        follower.hear(
            from: 2, term: 1, after: LogPosition(term: Term(1), index: LogIndex(1)), [entry(2, term: 1, two)],
            commit: 2)
        #expect(answers.all == [.success(two)])
    }

    @Test func withoutALeaderNothingIsDone() {
        let follower = PlayedFollower()
        let answers = ask(follower, timeoutMilliseconds: 300)
        follower.run(milliseconds: 500)
        #expect(answers.all == [.failure(.service(.noLeader))])
    }

    @Test func whatWaitsIsBoundedAndAnsweredAtTheEnd() {
        let follower = PlayedFollower()
        var answers: [Answers] = []
        for _ in 0..<MembershipRequests.maximumCount + 1 { answers.append(ask(follower)) }
        #expect(answers.last?.all == [.failure(.service(.tooManyRequests))])
        follower.replica.closeRequests()
        #expect(answers.dropLast().allSatisfy { $0.all == [.failure(.service(.stopped))] })
        #expect(ask(follower).all == [.failure(.service(.stopped))])
    }
}
