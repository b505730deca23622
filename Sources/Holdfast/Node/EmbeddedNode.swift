import ConsensusTypes
import Logging
import NIOCore
import ReplicaRuntime
import ServiceLifecycle
import Synchronization

/// A node in this process, from its start until it is told to stop, with the groups that were added before.
final class EmbeddedNode: Sendable {
    /// A group as its node sees it.
    protocol Member: AnyObject, Sendable {
        var id: GroupID { get }
        /// On the loop, before each start of the node.
        func makeHost() -> any NodeGroup
        /// On the loop: the node was made.
        func attach(to node: ReplicaNode)
        /// On the loop: from now on nobody is told that this node leads, whatever its last moments bring.
        func detach()
        /// Gives the leadership up, before a graceful end.
        func resign() async
        /// The node runs no more.
        func end()
    }

    let context: NodeContext
    private let members: Mutex<[any Member]>

    /// - Parameter first: the group that decides who the members of the cluster are.
    init(_ context: NodeContext, first: any Member) {
        precondition(first.id == OpenedNode.firstGroup, "the first group has number 1")
        self.context = context
        members = Mutex([first])
    }

    /// Adds a group, as long as the node has not begun to run; `false` after that.
    func add(_ member: any Member) -> Bool {
        members.withLock { members in
            guard !context.hasBegun else { return false }
            members.append(member)
            return true
        }
    }

    private var groups: [any Member] { members.withLock { $0 } }

    /// Runs until the task is cancelled, or the service is shut down gracefully, or the node fails.
    func run() async throws(NodeRunError) {
        let isFirst = members.withLock { _ in context.begin() }
        guard isFirst else { throw .ranBefore }
        let groups = groups
        defer {
            context.end()
            for group in groups { group.end() }
        }
        while true {
            switch try await runOnce(groups) {
            case .removed:
                context.logger.notice("the node was removed from its cluster")
                throw .removed
            case .node(.failed(let reason)):
                context.logger.error("the node failed: \(reason)")
                throw .failed(reason)
            case .node(.restart(let reason)):
                context.logger.notice("the node starts again: \(reason)")
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

    private func runOnce(_ groups: [any Member]) async throws(NodeRunError) -> Ending {
        let (endings, continuation) = AsyncStream.makeStream(
            of: Ending.self, bufferingPolicy: .bufferingOldest(1))
        guard let options = try await joinedOptions() else { return .wanted }
        let node = try await start(groups, options) { continuation.yield($0) }
        context.set(node)
        let ending = await withTaskCancellationOrGracefulShutdownHandler {
            await endings.first { _ in true } ?? .wanted
        } onCancelOrGracefulShutdown: {
            continuation.yield(.wanted)
        }
        if ending.isWanted, !Task.isCancelled {
            await withTaskGroup(of: Void.self) { tasks in
                for group in groups { tasks.addTask { await group.resign() } }
            }
        }
        await detach(groups)
        context.set(nil)
        await node.close()
        return ending
    }

    private func detach(_ groups: [any Member]) async {
        await context.onLoop {
            for group in groups { group.detach() }
        }
    }

    /// What the node starts with, once it is a member; `nil` where it was told to stop before.
    func joinedOptions() async throws(NodeRunError) -> ReplicaNodeOptions? {
        let joining = Task { [context] in
            try await ClusterJoin.joining(
                context.plan.options, loop: context.loop, logger: context.logger)
        }
        let result = await withTaskCancellationOrGracefulShutdownHandler {
            await joining.result
        } onCancelOrGracefulShutdown: {
            joining.cancel()
        }
        do {
            return try result.get()
        } catch JoinError.cancelled {
            return nil
        } catch {
            throw .cannotJoin("\(error)")
        }
    }

    private func start(
        _ groups: [any Member], _ options: ReplicaNodeOptions,
        onEnd: @escaping @Sendable (Ending) -> Void
    ) async throws(NodeRunError) -> ReplicaNode {
        let (loop, logger) = (context.loop, context.logger)
        let node: ReplicaNode
        do {
            node = try await loop.submit {
                let node = try ReplicaNode(
                    options: options, groups: groups.map { $0.makeHost() }, loop: loop, logger: logger,
                    onEnd: { onEnd(.node($0)) })
                node.onRemoved = { onEnd(.removed) }
                for group in groups { group.attach(to: node) }
                return node
            }.get()
        } catch {
            await detach(groups)
            throw .cannotStart("\(error)")
        }
        do {
            try await loop.flatSubmit { node.start() }.get()
        } catch {
            await detach(groups)
            await node.close()
            throw .cannotStart("it cannot listen: \(error)")
        }
        return node
    }
}
