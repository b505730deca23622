import ConsensusTypes
import RaftCore
import ReplicaRuntime

/// A user's state machine on every node of a simulated cluster, with clients and checks.
final class StateMachineService<Workload: StateMachineWorkload>: SimulatedService {
    typealias Input = Workload.Model.Input
    typealias Output = Workload.Model.Output
    typealias Numbered = NumberedMachine<Workload.Machine>
    typealias Machine = StateMachineGroup<Numbered>
    typealias Run = SimulationRun<StateMachineService<Workload>>

    private struct Client {
        /// The operation under way.
        var current: Int?
        var startedAt = Instant.zero
        var home: Int
    }

    /// What is known of an operation. Its number is its place in the list.
    private struct Operation {
        enum Fate {
            case underWay
            case answered
            /// The client does not know.
            case unknown
            /// It never happened, and never will.
            case refused
        }

        let client: Int
        let node: Int
        let input: Input
        let recorded: Int
        let isCommand: Bool
        /// Everything that had been answered when it began is in the log up to here.
        let mustFollow: LogIndex
        var fate = Fate.underWay
        /// Where it is in the committed log, and what the log makes of it.
        var executedAt = LogIndex.zero
        /// When it was seen to be committed, as a moment of the history.
        var executedMoment: Int64 = 0
        var result: [UInt8] = []
    }

    private let workload: Workload
    private let patience: Interval
    private let maximumPauseMicroseconds: UInt64
    private var clients: [Client]
    private var operations: [Operation] = []
    private var history = HistoryRecorder<Input, Output>()
    private var committed: CommittedRun<Workload>
    /// Answers to commands, as long as they have not been compared with the committed log.
    private var unverified: [(operation: Int, answer: [UInt8])] = []
    private var unverifiedQueries: [(operation: Int, answer: [UInt8], applied: LogIndex)] = []
    /// Up to here the log holds everything that clients know to be done.
    private var known = LogIndex.zero
    private var comparedIndexes: [LogIndex]
    private var finalAnswers: [Bool]
    private var isEnding = false
    private(set) var counts = ServiceCounts()

    init(_ workload: Workload, _ settings: SimulationSettings, _ plan: FaultPlan) {
        self.workload = workload
        patience = .milliseconds(Int(plan.world.clientPatienceMilliseconds))
        maximumPauseMicroseconds = max(plan.world.clientPauseMicroseconds, 2)
        clients = (0..<settings.clientCount).map { Client(home: $0 % settings.nodeCount) }
        committed = CommittedRun(workload)
        comparedIndexes = Array(repeating: .zero, count: settings.nodeCount)
        finalAnswers = Array(repeating: false, count: settings.nodeCount)
    }

    func hasEnded(in run: Run) -> Bool {
        clients.allSatisfy { $0.current == nil } && nextFinalAnswer(in: run) == nil
    }

    /// A node that has not shown yet that it serves.
    private func nextFinalAnswer(in run: Run) -> Int? {
        finalAnswers.indices.first {
            !finalAnswers[$0] && run.mustServe($0) && !run.world.isWitness($0)
        }
    }

    var description: String {
        "\(clients.count { $0.current != nil }) operations under way, final answers \(finalAnswers)"
    }

    // MARK: Nodes

    func makeRestorer() -> any SnapshotRestorer { StateMachineRestorer<Numbered>() }

    func makeMachine(_ context: MachineContext, restored: (any SnapshotRestorer)?) -> Machine {
        var settings = StateMachineGroupSettings()
        settings.requestTimeoutMilliseconds = context.world.requestTimeoutMilliseconds
        let state = (restored as? StateMachineRestorer<Numbered>)?.takeState() ?? Numbered()
        return StateMachineGroup(
            session: context.session, state: state, settings: settings, environment: context.environment,
            clock: context.clock)
    }

    func attach(_ machine: Machine, _ replica: Replica<Machine>) {
        machine.attach(replica)
    }

    func spaceChanged(_ machine: Machine, _ space: DiskSpace, now: Instant) {
        machine.setLogSpace(space, now: now)
    }

    func rarePaths(of machine: Machine) -> RarePathSet { machine.rarePaths }

    func nodeStarted(_ number: Int, in run: Run) {
        comparedIndexes[number] = .zero
    }

    func nodeStopped(_ number: Int, in run: Run) {
        for client in clients.indices {
            if let current = clients[client].current, operations[current].node == number { giveUp(current) }
        }
    }

    private func giveUp(_ operation: Int) {
        guard case .underWay = operations[operation].fate else { return }
        operations[operation].fate = .unknown
        clients[operations[operation].client].current = nil
        if operations[operation].isCommand {
            counts.unknownWrites += 1
        } else {
            history.discard(operations[operation].recorded)
        }
    }

    // MARK: Clients

    func begin(in run: Run) {
        for client in clients.indices {
            run.wakeClient(client, afterMicroseconds: run.world.random.next(below: 100_000))
        }
    }

    func act(_ number: Int, in run: Run) {
        let pause = isEnding ? 20_000 : 1 + run.world.random.next(below: maximumPauseMicroseconds)
        run.wakeClient(number, afterMicroseconds: pause)
        if let current = clients[number].current {
            guard run.world.now >= clients[number].startedAt + patience, !isEnding else { return }
            // It gives up and does not know; the next time it asks another node.
            giveUp(current)
            clients[number].home = Int(run.world.random.next(below: UInt64(run.nodes.count)))
        }
        var target = clients[number].home
        if isEnding {
            guard let waiting = nextFinalAnswer(in: run) else { return }
            target = waiting
        }
        guard run.takesRequests(target) else {
            clients[number].home = Int(run.world.random.next(below: UInt64(run.nodes.count)))
            return
        }
        send(workload.nextInput(client: number, &run.world.random), number, target, in: run)
    }

    private func send(_ input: Input, _ client: Int, _ target: Int, in run: Run) {
        let operation = operations.count
        let request = workload.encode(input)
        var isCommand = true
        if case .query = request { isCommand = false }
        operations.append(
            Operation(
                client: client, node: target, input: input,
                recorded: history.invoke(client: client, input, at: Int64(run.world.now.nanoseconds)),
                isCommand: isCommand, mustFollow: known))
        clients[client].current = operation
        clients[client].startedAt = run.world.now
        _ = run.call(target) { [unowned self, unowned run] machine in
            switch request {
            case .command(let bytes): propose(operation, bytes, machine, in: run)
            case .query(let bytes): ask(operation, bytes, machine, in: run)
            }
        }
    }

    private func propose(_ operation: Int, _ bytes: [UInt8], _ machine: Machine, in run: Run) {
        do throws(CommandTooLargeError) {
            try machine.propose(Numbered.command(operation, bytes)) { [unowned self, unowned run] result in
                switch result {
                case .success(let answer):
                    unverified.append((operation, answer))
                    finish(operation, answer, in: run)
                case .failure(let error):
                    if error.isOutcomeUnknown { giveUp(operation) } else { refuse(operation, in: run) }
                }
            }
        } catch {
            run.world.note(SimulationFailure("workload", "\(error)"))
        }
    }

    private func ask(_ operation: Int, _ bytes: [UInt8], _ machine: Machine, in run: Run) {
        run.world.observe(.readBegun, operations[operation].node)
        machine.ask(bytes) { [unowned self, unowned run, unowned machine] result in
            guard case .success(let answer) = result else { return giveUp(operation) }
            let applied = machine.replica.appliedIndex
            if applied < operations[operation].mustFollow {
                run.world.note(
                    SimulationFailure(
                        "linearizable reads",
                        "node \(operations[operation].node) answered after entry \(applied), "
                            + "\(operations[operation].mustFollow) was known before it was asked"))
            }
            unverifiedQueries.append((operation, answer, applied))
            counts.reads += 1
            known = max(known, applied)
            finish(operation, answer, in: run)
        }
    }

    private func finish(_ operation: Int, _ answer: [UInt8], in run: Run) {
        guard case .underWay = operations[operation].fate else { return }
        let finished = operations[operation]
        operations[operation].fate = .answered
        clients[finished.client].current = nil
        if finished.isCommand { counts.acknowledgedWrites += 1 }
        if isEnding { finalAnswers[finished.node] = true }
        guard let output = workload.decode(answer, to: finished.input) else {
            return run.world.note(
                SimulationFailure("answers", "\(KeyValueText.text(answer)) means nothing to the workload"))
        }
        history.complete(finished.recorded, output, at: Int64(run.world.now.nanoseconds))
    }

    private func refuse(_ operation: Int, in run: Run) {
        if operations[operation].executedAt > .zero {
            run.world.note(executedThoughRefused(operation))
        }
        if case .underWay = operations[operation].fate { clients[operations[operation].client].current = nil }
        operations[operation].fate = .refused
        history.discard(operations[operation].recorded)
    }

    private func executedThoughRefused(_ operation: Int) -> SimulationFailure {
        SimulationFailure(
            "refusals",
            "\(workload.model.describe(input: operations[operation].input)) was refused for certain, and is "
                + "entry \(operations[operation].executedAt)")
    }

    func endingBegins(in run: Run) {
        isEnding = true
    }

    // MARK: Checks

    func noteCommitted(_ entry: Entry, in run: Run) throws(SimulationFailure) {
        guard entry.kind == .command else { return committed.skip(to: entry.index) }
        guard let number = Numbered.operation(of: entry.payload), operations.indices.contains(number) else {
            throw SimulationFailure("commands", "nobody proposed the committed entry \(entry.index)")
        }
        let operation = operations[number]
        let input = operation.input
        guard operation.executedAt == .zero else {
            throw SimulationFailure(
                "at most once",
                "\(workload.model.describe(input: input)) is entry \(operation.executedAt) and entry "
                    + "\(entry.index)")
        }
        guard entry.index > operation.mustFollow else {
            throw SimulationFailure(
                "real time",
                "\(workload.model.describe(input: input)) is entry \(entry.index), and began after entry "
                    + "\(operation.mustFollow) was known to be done")
        }
        operations[number].executedAt = entry.index
        operations[number].executedMoment = history.moment(at: Int64(run.world.now.nanoseconds))
        if case .refused = operation.fate { throw executedThoughRefused(number) }
        let command = entry.payload[8..<entry.payload.count]
        operations[number].result = try committed.apply(command, input, at: entry.index)
    }

    func check(_ node: SimulatedNode<Machine>, in run: Run) throws(SimulationFailure) {
        for (number, answer) in unverified {
            let operation = operations[number]
            guard operation.executedAt > .zero else {
                throw SimulationFailure(
                    "nothing acknowledged is lost",
                    "\(workload.model.describe(input: operation.input)) was answered and is not committed")
            }
            guard operation.result == answer else {
                throw SimulationFailure(
                    "replicas are equal",
                    "node \(operation.node) answers \(workload.model.describe(input: operation.input)) with "
                        + "\(KeyValueText.text(answer)), the committed log with "
                        + KeyValueText.text(operation.result))
            }
            known = max(known, operation.executedAt)
        }
        unverified.removeAll(keepingCapacity: true)
        for query in unverifiedQueries {
            try committed.checkQuery(operations[query.operation].input, query.answer, at: query.applied)
        }
        unverifiedQueries.removeAll(keepingCapacity: true)
        let applied = node.replica.appliedIndex
        guard applied != comparedIndexes[node.number], !run.world.isWitness(node.number) else { return }
        comparedIndexes[node.number] = applied
        try committed.check(node.number, node.machine.state.machine, at: applied)
    }

    func checkEnd(in run: Run) throws(SimulationFailure) {
        // What no client was told of stands in the log or never happened.
        for operation in operations where operation.executedAt > .zero {
            guard let output = workload.decode(operation.result, to: operation.input) else { continue }
            history.settle(operation.recorded, output, at: operation.executedMoment)
        }
        history.discardUnanswered()
        switch LinearizabilityChecker.check(history.entries, workload.model, limits: .simulated) {
        case .linearizable: break
        case .undecided: counts.undecidedHistories += 1
        case .notLinearizable(let violation):
            throw SimulationFailure("linearizability", "\(violation)")
        }
    }
}
