import ConsensusTypes
import KeyValueCore
import RaftCore
import ReplicaRuntime

/// Production's key-value group on every node, with clients, lease holders and watchers, and a model beside
/// it.
final class KeyValueService: SimulatedService {
    typealias Machine = KeyValueGroup
    typealias Run = SimulationRun<KeyValueService>

    private struct UnderWay {
        let client: Int
        let node: Int
        /// Its number in the history, where it stands there.
        let recorded: Int?
        let isWrite: Bool
    }

    /// What a read returned, as long as the model has not said whether that is right.
    private struct UnverifiedRead {
        let operation: UInt64
        let node: Int
        let range: KeyRange
        let requestedRevision: Int64
        let revision: Int64
        let compactRevision: Int64
        let result: Result<[KeyValue], KeyValueError>
    }

    let mixture: ClientMixture
    private let patience: Interval
    private let maximumPauseMicroseconds: UInt64
    private let nodeCount: Int
    private var clients: [KeyValueClient]
    var holders: [LeaseHolder]
    private var watchers: [SimulatedWatcher]
    private var underWay: [UInt64: UnderWay] = [:]
    private(set) var model = ReferenceStore()
    private var modelIndex = LogIndex.zero
    private var book = OperationBook()
    private var states: StateChecker
    var leases = LeaseAudit()
    private var history = HistoryRecorder<KeyValueInput, KeyValueOutput>()
    /// The numbers in the history of writes that stand in it.
    private var recordedWrites: [UInt64: Int] = [:]
    /// What the log says of those that are committed, and since when.
    private var settled: [(recorded: Int, output: KeyValueOutput, moment: Int64)] = []
    private var unverifiedReads: [UnverifiedRead] = []
    private(set) var unverifiedWatches = false
    /// The highest revision that any client was told of: every later linearizable read must see it.
    private var highestAcknowledged: Int64 = 1
    private var finalWrites: [Bool]
    private(set) var isEnding = false
    private var tally = ServiceCounts()

    init(_ settings: SimulationSettings, _ plan: FaultPlan) {
        mixture = plan.world.mixture
        patience = .milliseconds(Int(plan.world.clientPatienceMilliseconds))
        maximumPauseMicroseconds = max(plan.world.clientPauseMicroseconds, 2)
        nodeCount = settings.nodeCount
        clients = (0..<settings.clientCount).map { KeyValueClient(number: $0, home: $0 % settings.nodeCount) }
        holders = (0..<Int(mixture.leaseHolders)).map { LeaseHolder(number: $0) }
        // One watch of everything on each node, and one that wanders.
        watchers = (0...settings.nodeCount).map { number in
            SimulatedWatcher(
                home: number < settings.nodeCount ? number : 0, isWandering: number == settings.nodeCount)
        }
        states = StateChecker(nodeCount: settings.nodeCount)
        finalWrites = Array(repeating: false, count: settings.nodeCount)
    }

    var counts: ServiceCounts {
        var counts = tally
        counts.watchEvents = watchers.reduce(0) { $0 + $1.eventCount }
        return counts
    }

    func hasEnded(in run: Run) -> Bool {
        underWay.isEmpty && model.leases.isEmpty && nextFinalWrite(in: run) == nil
    }

    /// A node on which no write has shown yet that it serves.
    private func nextFinalWrite(in run: Run) -> Int? {
        finalWrites.indices.first {
            !finalWrites[$0] && run.mustServe($0) && !run.world.isWitness($0)
        }
    }

    var description: String {
        "\(underWay.count) operations under way, final writes \(finalWrites), \(model.leases.count) leases left"
    }

    // MARK: Nodes

    func makeRestorer() -> any SnapshotRestorer { StoreSnapshotRestorer() }

    func makeMachine(_ context: MachineContext, restored: (any SnapshotRestorer)?) -> KeyValueGroup {
        var settings = KeyValueGroupSettings()
        settings.requestTimeoutMilliseconds = context.world.requestTimeoutMilliseconds
        settings.quotaBytes = context.world.quotaBytes
        let store = (restored as? StoreSnapshotRestorer)?.takeStore() ?? KeyValueStore()
        return KeyValueGroup(
            nodeID: context.nodeID, session: context.session, seed: context.seed, store: store,
            settings: settings, environment: context.environment, clock: context.clock)
    }

    func rarePaths(of machine: KeyValueGroup) -> RarePathSet { machine.rarePaths }

    func attach(_ machine: KeyValueGroup, _ replica: Replica<KeyValueGroup>) {
        machine.attach(replica)
    }

    func spaceChanged(_ machine: KeyValueGroup, _ space: DiskSpace, now: Instant) {
        machine.setLogSpace(space, now: now)
    }

    func nodeStarted(_ number: Int, in run: Run) {
        states.noteStart(number)
        guard let machine = run.nodes[number]?.machine, !run.world.isWitness(number) else { return }
        for position in watchers.indices where watchers[position].home == number {
            watchers[position].begin(on: machine)
        }
    }

    /// Whoever asked this node will never hear of it.
    func nodeStopped(_ number: Int, in run: Run) {
        let lost = underWay.filter { $0.value.node == number }.keys.sorted()
        for operation in lost { giveUp(operation) }
        for position in holders.indices { holders[position].nodeStopped(number) }
        for position in watchers.indices where watchers[position].home == number {
            watchers[position].end()
        }
    }

    private func giveUp(_ operation: UInt64) {
        guard let gone = underWay.removeValue(forKey: operation) else { return }
        if gone.isWrite { tally.unknownWrites += 1 }
        if clients[gone.client].current == operation { clients[gone.client].end() }
    }

    // MARK: Clients

    /// Clients come first, then lease holders, then watchers.
    func begin(in run: Run) {
        for client in 0..<clients.count + holders.count + watchers.count {
            run.wakeClient(client, afterMicroseconds: run.world.random.next(below: 100_000))
        }
    }

    func act(_ number: Int, in run: Run) {
        if number >= clients.count + holders.count {
            return actWatcher(number - clients.count - holders.count, number, in: run)
        }
        if number >= clients.count {
            return actHolder(number - clients.count, wakingAs: number, in: run)
        }
        let pause = isEnding ? 20_000 : 1 + run.world.random.next(below: maximumPauseMicroseconds)
        run.wakeClient(number, afterMicroseconds: pause)
        if let current = clients[number].current {
            guard run.world.now >= clients[number].startedAt + patience, !isEnding else { return }
            // It gives up and does not know; the next time it asks another node.
            giveUp(current)
            clients[number].home = Int(run.world.random.next(below: UInt64(nodeCount)))
        }
        var target = clients[number].home
        if isEnding {
            guard let waiting = nextFinalWrite(in: run) else { return }
            target = waiting
        }
        guard run.takesRequests(target) else {
            clients[number].home = Int(run.world.random.next(below: UInt64(nodeCount)))
            return
        }
        let operation = clients[number].begin(at: run.world.now)
        var request = KeyValueClient.draw(operation, mixture, &run.world.random)
        if isEnding {
            // A delete needs no space, where the quota is used up.
            let key = Array("key0".utf8)
            let end = key + [0] + Array("operation \(operation)".utf8)
            request = .write(
                .deleteRange(DeleteRangeRequest(range: KeyRange(key: key, rangeEnd: end))), .delete(key))
        }
        send(request, operation, number, target, in: run)
    }

    private func send(
        _ request: ClientRequest, _ operation: UInt64, _ client: Int, _ target: Int, in run: Run
    ) {
        let time = Int64(run.world.now.nanoseconds)
        var recorded: Int?
        var isWrite = false
        switch request {
        case .write(_, let input):
            isWrite = true
            if let input {
                recorded = history.invoke(client: client, input, at: time)
                recordedWrites[operation] = recorded
            }
        case .read(let span), .leaseRead(let span):
            recorded = history.invoke(client: client, .step(.get(span)), at: time)
        case .serializableRead(let span):
            recorded = history.invoke(client: client, .serializableGet(span), at: time)
        case .pastRead, .compaction:
            break
        }
        underWay[operation] = UnderWay(client: client, node: target, recorded: recorded, isWrite: isWrite)
        let mustSee = highestAcknowledged
        _ = run.call(target) { [unowned self, unowned run] machine in
            carryOut(request, operation, machine, target, mustSee, in: run)
        }
    }

    private func carryOut(
        _ request: ClientRequest, _ operation: UInt64, _ machine: KeyValueGroup, _ node: Int,
        _ mustSee: Int64, in run: Run
    ) {
        switch request {
        case .write(let command, _):
            machine.propose(command) { [unowned self, unowned run] in
                finishWrite(operation, $0, in: run)
            }
        case .compaction(let behind):
            let command = Command.compact(CompactRequest(revision: max(1, machine.store.revision - behind)))
            machine.propose(command) { [unowned self] _ in giveUp(operation) }
        case .read(let span), .leaseRead(let span):
            run.world.observe(.readBegun, node)
            let finish: (ServiceError?) -> Void = { [unowned self, unowned run, unowned machine] error in
                guard error == nil else { return giveUp(operation) }
                if machine.store.revision < mustSee {
                    run.world.note(
                        SimulationFailure(
                            "linearizable reads",
                            "node \(node) answered a read at revision \(machine.store.revision), \(mustSee) "
                                + "was acknowledged before"))
                }
                finishRead(operation, span, 0, machine, node, in: run)
                highestAcknowledged = max(highestAcknowledged, machine.store.revision)
            }
            if case .leaseRead = request {
                machine.leaseRead(finish)
            } else {
                machine.linearizableRead(finish)
            }
        case .serializableRead(let span):
            finishRead(operation, span, 0, machine, node, in: run)
        case .pastRead(let span, let behind):
            finishRead(operation, span, max(1, machine.store.revision - behind), machine, node, in: run)
        }
    }

    private func finishWrite(
        _ operation: UInt64, _ result: Result<CommandResult, ServiceError>, in run: Run
    ) {
        let known = underWay.removeValue(forKey: operation)
        if let known, clients[known.client].current == operation { clients[known.client].end() }
        switch result {
        case .success(let value):
            book.noteAnswer(operation, .success(value))
            guard let known else { return }
            tally.acknowledgedWrites += 1
            highestAcknowledged = max(highestAcknowledged, value.revision)
            if let recorded = known.recorded {
                history.complete(recorded, value.observed, at: Int64(run.world.now.nanoseconds))
            }
            if isEnding { finalWrites[known.node] = true }
        case .failure(.noLeader), .failure(.tooManyRequests), .failure(.noSpace), .failure(.stopped):
            do throws(SimulationFailure) { try book.noteRefusal(operation) } catch { run.world.note(error) }
            if let recorded = known?.recorded { history.discard(recorded) }
        case .failure(.keyValue(let error)):
            book.noteAnswer(operation, .failure(error))
            if let recorded = known?.recorded { history.discard(recorded) }
        case .failure:
            tally.unknownWrites += 1
        }
    }

    private func finishRead(
        _ operation: UInt64, _ span: KeySpan, _ requestedRevision: Int64, _ machine: KeyValueGroup,
        _ node: Int, in run: Run
    ) {
        guard let known = underWay.removeValue(forKey: operation) else { return }
        if clients[known.client].current == operation { clients[known.client].end() }
        tally.reads += 1
        let range = KeyRange(key: span.key, rangeEnd: span.end)
        let request = RangeRequest(range: range, revision: requestedRevision)
        let store = machine.store
        let result: Result<[KeyValue], KeyValueError>
        do throws(KeyValueError) {
            result = .success(try store.range(request).keyValues)
        } catch {
            result = .failure(error)
        }
        unverifiedReads.append(
            UnverifiedRead(
                operation: operation, node: node, range: range, requestedRevision: requestedRevision,
                revision: store.revision, compactRevision: store.compactRevision, result: result))
        if let recorded = known.recorded, case .success(let pairs) = result {
            let output = KeyValueOutput(
                revision: store.revision, results: [.pairs(pairs.map(\.observed))])
            history.complete(recorded, output, at: Int64(run.world.now.nanoseconds))
        }
    }

    func endingBegins(in run: Run) {
        isEnding = true
    }

    // MARK: Watchers

    private func actWatcher(_ position: Int, _ number: Int, in run: Run) {
        let world = run.world
        let pause = 1 + world.random.next(below: isEnding ? 100_000 : 8 * maximumPauseMicroseconds)
        run.wakeClient(number, afterMicroseconds: pause)
        if watchers[position].isWandering, !isEnding, world.random.chance(1, outOf: 16) {
            // It goes to another node, which may be behind, and resumes there, or watches something else.
            if let machine = run.nodes[watchers[position].home]?.machine { watchers[position].leave(machine) }
            watchers[position].home = Int(world.random.next(below: UInt64(nodeCount)))
            if world.random.chance(1, outOf: 4) {
                watchers[position].chooseAnew(mixture, model.revision, &world.random)
            }
            if let machine = run.nodes[watchers[position].home]?.machine,
                !run.isPaused(watchers[position].home), !run.world.isWitness(watchers[position].home)
            {
                watchers[position].begin(on: machine)
            }
        }
        let asksForProgress = world.random.chance(1, outOf: 4)
        guard run.takesRequests(watchers[position].home) else { return }
        let watch = watchers[position].watchNumber
        _ = run.call(watchers[position].home) { [unowned self] machine in
            // A node that was paused may take this when the watcher has long gone elsewhere.
            guard watchers[position].watchNumber == watch else { return }
            watchers[position].pull(machine, asksForProgress: asksForProgress)
            unverifiedWatches = true
        }
    }

    // MARK: Checks

    func noteCommitted(_ entry: Entry, in run: Run) throws(SimulationFailure) {
        modelIndex = entry.index
        guard entry.kind == .command else { return }
        let command: Command
        do throws(ByteDecodingError) {
            command = try Command.decode(entry.payload)
        } catch {
            throw SimulationFailure("commands", "committed entry \(entry.index) does not decode: \(error)")
        }
        let result = model.apply(command)
        if let operation = KeyValueClient.operation(of: command) {
            try book.noteCommitted(operation, result)
            if let recorded = recordedWrites[operation], case .success(let value) = result {
                let moment = history.moment(at: Int64(run.world.now.nanoseconds))
                settled.append((recorded, value.observed, moment))
            }
        }
        switch (command, result) {
        case (.leaseRevoke(let id, .some), .success):
            tally.leasesExpired += 1
            try leases.noteExpired(id, now: run.world.now, fastestDrift: run.world.fastestDrift)
            run.world.observe(.leaseExpired, run.world.leader ?? 0)
        case (.leaseRevoke(let id, nil), .success):
            leases.noteRevoked(id)
        case (.compact, .success):
            run.world.observe(.compacted, run.world.leader ?? 0)
        default:
            break
        }
    }

    func check(_ node: SimulatedNode<KeyValueGroup>, in run: Run) throws(SimulationFailure) {
        if !run.world.isWitness(node.number) {
            try states.check(
                node.number, node.machine.store, appliedIndex: node.replica.appliedIndex, model,
                modelIndex: modelIndex)
        }
        try book.verify()
        if !unverifiedReads.isEmpty {
            for read in unverifiedReads { try verify(read) }
            unverifiedReads.removeAll(keepingCapacity: true)
        }
        if unverifiedWatches {
            unverifiedWatches = false
            for position in watchers.indices { try watchers[position].verify(model) }
        }
    }

    private func verify(_ read: UnverifiedRead) throws(SimulationFailure) {
        let revision = read.requestedRevision > 0 ? read.requestedRevision : read.revision
        let expected: Result<[KeyValue], KeyValueError> =
            revision < read.compactRevision
            ? .failure(.compacted) : .success(model.range(read.range, at: revision))
        guard read.result == expected else {
            throw SimulationFailure(
                "reads",
                "node \(read.node) answered read \(read.operation) at revision \(revision) of "
                    + "\(read.revision) with \(read.result), the model with \(expected)")
        }
    }

    func checkEnd(in run: Run) throws(SimulationFailure) {
        var again = KeyValueStore()
        for entry in run.world.checker.committed where entry.kind == .command {
            if let command = try? Command.decode(entry.payload) { _ = again.apply(command) }
        }
        let expected = try? again.hash(atRevision: 0)
        for case let node? in run.nodes
        where run.mustServe(node.number) && !run.world.isWitness(node.number) {
            try states.checkAll(node.number, node.machine.store, model)
            guard (try? node.machine.store.hash(atRevision: 0)) == expected else {
                throw SimulationFailure(
                    "applied state", "node \(node.number) differs from what the committed log makes")
            }
        }
        try checkHistory()
    }

    /// What no client was told of stands in the log or never happened: so no outcome is unknown, which a search
    /// would have to try in every place. A write is there for every read that begins after it was committed,
    /// whether its client was answered or not.
    private func checkHistory() throws(SimulationFailure) {
        for write in settled { history.settle(write.recorded, write.output, at: write.moment) }
        history.discardUnanswered()
        let entries = history.entries
        switch LinearizabilityChecker.check(entries, KeyValueModel(), limits: .simulated) {
        case .linearizable: break
        case .undecided: tally.undecidedHistories += 1
        case .notLinearizable(let violation):
            throw SimulationFailure("linearizability", "\(violation)")
        }
        // Revisions say in which order writes happened: where all outcomes are known, that is decided.
        let settings = RevisionWitness.Settings(initialRevision: 1, allowsForeignWrites: true)
        if case .inconsistent(let violation) = RevisionWitness.check(entries, watched: [], settings: settings)
        {
            throw SimulationFailure("revisions", "\(violation)")
        }
    }
}
