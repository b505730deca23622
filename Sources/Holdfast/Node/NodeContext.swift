import ConsensusTypes
import Logging
import NIOCore
import NIOPosix
import ReplicaRuntime
import Synchronization

/// What an ``EmbeddedNode`` and its groups share: how the node is configured, its thread, and the node below while
/// it runs.
///
/// It has a thread of a pool that all nodes of a process share and nothing else uses, so that a service which
/// keeps its own threads busy does not keep its node from answering.
final class NodeContext: Sendable {
    private enum Phase {
        case notStarted
        case running(ReplicaNode?)
        case ended
    }

    let plan: NodePlan
    let loop: any EventLoop
    let logger: Logger
    private let phase = Mutex(Phase.notStarted)

    init(_ plan: NodePlan, label: String) {
        self.plan = plan
        loop = NodeLoops.next()
        var logger = plan.configuration.logger
        logger[metadataKey: "node"] = "\(plan.configuration.name)"
        logger[metadataKey: "group"] = "\(label)"
        self.logger = logger
    }

    /// The node, while it runs.
    var node: ReplicaNode? {
        phase.withLock { phase in
            if case .running(let node) = phase { node } else { nil }
        }
    }

    var hasBegun: Bool {
        phase.withLock { phase in
            if case .notStarted = phase { false } else { true }
        }
    }

    var hasEnded: Bool {
        phase.withLock { phase in
            if case .ended = phase { true } else { false }
        }
    }

    /// Answers whether this is the first time.
    func begin() -> Bool {
        phase.withLock { phase in
            guard case .notStarted = phase else { return false }
            phase = .running(nil)
            return true
        }
    }

    func set(_ node: ReplicaNode?) {
        phase.withLock { $0 = .running(node) }
    }

    func end() {
        phase.withLock { $0 = .ended }
    }

    // MARK: The loop

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
        let end = ReplicaNode.now() + interval
        let task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { task in
            guard condition() || ReplicaNode.now() >= end else { return }
            task.cancel()
            promise.succeed()
        }
        try? await promise.futureResult.get()
        task.cancel()
    }
}

/// The threads of the nodes in this process. They live as long as it does.
enum NodeLoops {
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: max(2, System.coreCount))

    static func next() -> any EventLoop { group.next() }
}
