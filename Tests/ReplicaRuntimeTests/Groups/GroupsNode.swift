import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// A real ``ReplicaNode`` with a ``TallyMachine`` in each of its groups, on an in-memory network and disk.
final class GroupsNode: Sendable {
    typealias Group = StateMachineGroup<TallyMachine>

    let id: UInt64
    let loop: any EventLoop
    let node: ReplicaNode
    let hosts: [GroupHost<Group>]
    let endings: TestNode.Endings

    private init(_ id: UInt64, _ node: ReplicaNode, _ hosts: [GroupHost<Group>], _ endings: TestNode.Endings)
    {
        self.id = id
        self.node = node
        self.hosts = hosts
        self.endings = endings
        loop = node.loop
    }

    static func start(
        _ options: ReplicaNodeOptions, groups: [UInt64],
        on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
    ) async throws -> GroupsNode {
        let endings = TestNode.Endings()
        let hosts = groups.map { number in
            GroupHost<Group>(
                id: GroupID(number), settings: StateMachineGroupSettings(),
                replicaSettings: options.replicaSettings, label: "\(number)")
        }
        let node = try await loop.submit {
            try ReplicaNode(
                options: options, groups: hosts, loop: loop,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onEnd: { endings.add($0) })
        }.get()
        try await loop.flatSubmit { node.start() }.get()
        return GroupsNode(options.nodeID.rawValue, node, hosts, endings)
    }

    func host(_ group: UInt64) -> GroupHost<Group> {
        hosts.first { $0.id == GroupID(group) }!
    }

    func run<Value: Sendable>(_ body: @escaping @Sendable (GroupsNode) throws -> Value) async throws -> Value
    {
        try await loop.submit { try body(self) }.get()
    }

    /// Adds a number to a group's sum through this node; gives the sum after it.
    func add(_ value: Int64, to group: UInt64) async throws -> Int64? {
        let promise = loop.makePromise(of: [UInt8].self)
        let host = host(group)
        loop.execute {
            guard let group = host.group else { return promise.fail(ServiceError.noLeader) }
            do {
                try group.propose(TallyMachine.bytes(value)) { promise.completeWith($0.mapError { $0 }) }
            } catch {
                promise.fail(error)
            }
        }
        return TallyMachine.value(try await promise.futureResult.get())
    }

    func sum(of group: UInt64) async throws -> Int64? {
        let promise = loop.makePromise(of: [UInt8].self)
        let host = host(group)
        loop.execute {
            guard let group = host.group else { return promise.fail(ServiceError.noLeader) }
            group.ask([]) { promise.completeWith($0.mapError { $0 }) }
        }
        return TallyMachine.value(try await promise.futureResult.get())
    }

    /// Looks every few milliseconds, for half a minute at most.
    func wait(_ what: String, until isDone: @escaping @Sendable (GroupsNode) -> Bool) async throws {
        let promise = loop.makePromise(of: Void.self)
        let end = NIODeadline.now() + .seconds(30)
        let task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { task in
            if isDone(self) {
                task.cancel()
                promise.succeed()
            } else if NIODeadline.now() > end {
                task.cancel()
                let states = self.hosts.map { host in
                    "group \(host.id): "
                        + (host.replica.map { "\($0.core.leadership), \($0.core.membership.voters)" }
                            ?? host.admission.progress)
                }
                promise.fail(
                    NeverHappened(
                        description:
                            "node \(self.id): \(what) never happened; \(states.joined(separator: "; "))"))
            }
        }
        defer { task.cancel() }
        try await promise.futureResult.get()
    }

    func waitForLeader(of group: UInt64) async throws {
        try await wait("a leader of group \(group)") { $0.leader(of: group) != nil }
    }

    /// On the loop.
    func leader(of group: UInt64) -> NodeID? { host(group).replica?.core.leader }

    func leads(_ group: UInt64) -> Bool { host(group).replica?.core.role == .leader }

    func stop() async { await node.shutDown() }
}

extension TestCluster {
    func start(
        _ id: UInt64, groups: [UInt64], members: [UInt64] = [1, 2, 3],
        change: (inout ReplicaNodeOptions) -> Void = { _ in }
    ) async throws -> GroupsNode {
        var options = options(id, members: members)
        change(&options)
        return try await GroupsNode.start(options, groups: groups)
    }

    /// Starts three nodes and waits until each group has a leader.
    func startGroups(
        _ groups: [UInt64], change: (inout ReplicaNodeOptions) -> Void = { _ in }
    ) async throws -> [GroupsNode] {
        var nodes: [GroupsNode] = []
        for id: UInt64 in 1...3 { nodes.append(try await start(id, groups: groups, change: change)) }
        for node in nodes {
            for group in groups { try await node.waitForLeader(of: group) }
        }
        return nodes
    }
}

extension [GroupsNode] {
    func stopAll() async {
        for node in self { await node.stop() }
    }

    /// Makes a node the leader of a group.
    func lead(_ group: UInt64, by id: UInt64) async throws {
        let end = NIODeadline.now() + .seconds(30)
        while NIODeadline.now() < end {
            for node in self where try await node.run({ $0.leads(group) }) {
                if node.id == id { return }
                try? await node.host(group).transferLeadership(to: NodeID(id))
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NeverHappened(description: "node \(id) never led group \(group)")
    }
}
