import ConsensusTypes
import Logging
import NIOCore
import ReplicaRuntime
import Synchronization

/// One group of an ``EmbeddedNode``, with what its owner is told of its leadership.
final class EmbeddedGroup<Machine: StateMachine>: EmbeddedNode.Member {
    typealias Group = StateMachineGroup<Machine>

    let id: GroupID
    let context: NodeContext
    let watch: LeadershipWatch
    private let label: String?
    private let groupSettings: StateMachineGroupSettings
    private let replicaSettings: ReplicaSettings
    private let isWorkDone: @Sendable () -> Bool
    private let onEnd: @Sendable () -> Void
    private let current = Mutex<GroupHost<Group>?>(nil)

    /// - Parameters:
    ///   - isShared: whether the node has other groups, which logs must tell apart.
    ///   - isWorkDone: whether nothing that was done under the leadership goes on.
    ///   - onEnd: called once, when the node runs no more.
    init(
        _ id: GroupID, _ context: NodeContext, groupSettings: StateMachineGroupSettings,
        replicaSettings: ReplicaSettings? = nil, label: String, isShared: Bool,
        isWorkDone: @escaping @Sendable () -> Bool = { true }, onEnd: @escaping @Sendable () -> Void = {}
    ) {
        self.id = id
        self.context = context
        self.groupSettings = groupSettings
        self.replicaSettings = replicaSettings ?? context.plan.options.replicaSettings
        self.label = isShared ? label : nil
        self.isWorkDone = isWorkDone
        self.onEnd = onEnd
        var logger = context.logger
        logger[metadataKey: "group"] = "\(label)"
        watch = LeadershipWatch(context.plan, loop: context.loop, logger: logger, label: label)
    }

    var plan: NodePlan { context.plan }

    var loop: any EventLoop { context.loop }

    var hasEnded: Bool { context.hasEnded }

    /// While the node runs.
    var host: GroupHost<Group>? { context.node == nil ? nil : current.withLock { $0 } }

    // MARK: EmbeddedNode.Member

    func makeHost() -> any NodeGroup {
        let host = GroupHost<Group>(
            id: id, settings: groupSettings, replicaSettings: replicaSettings, label: label)
        current.withLock { $0 = host }
        return host
    }

    func attach(to node: ReplicaNode) {
        guard let host = current.withLock({ $0 }) else { return }
        watch.attach { [weak host] now in
            host?.group.map { LeadershipWatch.observe($0.replica, now: now) }
        } nameOf: { [weak node] member in
            node?.membership.name(of: member)
        } stepAside: { [weak host] now in
            host?.group?.replica?.stepAside(now: now)
        }
        host.onTurnEnded = { [watch] in watch.turnEnded(now: $0) }
    }

    func detach() {
        watch.detach()
        current.withLock { $0 = nil }
    }

    func end() {
        watch.board.end()
        onEnd()
    }

    // MARK: Leadership

    /// Gives the leadership up, if this node has it, and leaves it to others for the pause that is configured.
    ///
    /// Before, it is waited until nothing that was done under the leadership goes on, at most for an election
    /// timeout.
    func resign() async {
        guard let host else { return }
        let patience = Interval.milliseconds(plan.configuration.electionTimeoutMilliseconds)
        let watch = watch
        let pause = TimeAmount.milliseconds(Int64(plan.configuration.resignationPauseMilliseconds))
        let wasLeading = await context.onLoop {
            watch.setResigning(true)
            return host.group?.isLeader ?? false
        }
        guard wasLeading else { return await endResignation(host, after: pause) }
        await context.wait(atMost: patience, until: isWorkDone)
        await context.onLoop { host.group?.replica?.setAbstaining(true) }
        do throws(TransferError) {
            try await host.transferLeadership()
        } catch {
            context.logger.warning("the leadership was not handed over: \(error)")
        }
        await endResignation(host, after: pause)
    }

    /// Hands the leadership to another node at once, as ``resign()`` does, without a pause after it.
    func handOver(to name: String?) async throws(LeadershipTransferError) {
        guard let host else { throw .stopped }
        let target = name.map { StableHash.node($0, cluster: plan.cluster) }
        let watch = watch
        let isLeading = await context.onLoop {
            guard host.group?.isLeader == true else { return false }
            watch.setResigning(true)
            return true
        }
        guard isLeading else { throw .notLeader }
        await context.wait(
            atMost: .milliseconds(plan.configuration.electionTimeoutMilliseconds), until: isWorkDone)
        do throws(TransferError) {
            try await host.transferLeadership(to: target)
            await context.onLoop { watch.setResigning(false) }
        } catch {
            await context.onLoop { watch.setResigning(false) }
            switch error {
            case .refused(.notLeader): throw .notLeader
            case .refused(let refusal): throw .refused("\(refusal)")
            case .gaveUp: throw .gaveUp
            case .stopped: throw .stopped
            }
        }
    }

    private func endResignation(_ host: GroupHost<Group>, after pause: TimeAmount) async {
        let watch = watch
        await context.onLoop {
            host.group?.replica?.setAbstaining(true)
            watch.endResignation(after: pause) { [weak host] in
                host?.group?.replica?.setAbstaining(false)
            }
        }
    }
}
