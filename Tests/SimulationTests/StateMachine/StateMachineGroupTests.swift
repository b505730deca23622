import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// A node whose disk answers at once, and who hears of nobody else.
private final class LoneNode: ReplicaEnvironment {
    typealias Group = StateMachineGroup<CounterMachine<Sound>>

    private(set) var group: Group!
    private(set) var replica: Replica<Group>!
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private var persisted: [UInt64] = []

    init(_ settings: StateMachineGroupSettings = StateMachineGroupSettings(), memberCount: UInt64 = 1) {
        group = Group(
            session: 1, state: CounterMachine<Sound>(), settings: settings, environment: self,
            clock: { [unowned self] in now })
        let membership = Membership(voters: (1...memberCount).map(NodeID.init))
        let core = RaftCore(
            nodeID: NodeID(1), settings: RaftSettings(),
            restored: RestoredState(
                hardState: HardState(),
                snapshot: SnapshotMetadata(index: .zero, term: .zero, membership: membership), entries: []),
            session: 1, now: now, seed: 1)
        replica = Replica(
            group: GroupID(1), core: core,
            snapshot: SnapshotMetadata(index: .zero, term: .zero, membership: membership), machine: group,
            environment: self, settings: ReplicaSettings())
        group.attach(replica)
    }

    func run(forMilliseconds milliseconds: Int = 20) {
        for _ in 0..<milliseconds {
            now = now + .milliseconds(1)
            if replica.nextDeadline <= now { replica.advance(now: now) }
            replica.runTurn(now: now)
            for sequence in persisted { replica.persisted(through: sequence, now: now) }
            persisted = []
        }
    }

    func send(_ message: RaftMessage) {}
    func sendAside(_ bytes: [UInt8], to peer: NodeID) {}
    func persist(_ write: LogWrite, sequence: UInt64) { persisted.append(sequence) }
    func storeSnapshot(_ metadata: SnapshotMetadata, source: any SnapshotSource) {}
    func releaseLog(through metadata: SnapshotMetadata) {}
    func readSnapshot(_ read: SnapshotRead) {}
    func storeReceivedChunk(_ chunk: SnapshotChunk, restorer: any SnapshotRestorer) {}
    func scheduleTurn() {}
}

@Suite struct StateMachineGroupTests {
    private func addition(_ amount: Int64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(amount)
        return writer.bytes
    }

    private func value(_ answer: [UInt8]?) -> Int64? {
        guard let answer else { return nil }
        var reader = ByteReader(answer)
        return try? reader.readInt64()
    }

    @Test func commandsAreAppliedInOrderAndAnswered() throws {
        let node = LoneNode()
        var answers: [Int64?] = []
        for amount in [5, 7] as [Int64] {
            try node.group.propose(addition(amount)) { answers.append(value(try? $0.get())) }
        }
        #expect(answers.isEmpty)
        node.run(forMilliseconds: 3_000)
        #expect(answers == [5, 12])
        var asked: Int64?
        node.group.ask([]) { asked = value(try? $0.get()) }
        node.run()
        #expect(asked == 12)
        #expect(node.group.pendingProposalCount == 0)
        #expect(node.replica.nextDeadline > node.now)
    }

    @Test func aCommandThatIsTooLargeIsRefusedAtOnce() {
        var settings = StateMachineGroupSettings()
        settings.maximumCommandSizeBytes = 7
        let node = LoneNode(settings)
        #expect(throws: CommandTooLargeError(sizeBytes: 8, maximumSizeBytes: 7)) {
            try node.group.propose(addition(1)) { _ in Issue.record("it was answered") }
        }
        #expect(node.group.pendingProposalCount == 0)
    }

    @Test func whatWaitsIsBounded() throws {
        var settings = StateMachineGroupSettings()
        settings.maximumPendingProposals = 1
        settings.maximumPendingReads = 1
        let node = LoneNode(settings)
        var errors: [ServiceError] = []
        for _ in 0..<2 {
            try node.group.propose(addition(1)) { if case .failure(let error) = $0 { errors.append(error) } }
            node.group.linearizableRead { if let error = $0 { errors.append(error) } }
        }
        #expect(errors == [.tooManyRequests, .tooManyRequests])
        #expect(errors.allSatisfy { !$0.isOutcomeUnknown })
    }

    @Test func stoppingAnswersEveryone() throws {
        let node = LoneNode()
        var errors: [ServiceError] = []
        let note = { (result: Result<[UInt8], ServiceError>) in
            if case .failure(let error) = result { errors.append(error) }
        }
        try node.group.propose(addition(1), completion: note)
        node.group.ask([], completion: note)
        node.group.stop()
        try node.group.propose(addition(1), completion: note)
        node.group.ask([], completion: note)
        #expect(errors == [.stopped, .stopped, .stopped, .stopped])
    }

    /// Nothing can be proposed before there is a leader: then it is certain that nothing was done.
    @Test func withoutALeaderARequestFailsInTime() throws {
        var settings = StateMachineGroupSettings()
        settings.requestTimeoutMilliseconds = 300
        let node = LoneNode(settings, memberCount: 3)
        var error: ServiceError?
        try node.group.propose(addition(1)) { if case .failure(let found) = $0 { error = found } }
        node.run(forMilliseconds: 500)
        #expect(error == .noLeader)
        node.run(forMilliseconds: 3_000)
        #expect(node.group.state.additions == 0)
    }

    @Test func aSnapshotPassesThroughChunks() throws {
        var machine = CounterMachine<Sound>()
        _ = machine.apply(ByteSlice(addition(42)))
        var source = StateMachineSnapshotSource(machine)
        _ = machine.apply(ByteSlice(addition(1)))
        let restorer = StateMachineRestorer<CounterMachine<Sound>>()
        var count = 0
        while let chunk = source.nextChunk(maximumSizeBytes: 5) {
            #expect(chunk.count <= 5)
            try restorer.receive(ByteSlice(chunk))
            count += 1
        }
        #expect(count == 5)
        #expect(restorer.takeState() == nil)
        try restorer.finish()
        #expect(restorer.takeState()?.value == 42)
        #expect(restorer.takeState() == nil)
    }

    @Test func whatIsNoSnapshotIsRefused() throws {
        for bytes in [[], Array(repeating: 0, count: 24), [1, 2, 3]] as [[UInt8]] {
            let restorer = StateMachineRestorer<CounterMachine<Sound>>()
            try restorer.receive(ByteSlice(bytes))
            #expect(throws: ByteDecodingError.self) { try restorer.finish() }
        }
    }
}
