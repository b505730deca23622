import ConsensusTypes
import NIOCore
import ReplicaRuntime

/// One caller's command, until it has a result or is given up.
struct Submission<State: ReplicatedState> {
    private enum Attempt: Sendable {
        case answered(Result<[UInt8], ServiceError>)
        /// The node does not take part at present; nothing was handed over.
        case noNode
        case timeout
        case cancelled
    }

    private let machine: ReplicatedStateMachine<State>
    private let deadline: ContinuousClock.Instant
    private var backoffMilliseconds: Int64 = 5
    private static var maximumBackoffMilliseconds: Int64 { 200 }

    init(_ machine: ReplicatedStateMachine<State>, deadline: ContinuousClock.Instant) {
        self.machine = machine
        self.deadline = deadline
    }

    /// What the cluster answered in the end.
    mutating func execute(_ command: [UInt8]) async throws(SubmitError) -> SessionedAnswer {
        let bytes = ByteSlice(command)
        while true {
            let ticket = try await enter()
            defer { machine.gate.end(ticket) }
            machine.metrics.noteOutstanding(machine.gate.outstandingCount)
            if let answer = try await execute(bytes, ticket) { return answer }
        }
    }

    /// `nil`: the session had expired before the command was executed; it may be tried in another.
    private mutating func execute(
        _ command: ByteSlice, _ ticket: SubmissionGate.Ticket
    ) async throws(SubmitError) -> SessionedAnswer? {
        var mayBeExecuted = false
        while true {
            let bytes = SessionedCommand.execute(
                session: ticket.session, sequence: ticket.sequence,
                acknowledgedThrough: machine.gate.acknowledgedThrough(ticket), command: command
            ).encode()
            let answer: SessionedAnswer?
            do throws(SubmitError) {
                answer = try await propose(bytes, &mayBeExecuted)
            } catch {
                throw mayBeExecuted ? Submission.unknown(error) : error
            }
            switch answer {
            case nil:
                machine.metrics.retried()
            case .sessionExpired:
                machine.gate.expired(ticket.session)
                if mayBeExecuted { throw .outcomeUnknown(.sessionExpired) }
                return nil
            case .tooManyOutstanding:
                // Other sequences end: the next attempt tells the cluster so.
                try await pause()
            case .acknowledgedBefore, .opened:
                preconditionFailure("\(answer!) to command \(ticket), which is under way")
            case .result, .malformed, .resultLost:
                return answer
            }
        }
    }

    private static func unknown(_ error: SubmitError) -> SubmitError {
        switch error {
        case .cancelled: .outcomeUnknown(.cancelled)
        case .stopped: .outcomeUnknown(.stopped)
        case .outcomeUnknown: error
        default: .outcomeUnknown(.timeout)
        }
    }

    // MARK: The session

    private mutating func enter() async throws(SubmitError) -> SubmissionGate.Ticket {
        var wasWoken = false
        while true {
            switch machine.gate.enter(wasWoken: wasWoken) {
            case .ticket(let ticket):
                return ticket
            case .overloaded:
                throw .overloaded
            case .mustOpen:
                machine.gate.opened(try await open())
                wasWoken = true
            case .wait:
                try await wait(isFirst: wasWoken)
                wasWoken = true
            }
        }
    }

    private func wait(isFirst: Bool) async throws(SubmitError) {
        let (gate, loop) = (machine.gate, machine.group.loop)
        let remaining = remaining
        var timer: Scheduled<Void>?
        let wake = await gate.wait(isFirst: isFirst) { number in
            timer = loop.scheduleTask(in: remaining) { gate.wake(number, .timeout) }
        }
        timer?.cancel()
        switch wake {
        case .tryAgain: break
        case .timeout: throw gate.hasSession ? .overloaded : .noLeader
        case .cancelled: throw .cancelled
        case .stopped: throw .stopped
        }
    }

    private mutating func open() async throws(SubmitError) -> SessionNumber {
        do throws(SubmitError) {
            while true {
                // Twice in the log it makes a session too many, which nobody uses.
                var ignored = false
                let answer = try await propose(SessionedCommand.open.encode(), &ignored)
                if case .opened(let session) = answer { return session }
                precondition(answer == nil, "a session is answered with \(answer!)")
            }
        } catch {
            machine.gate.openingFailed()
            // A session that nobody uses harms nobody: nothing was done.
            switch error {
            case .outcomeUnknown(.cancelled): throw .cancelled
            case .outcomeUnknown: throw .noLeader
            default: throw error
            }
        }
    }

    // MARK: Proposing

    /// `nil`: it is worth trying again.
    ///
    /// - Parameter mayBeExecuted: set where this attempt may have been executed, or may be.
    private mutating func propose(
        _ bytes: [UInt8], _ mayBeExecuted: inout Bool
    ) async throws(SubmitError) -> SessionedAnswer? {
        switch await attempt(bytes) {
        case .answered(.success(let answer)):
            do throws(ByteDecodingError) {
                return try SessionedAnswer.decode(ByteSlice(answer))
            } catch {
                mayBeExecuted = true
                throw .resultUnreadable("\(error)")
            }
        case .answered(.failure(let error)):
            if error.isOutcomeUnknown { mayBeExecuted = true }
            if case .noSpace = error { throw .noSpace }
            if case .witness = error { throw .witness }
        case .timeout:
            // It was handed over, and may still reach a leader.
            mayBeExecuted = true
            throw .outcomeUnknown(.timeout)
        case .cancelled:
            mayBeExecuted = true
            throw .outcomeUnknown(.cancelled)
        case .noNode:
            break
        }
        if machine.group.hasEnded { throw .stopped }
        try await pause()
        return nil
    }

    private func attempt(_ bytes: [UInt8]) async -> Attempt {
        if Task.isCancelled { return .noNode }
        let (owner, loop, remaining) = (machine.group, machine.group.loop, remaining)
        let outcome = OneAnswer<Attempt>()
        loop.execute {
            guard let group = owner.host?.group else { return outcome.give(.noNode) }
            do throws(CommandTooLargeError) {
                try group.propose(bytes) { outcome.give(.answered($0)) }
            } catch {
                preconditionFailure("a command whose size was checked is refused: \(error)")
            }
        }
        let timer = loop.scheduleTask(in: remaining) { outcome.give(.timeout) }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await outcome.wait()
        } onCancel: {
            outcome.give(.cancelled)
        }
    }

    /// A while that grows, with an end at the deadline.
    private mutating func pause() async throws(SubmitError) {
        guard ContinuousClock.now < deadline else { throw .noLeader }
        let duration = backoffMilliseconds
        backoffMilliseconds = min(duration * 2, Self.maximumBackoffMilliseconds)
        do {
            try await Task.sleep(for: .milliseconds(duration))
        } catch {
            throw .cancelled
        }
    }

    private var remaining: TimeAmount { deadline.remaining }
}

extension ContinuousClock.Instant {
    /// From now on; never negative, and at most a day.
    var remaining: TimeAmount {
        let parts = (self - .now).components
        guard parts.seconds >= 0, parts.attoseconds >= 0 else { return .zero }
        guard parts.seconds < 86_400 else { return .seconds(86_400) }
        return .nanoseconds(parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
    }
}
