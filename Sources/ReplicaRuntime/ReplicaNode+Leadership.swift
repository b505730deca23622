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

// What an owner decides of the leadership and the membership, and the node's end.
extension ReplicaNode {
    /// Hands the leadership over to a voter, or to the best of them, and returns when another node leads. Only
    /// the leader can do it. Clients' requests wait meanwhile.
    public func transferLeadership(to target: NodeID? = nil) async throws(TransferError) {
        let started = try? await loop.flatSubmit { [self] in beginHandOver(to: target) }.get()
        guard let started else { throw .stopped }
        if case .failure(let error) = started { throw error }
    }

    /// On the loop; the future never fails.
    public func beginHandOver(to target: NodeID?) -> EventLoopFuture<Result<Void, TransferError>> {
        loop.preconditionInEventLoop()
        guard let replica, !isStopped else { return loop.makeSucceededFuture(.failure(.stopped)) }
        guard handOver == nil else { return loop.makeSucceededFuture(.failure(.refused(.underWay))) }
        if let refusal = replica.transferLeadership(to: target, now: Self.now()) {
            return loop.makeSucceededFuture(.failure(.refused(refusal)))
        }
        let promise = loop.makePromise(of: Void.self)
        handOver = promise
        // What the core gives up after an election timeout; a little later so that it says so first.
        let timeout = 2 * options.replicaSettings.raft.electionTimeoutMilliseconds
        let deadline = loop.scheduleTask(in: .milliseconds(Int64(timeout))) { [self] in endHandOver() }
        return promise.futureResult.assumeIsolated().map { _ in
            deadline.cancel()
            let leadership = replica.core.leadership
            return leadership.role == .leader ? .failure(.gaveUp) : .success(())
        }.nonisolated()
    }

    /// Another node leads, or the transfer was given up. While nobody leads this node's vote may be needed.
    func endHandOverIfDone() {
        let leader = replica.core.leader
        let isLed = leader != nil && leader != options.nodeID
        let isGivenUp = replica.core.role == .leader && replica.core.transferTarget == nil
        if isLed || isGivenUp { endHandOver() }
    }

    private func endHandOver() {
        let promise = handOver
        handOver = nil
        promise?.succeed()
    }

    /// Changes the membership, on whichever node leads, and returns what is in force once the change has ended.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int = 10_000
    ) async throws(MembershipChangeError) -> Membership {
        let promise = loop.makePromise(of: Result<Membership, MembershipChangeError>.self)
        loop.execute { [self] in
            changeMembership(change, timeoutMilliseconds: timeoutMilliseconds) { promise.succeed($0) }
        }
        guard let result = try? await promise.futureResult.get() else { throw .service(.stopped) }
        return try result.get()
    }

    /// On the loop; `completion` is called once, there.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int = 10_000,
        completion: @escaping (Result<Membership, MembershipChangeError>) -> Void
    ) {
        loop.preconditionInEventLoop()
        guard let replica, !isStopped else { return completion(.failure(.service(.stopped))) }
        replica.changeMembership(
            change, timeoutMilliseconds: timeoutMilliseconds, now: Self.now(), completion: completion)
    }

    // MARK: The end

    /// Hands the leadership over where this node has it, which takes an election timeout at most, answers
    /// everyone who waits, writes what was begun and closes the data directory, which can be opened again
    /// afterwards.
    public func shutDown() async {
        _ = try? await loop.flatSubmit { [self] in beginHandOver(to: nil) }.get()
        await close()
    }

    /// Ends the node as ``shutDown()`` does, without handing the leadership over.
    public func close() async {
        let closing = loop.flatSubmit { [self] in
            isStopped = true
            endHandOver()
            group?.stop()
            replica?.closeRequests()
            for task in [timer, admissionTimer, membersTimer, removalTimer] { task?.cancel() }
            return transport.shutdown()
        }
        try? await closing.get()
        try? await worker.stop()
        try? await memoryThread.shutdownGracefully()
        try? await loop.submit { [self] in
            log?.stop()
            opened = nil
        }.get()
    }
}
