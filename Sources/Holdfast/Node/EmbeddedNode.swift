import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import ReplicaRuntime
import ServiceLifecycle
import Synchronization

/// A node with one group in this process, from its start until it is told to stop.
///
/// It has a thread of a pool that all nodes of a process share and nothing else uses, so that a service which
/// keeps its own threads busy does not keep its node from answering.
final class EmbeddedNode<Machine: StateMachine>: Sendable {
    typealias Group = StateMachineGroup<Machine>
    typealias Node = ReplicaNode<Group>

    private enum Phase {
        case notStarted
        case running(Node?)
        case ended
    }

    let plan: NodePlan
    let groupSettings: StateMachineGroupSettings
    let loop: any EventLoop
    let logger: Logger
    let watch: LeadershipWatch
    private let phase = Mutex(Phase.notStarted)

    init(_ plan: NodePlan, groupSettings: StateMachineGroupSettings, label: String) {
        self.plan = plan
        self.groupSettings = groupSettings
        loop = NodeLoops.next()
        var logger = plan.configuration.logger
        logger[metadataKey: "node"] = "\(plan.configuration.name)"
        logger[metadataKey: "group"] = "\(label)"
        self.logger = logger
        watch = LeadershipWatch(plan, loop: loop, logger: logger, label: label)
    }

    /// The node, while it runs.
    var node: Node? {
        phase.withLock { phase in
            if case .running(let node) = phase { node } else { nil }
        }
    }

    var hasEnded: Bool {
        phase.withLock { phase in
            if case .ended = phase { true } else { false }
        }
    }

    /// Runs until the task is cancelled, or the service is shut down gracefully, or the node fails.
    ///
    /// - Parameter resign: called before a graceful end.
    func run(resign: @escaping @Sendable () async -> Void) async throws(NodeRunError) {
        let isFirst = phase.withLock { phase in
            guard case .notStarted = phase else { return false }
            phase = .running(nil)
            return true
        }
        guard isFirst else { throw .ranBefore }
        defer {
            phase.withLock { $0 = .ended }
            watch.board.end()
        }
        while true {
            switch try await runOnce(resign: resign) {
            case .removed:
                logger.notice("the node was removed from its cluster")
                throw .removed
            case .node(.failed(let reason)):
                logger.error("the node failed: \(reason)")
                throw .failed(reason)
            case .node(.restart(let reason)):
                logger.notice("the node starts again: \(reason)")
            case .wanted:
                return
            }
        }
    }

    private enum Ending: Sendable {
        /// It was told to stop.
        case wanted
        case removed
        case node(NodeEnding)

        var isWanted: Bool {
            if case .wanted = self { true } else { false }
        }
    }

    private func runOnce(resign: @Sendable () async -> Void) async throws(NodeRunError) -> Ending {
        let (endings, continuation) = AsyncStream.makeStream(
            of: Ending.self, bufferingPolicy: .bufferingOldest(1))
        let node = try await start { continuation.yield($0) }
        phase.withLock { $0 = .running(node) }
        let ending = await withTaskCancellationOrGracefulShutdownHandler {
            await endings.first { _ in true } ?? .wanted
        } onCancelOrGracefulShutdown: {
            continuation.yield(.wanted)
        }
        if ending.isWanted, !Task.isCancelled { await resign() }
        // From now on nobody is told that this node leads, whatever its last moments bring.
        await onLoop { [watch] in watch.detach() }
        phase.withLock { $0 = .running(nil) }
        await node.close()
        return ending
    }

    private func start(
        onEnd: @escaping @Sendable (Ending) -> Void
    ) async throws(NodeRunError) -> Node {
        let (plan, groupSettings, loop, logger, watch) = (plan, groupSettings, loop, logger, watch)
        let node: Node
        do {
            node = try await loop.submit {
                let node = try Node(
                    options: plan.options, groupSettings: groupSettings, loop: loop, logger: logger,
                    onEnd: { onEnd(.node($0)) })
                node.onRemoved = { onEnd(.removed) }
                watch.attach { [weak node] now in
                    node?.group.map { LeadershipWatch.observe($0.replica, now: now) }
                } nameOf: { [weak node] member in
                    node?.membership.name(of: member)
                } stepAside: { [weak node] now in
                    node?.group?.replica?.stepAside(now: now)
                }
                node.onTurnEnded = { [watch] in watch.turnEnded(now: $0) }
                return node
            }.get()
        } catch {
            throw .cannotStart("\(error)")
        }
        do {
            try await loop.flatSubmit { node.start() }.get()
        } catch {
            await onLoop { watch.detach() }
            await node.close()
            throw .cannotStart("it cannot listen: \(error)")
        }
        return node
    }

    /// Runs on the node's loop, also where the task is cancelled.
    func onLoop<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        let promise = loop.makePromise(of: Value.self)
        loop.execute { promise.succeed(body()) }
        guard let value = try? await promise.futureResult.get() else {
            preconditionFailure("a promise that only succeeds failed")
        }
        return value
    }

    /// Looks on the loop every few milliseconds whether the condition holds, at most for so long.
    func wait(atMost interval: Interval, until condition: @escaping @Sendable () -> Bool) async {
        let promise = loop.makePromise(of: Void.self)
        let end = Node.now() + interval
        let task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { task in
            guard condition() || Node.now() >= end else { return }
            task.cancel()
            promise.succeed()
        }
        try? await promise.futureResult.get()
        task.cancel()
    }

    // MARK: Leadership

    /// Gives the leadership up, if this node has it, and leaves it to others for the pause that is configured.
    ///
    /// - Parameter isWorkDone: whether nothing that was done under the leadership goes on; it is waited for, at
    ///   most for an election timeout.
    func resign(isWorkDone: @escaping @Sendable () -> Bool) async {
        guard let node else { return }
        let patience = Interval.milliseconds(plan.configuration.electionTimeoutMilliseconds)
        let watch = watch
        let pause = TimeAmount.milliseconds(Int64(plan.configuration.resignationPauseMilliseconds))
        let wasLeading = await onLoop {
            watch.setResigning(true)
            return node.group?.isLeader ?? false
        }
        guard wasLeading else { return await endResignation(node, after: pause) }
        await wait(atMost: patience, until: isWorkDone)
        await onLoop { node.group?.replica?.setAbstaining(true) }
        do throws(TransferError) {
            try await node.transferLeadership()
        } catch {
            logger.warning("the leadership was not handed over: \(error)")
        }
        await endResignation(node, after: pause)
    }

    /// Hands the leadership to another node at once, as ``resign(isWorkDone:)`` does, without a pause after it.
    func handOver(
        to name: String?, isWorkDone: @escaping @Sendable () -> Bool
    ) async throws(LeadershipTransferError) {
        guard let node else { throw .stopped }
        let target = name.map { StableHash.node($0, cluster: plan.cluster) }
        let watch = watch
        let isLeading = await onLoop {
            guard node.group?.isLeader == true else { return false }
            watch.setResigning(true)
            return true
        }
        guard isLeading else { throw .notLeader }
        await wait(atMost: .milliseconds(plan.configuration.electionTimeoutMilliseconds), until: isWorkDone)
        do throws(TransferError) {
            try await node.transferLeadership(to: target)
            await onLoop { watch.setResigning(false) }
        } catch {
            await onLoop { watch.setResigning(false) }
            switch error {
            case .refused(.notLeader): throw .notLeader
            case .refused(let refusal): throw .refused("\(refusal)")
            case .gaveUp: throw .gaveUp
            case .stopped: throw .stopped
            }
        }
    }

    private func endResignation(_ node: Node, after pause: TimeAmount) async {
        let watch = watch
        await onLoop {
            node.group?.replica?.setAbstaining(true)
            watch.endResignation(after: pause) { [weak node] in
                node?.group?.replica?.setAbstaining(false)
            }
        }
    }
}

/// The threads of the nodes in this process. They live as long as it does.
enum NodeLoops {
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: max(2, System.coreCount))

    static func next() -> any EventLoop { group.next() }
}
