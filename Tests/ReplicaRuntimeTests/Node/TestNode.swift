import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import Synchronization
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

struct NeverHappened: Error, CustomStringConvertible {
    let description: String
}

/// A real ``ReplicaNode`` with a ``TallyMachine``, on a loop of its own choice, whose disk is in memory.
final class TestNode: Sendable {
    typealias Group = StateMachineGroup<TallyMachine>

    let id: NodeID
    let loop: any EventLoop
    let node: SingleGroupNode<Group>
    let endings: Endings
    let removals: Endings.Count

    /// Why the node ended by itself, in order.
    final class Endings: Sendable {
        private let found = Mutex<[NodeEnding]>([])
        var all: [NodeEnding] { found.withLock { $0 } }
        func add(_ ending: NodeEnding) { found.withLock { $0.append(ending) } }

        /// How often it was told that it was removed.
        final class Count: Sendable {
            private let value = Mutex(0)
            var count: Int { value.withLock { $0 } }
            func add() { value.withLock { $0 += 1 } }
        }
    }

    private init(_ node: SingleGroupNode<Group>, _ endings: Endings, _ removals: Endings.Count) {
        self.removals = removals
        id = node.options.nodeID
        loop = node.loop
        self.node = node
        self.endings = endings
    }

    static var quickSettings: ReplicaSettings {
        var settings = ReplicaSettings()
        settings.raft.heartbeatIntervalMilliseconds = 40
        settings.raft.electionTimeoutMilliseconds = 400
        return settings
    }

    static func start(
        _ options: ReplicaNodeOptions, on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
    ) async throws -> TestNode {
        let endings = Endings()
        let node = try await loop.submit {
            try SingleGroupNode<Group>(
                options: options, groupSettings: StateMachineGroupSettings(), loop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onEnd: { endings.add($0) })
        }.get()
        let removals = Endings.Count()
        try await loop.flatSubmit {
            node.onRemoved = { removals.add() }
            node.announce([UInt8(truncatingIfNeeded: node.options.nodeID.rawValue)])
            return node.start()
        }.get()
        return TestNode(node, endings, removals)
    }

    /// Runs on the node's loop.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (SingleGroupNode<Group>) throws -> Value
    ) async throws -> Value {
        let node = node
        return try await loop.submit { try body(node) }.get()
    }

    /// Adds a number through this node; gives the sum after it.
    func add(_ value: Int64) async throws -> Int64? {
        let node = node
        let promise = loop.makePromise(of: [UInt8].self)
        loop.execute {
            guard let group = node.group else { return promise.fail(ServiceError.noLeader) }
            do {
                try group.propose(TallyMachine.bytes(value)) { promise.completeWith($0.mapError { $0 }) }
            } catch {
                promise.fail(error)
            }
        }
        return TallyMachine.value(try await promise.futureResult.get())
    }

    /// Reads the sum linearizably.
    func sum() async throws -> Int64? {
        let node = node
        let promise = loop.makePromise(of: [UInt8].self)
        loop.execute {
            guard let group = node.group else { return promise.fail(ServiceError.noLeader) }
            group.ask([]) { promise.completeWith($0.mapError { $0 }) }
        }
        return TallyMachine.value(try await promise.futureResult.get())
    }

    var leadership: Leadership {
        get async throws {
            try await run { $0.group?.leadership ?? Leadership(role: .follower, term: .zero, leader: nil) }
        }
    }

    /// Looks every few milliseconds, for half a minute at most.
    func wait(
        _ what: String, until isDone: @escaping @Sendable (SingleGroupNode<Group>) -> Bool
    ) async throws {
        let loop = loop
        let node = node
        let promise = loop.makePromise(of: Void.self)
        let end = NIODeadline.now() + .seconds(30)
        let task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { task in
            if isDone(node) {
                task.cancel()
                promise.succeed()
            } else if NIODeadline.now() > end {
                task.cancel()
                let core = node.replica?.core
                let state = core.map { "\($0.leadership), log to \($0.lastIndex)" } ?? "not admitted"
                promise.fail(
                    NeverHappened(description: "\(node.options.nodeID): \(what) never happened; \(state)"))
            }
        }
        defer { task.cancel() }
        try await promise.futureResult.get()
    }

    /// Waits until this leader has heard of both followers, so that it can hand over.
    func settle() async throws {
        try await wait("answers of all followers") { node in
            let status = node.replica.core.status
            return !status.members.isEmpty
                && status.members.allSatisfy { $0.hasAnswered && $0.isCaughtUp }
                && status.commitIndex == status.lastPosition.index
        }
    }

    /// Makes a learner a voter, as soon as it has caught up.
    func promote(_ id: UInt64) async throws -> Membership {
        while true {
            do {
                return try await node.changeMembership(MembershipChange([.promote(NodeID(id))]))
            } catch .learnerNotReady {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    func waitForLeader() async throws {
        try await wait("a leader") { $0.group?.leadership.leader != nil }
    }

    func stop() async { await node.shutDown() }
}

/// Nodes that share an ``InMemoryNetwork``, each with a disk that stays when the node goes.
final class TestCluster: Sendable {
    let network = InMemoryNetwork()
    private let disks: Mutex<[NodeID: SimulatedFileSystem]> = Mutex([:])

    func disk(_ id: UInt64) -> SimulatedFileSystem {
        disks.withLock { disks in
            if let found = disks[NodeID(id)] { return found }
            let made = SimulatedFileSystem(seed: id)
            disks[NodeID(id)] = made
            return made
        }
    }

    func options(_ id: UInt64, members: [UInt64]) -> ReplicaNodeOptions {
        var options = ReplicaNodeOptions(
            nodeID: NodeID(id), name: "n\(id)", clusterID: ClusterID(0xc1),
            peers: members.map { PeerAddress(node: NodeID($0), host: "memory", port: Int($0)) },
            network: network, dataDirectory: "/node")
        options.replicaSettings = TestNode.quickSettings
        options.logOptions = WriteAheadLogOptions(segmentSizeBytes: 64 << 10)
        options.fileSystem = disk(id)
        return options
    }

    /// Starts a node with an empty disk, or as it was started at first.
    func join(_ id: UInt64, existing: [UInt64]) async throws -> TestNode {
        var options = options(id, members: existing + [id])
        options.clusterID = ClusterID(0x100 + id)
        options.joinsCluster = true
        return try await TestNode.start(options)
    }

    func start(_ id: UInt64, members: [UInt64] = [1, 2, 3]) async throws -> TestNode {
        try await TestNode.start(options(id, members: members))
    }

    /// Starts them all and waits until they agree on a leader.
    func startAll(_ members: [UInt64] = [1, 2, 3]) async throws -> [TestNode] {
        var nodes: [TestNode] = []
        for id in members { nodes.append(try await start(id, members: members)) }
        for node in nodes { try await node.waitForLeader() }
        return nodes
    }
}

extension [TestNode] {
    func stopAll() async {
        for node in self { await node.stop() }
    }

    /// The one that leads, once one does and no other of these believes to.
    func leader() async throws -> TestNode {
        let end = NIODeadline.now() + .seconds(30)
        while NIODeadline.now() < end {
            var leaders: [TestNode] = []
            for node in self where try await node.leadership.role == .leader { leaders.append(node) }
            if leaders.count == 1 { return leaders[0] }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw NeverHappened(description: "one leader never happened")
    }
}
