import ConsensusTypes
import NIOCore
import ReplicaRuntime

extension ReplicatedStateMachine {
    private enum ReadAttempt: Sendable {
        case answered(Result<[UInt8], ServiceError>)
        case noNode
        case timeout
        case cancelled
    }

    /// Asks the state, on this node, as soon as it is as fresh as wanted.
    ///
    /// Waits while no leader is known and while the node starts, except for ``ReadConsistency/stale``, which
    /// only waits for the start.
    ///
    /// - Parameter timeout: how long to wait altogether. Cancelling the task ends the waiting too.
    public func read(
        _ query: State.Query, consistency: ReadConsistency = .linearizable, timeout: Duration = .seconds(30)
    ) async throws(ReadError) -> State.Answer {
        let deadline = ContinuousClock.now + timeout
        let bytes: [UInt8]
        do throws(ValueEncodingError) {
            bytes = try State.queryCoding.encode(query)
        } catch {
            throw .notEncodable(error)
        }
        metrics.read(consistency)
        while true {
            switch await attempt(bytes, consistency, deadline) {
            case .answered(.success(let answer)): return try decode(answer)
            case .answered(.failure(.tooManyRequests)): throw .overloaded
            case .answered(.failure(.witness)): throw .witness
            case .cancelled: throw .cancelled
            case .timeout: throw .timeout
            case .answered(.failure), .noNode: break
            }
            if group.hasEnded { throw .stopped }
            guard ContinuousClock.now < deadline else { throw .timeout }
            do {
                try await Task.sleep(for: .milliseconds(20))
            } catch {
                throw .cancelled
            }
        }
    }

    private func attempt(
        _ query: [UInt8], _ consistency: ReadConsistency, _ deadline: ContinuousClock.Instant
    ) async -> ReadAttempt {
        let (owner, loop) = (group, group.loop)
        let outcome = OneAnswer<ReadAttempt>()
        loop.execute {
            guard let group = owner.host?.group else { return outcome.give(.noNode) }
            if Self.mayAnswerAtOnce(group, consistency) {
                outcome.give(.answered(.success(group.state.answer(ByteSlice(query)))))
            } else {
                group.ask(query) { outcome.give(.answered($0)) }
            }
        }
        let timer = loop.scheduleTask(in: deadline.remaining) { outcome.give(.timeout) }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await outcome.wait()
        } onCancel: {
            outcome.give(.cancelled)
        }
    }

    private static func mayAnswerAtOnce(
        _ group: StateMachineGroup<Machine>, _ consistency: ReadConsistency
    ) -> Bool {
        // A witness is asked like everybody else, and says what it is.
        guard !group.replica.isWitness else { return false }
        switch consistency {
        case .stale: return true
        case .linearizable: return false
        case .lease:
            // The clock is read after the question came.
            let now = ReplicaNode.now()
            guard let index = group.replica.requestLeaseRead(now: now) else { return false }
            return group.replica.appliedIndex >= index
        }
    }

    private func decode(_ answer: [UInt8]) throws(ReadError) -> State.Answer {
        do throws(ByteDecodingError) {
            switch try SessionedAnswer.decode(ByteSlice(answer)) {
            case .result(let bytes): return try State.answerCoding.decode(bytes)
            case .malformed: throw ByteDecodingError(offset: -1, reason: "")
            default: throw ByteDecodingError(offset: 0, reason: "the node could not write it to bytes")
            }
        } catch {
            throw error.offset < 0 ? .notUnderstood : .answerUnreadable("\(error)")
        }
    }
}
