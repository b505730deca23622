import ConsensusTypes
import Logging
import NIOCore
import RaftCore

/// Why the leadership was not handed over.
public enum TransferError: Error, Hashable, Sendable, CustomStringConvertible {
    case refused(TransferRefusal)
    /// There was no new leader in time: this node goes on to lead.
    case gaveUp
    /// The node does not take part, or is shutting down.
    case stopped

    public var description: String {
        switch self {
        case .refused(let refusal): "the leadership cannot be handed over: \(refusal)"
        case .gaveUp: "nobody took the leadership over within an election timeout; this node goes on to lead"
        case .stopped: "this node does not take part"
        }
    }
}

// What an owner decides of a group's leadership.
extension GroupHost {
    package var leader: NodeID? { replica?.core.leader }

    /// Hands the leadership over to a voter, or to the best of them, and returns when another node leads. Only
    /// the leader can do it. Clients' requests wait meanwhile.
    public func transferLeadership(to target: NodeID? = nil) async throws(TransferError) {
        guard let node else { throw .stopped }
        let started = try? await node.loop.flatSubmit { [self] in beginHandOver(to: target) }.get()
        guard let started else { throw .stopped }
        if case .failure(let error) = started { throw error }
    }

    /// On the node's loop, while the node is there; the future never fails.
    public func beginHandOver(to target: NodeID?) -> EventLoopFuture<Result<Void, TransferError>> {
        guard let node else { preconditionFailure("the group's node is gone") }
        let loop = node.loop
        loop.preconditionInEventLoop()
        guard let replica, !node.isStopped else { return loop.makeSucceededFuture(.failure(.stopped)) }
        guard handOver == nil else { return loop.makeSucceededFuture(.failure(.refused(.underWay))) }
        if let refusal = replica.transferLeadership(to: target, now: ReplicaNode.now()) {
            return loop.makeSucceededFuture(.failure(.refused(refusal)))
        }
        let promise = loop.makePromise(of: Void.self)
        handOver = promise
        // What the core gives up after an election timeout; a little later so that it says so first.
        let timeout = replica.core.electionTimeout * 2
        let deadline = loop.scheduleTask(in: .nanoseconds(Int64(timeout.nanoseconds))) { [self] in
            endHandOver()
        }
        return promise.futureResult.assumeIsolated().map { _ in
            deadline.cancel()
            let leadership = replica.core.leadership
            return leadership.role == .leader ? .failure(.gaveUp) : .success(())
        }.nonisolated()
    }

    /// Another node leads, or the transfer was given up. While nobody leads this node's vote may be needed.
    func endHandOverIfDone() {
        let leader = replica.core.leader
        let isLed = leader != nil && leader != replica.core.nodeID
        let isGivenUp = replica.core.role == .leader && replica.core.transferTarget == nil
        if isLed || isGivenUp { endHandOver() }
    }

    func endHandOver() {
        let promise = handOver
        handOver = nil
        promise?.succeed()
    }

    package func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int,
        completion: @escaping (Result<Membership, MembershipChangeError>) -> Void
    ) {
        guard let node, let replica, !node.isStopped else { return completion(.failure(.service(.stopped))) }
        replica.changeMembership(
            change, timeoutMilliseconds: timeoutMilliseconds, now: ReplicaNode.now(), completion: completion)
    }
}
