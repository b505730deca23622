import ConsensusTypes
import KeyValueCore
import ReplicaRuntime

/// The clients of a run, what they were told, and what must therefore be true.
struct Workload {
    private var clients: [SimulatedClient]
    private var outcomes: [UInt64: SimulatedClient.Outcome] = [:]
    /// Where each operation under way was sent.
    private var underWay: [UInt64: Int] = [:]
    /// The highest revision that any client was told of: every later read must see it.
    private var highestAcknowledged: Int64 = 1
    private var watches: [SimulatedWatch]
    private(set) var acknowledgedCount = 0
    private(set) var unknownCount = 0
    private(set) var readCount = 0
    private var finalWrites: [Bool]
    /// The faults stopped: each node still has to take one write.
    var isEnding = false

    init(clientCount: Int, nodeCount: Int) {
        clients = (0..<clientCount).map(SimulatedClient.init)
        watches = (0..<nodeCount).map { _ in SimulatedWatch() }
        finalWrites = Array(repeating: false, count: nodeCount)
    }

    var isIdle: Bool { underWay.isEmpty }

    var hasFinalWrites: Bool { finalWrites.allSatisfy(\.self) }

    var watchEventCount: Int { watches.reduce(0) { $0 + $1.eventCount } }

    var description: String {
        "\(underWay.count) operations under way, final writes \(finalWrites)"
    }

    // MARK: Acting

    /// The client does its next thing, unless the last one is not answered yet.
    mutating func act(_ number: Int, in run: SimulationRun) {
        let pause = isEnding ? 20_000 : 1_000 + run.random.next(below: 60_000)
        run.add(.client(number), afterMicroseconds: pause)
        guard clients[number].current == nil else { return }
        let target: Int
        if isEnding {
            guard let waiting = finalWrites.firstIndex(of: false) else { return }
            target = waiting
        } else {
            target = Int(run.random.next(below: UInt64(finalWrites.count)))
        }
        guard let node = run.nodes[target] else { return }
        if !isEnding, run.random.chance(1, outOf: 4) {
            read(number, node, in: run)
        } else {
            write(number, node, in: run)
        }
    }

    private mutating func write(_ number: Int, _ node: SimulatedNode, in run: SimulationRun) {
        let operation = clients[number].begin()
        underWay[operation] = node.number
        var command = SimulatedClient.write(operation, &run.random)
        if !isEnding, run.random.chance(1, outOf: 100) {
            // A compaction carries no number; what comes of it shows in the watches and the final states.
            command = .compact(CompactRequest(revision: max(1, node.group.store.revision - 20)))
        }
        let target = node.number
        node.group.propose(command) { [unowned run] result in
            run.workload.finish(operation, number, target, result, in: run)
        }
    }

    private mutating func finish(
        _ operation: UInt64, _ client: Int, _ target: Int,
        _ result: Result<CommandResult, ServiceError>, in run: SimulationRun
    ) {
        guard underWay.removeValue(forKey: operation) != nil else { return }
        if clients[client].current == operation { clients[client].end() }
        switch result {
        case .success(.compact):
            break
        case .success(let value):
            acknowledgedCount += 1
            highestAcknowledged = max(highestAcknowledged, value.revision)
            outcomes[operation] = .acknowledged(revision: value.revision)
            if isEnding { finalWrites[target] = true }
        case .failure(.noLeader), .failure(.tooManyRequests), .failure(.noSpace), .failure(.stopped):
            outcomes[operation] = .failed
        case .failure(.keyValue):
            break  // Decided and refused, as a compaction of what is compacted already.
        case .failure:
            unknownCount += 1
            outcomes[operation] = .unknown
        }
    }

    private mutating func read(_ number: Int, _ node: SimulatedNode, in run: SimulationRun) {
        let operation = clients[number].begin()
        underWay[operation] = node.number
        let mustSee = highestAcknowledged
        node.group.linearizableRead { [unowned run, weak node] error in
            run.workload.finishRead(operation, number, error, node: node, mustSee: mustSee, in: run)
        }
    }

    private mutating func finishRead(
        _ operation: UInt64, _ client: Int, _ error: ServiceError?, node: SimulatedNode?, mustSee: Int64,
        in run: SimulationRun
    ) {
        guard underWay.removeValue(forKey: operation) != nil else { return }
        if clients[client].current == operation { clients[client].end() }
        guard error == nil, let node else { return }
        readCount += 1
        let revision = node.group.store.revision
        if revision < mustSee {
            run.noted = SimulationFailure(
                "linearizable reads",
                "node \(node.number) answered a read at revision \(revision), \(mustSee) was acknowledged before"
            )
        }
        highestAcknowledged = max(highestAcknowledged, revision)
    }

    // MARK: Nodes

    mutating func noteStart(_ node: SimulatedNode, in run: SimulationRun) {
        let number = node.number
        watches[number].begin(on: node) { [unowned run] in
            run.workload.pullWatch(number, in: run)
        }
    }

    private mutating func pullWatch(_ number: Int, in run: SimulationRun) {
        guard let node = run.nodes[number] else { return }
        do throws(SimulationFailure) {
            try watches[number].pull(from: node) { [unowned run] in run.workload.pullWatch(number, in: run) }
        } catch {
            run.noted = error
        }
    }

    /// Whoever asked this node will never hear of it.
    mutating func noteCrash(_ number: Int) {
        let lost = underWay.filter { $0.value == number }.keys.sorted()
        for operation in lost {
            underWay[operation] = nil
            unknownCount += 1
            outcomes[operation] = .unknown
        }
        for position in clients.indices {
            if let current = clients[position].current, lost.contains(current) {
                clients[position].end()
            }
        }
    }

    // MARK: The end

    /// What was acknowledged is there, once; what failed for certain is not; all nodes are what the committed
    /// log makes of an empty store.
    func checkEnd(committed: SafetyChecker, nodes: [SimulatedNode]) throws(SimulationFailure) {
        var model = KeyValueStore()
        var revisions: [UInt64: Int64] = [:]
        for entry in committed.committed where entry.kind == .command {
            guard let command = try? Command.decode(entry.payload) else {
                throw SimulationFailure("commands", "committed entry \(entry.index) does not decode")
            }
            let result = model.apply(command)
            if let operation = SimulatedClient.operation(of: command), case .success(let value) = result {
                revisions[operation] = value.revision
            }
        }
        for operation in outcomes.keys.sorted() {
            let count = committed.committedOperations[operation] ?? 0
            guard count <= 1 else {
                throw SimulationFailure("at most once", "operation \(operation) was executed \(count) times")
            }
            switch outcomes[operation]! {
            case .acknowledged(let revision):
                guard revisions[operation] == revision else {
                    throw SimulationFailure(
                        "nothing acknowledged is lost",
                        "operation \(operation) was acknowledged at revision \(revision), and the log has it "
                            + "\(count) times, at \(revisions[operation] ?? 0)")
                }
            case .failed:
                guard count == 0 else {
                    throw SimulationFailure(
                        "refusals", "operation \(operation) failed for certain and was executed")
                }
            case .unknown:
                break
            }
        }
        let expected = try? model.hash(atRevision: 0)
        for node in nodes {
            let found = try? node.group.store.hash(atRevision: 0)
            guard found == expected else {
                throw SimulationFailure(
                    "applied state", "node \(node.number) differs from what the committed log makes")
            }
        }
    }
}

/// A client that watches all keys of one node, resumes where it was when the node comes back, and sees every
/// revision once and in order.
struct SimulatedWatch {
    private var id: WatchID?
    private var lastRevision: Int64 = 1
    private(set) var eventCount = 0

    mutating func begin(on node: SimulatedNode, onPending: @escaping () -> Void) {
        let request = WatchRequest(
            range: KeyRange(key: [0], rangeEnd: [0]), startRevision: lastRevision + 1)
        id = try? node.group.watch(request, onPending: onPending)
    }

    mutating func pull(
        from node: SimulatedNode, onPending: @escaping () -> Void
    ) throws(SimulationFailure) {
        guard let id else { return }
        let batch: WatchBatch
        do throws(WatchError) {
            batch = try node.group.pull(id, limits: EventLimits())
        } catch {
            guard case .compacted(let revision) = error else { return }
            // As a client does: it takes up the watch after what is gone.
            node.group.cancelWatch(id)
            lastRevision = max(lastRevision, revision - 1)
            return begin(on: node, onPending: onPending)
        }
        for event in batch.events {
            eventCount += 1
            let revision = event.keyValue.modRevision
            guard revision == lastRevision || revision == lastRevision + 1 else {
                throw SimulationFailure(
                    "watches", "node \(node.number) showed revision \(revision) after \(lastRevision)")
            }
            lastRevision = revision
        }
        guard batch.throughRevision <= lastRevision else {
            throw SimulationFailure(
                "watches",
                "node \(node.number) claims revision \(batch.throughRevision) after \(lastRevision)")
        }
    }
}
