import ConsensusTypes
import ReplicaRuntime

/// A ``ReplicatedState`` together with its clients' sessions, which make every command take effect exactly once
/// however often it is submitted (Raft dissertation, section 6.3).
///
/// A command carries its session and its sequence there. Its result is kept until the client has acknowledged
/// it, and given again to a command that comes again. Sessions are a part of the replicated state, snapshots
/// included, so that a retry through another leader, or after a restart of all nodes, finds them.
///
/// When there are more than ``maximumSessions``, the one is forgotten whose last command is the oldest in the
/// log. A session's number is never given again, so that a command of a forgotten session is refused and never
/// executed a second time.
public struct SessionedMachine<State: ReplicatedState>: StateMachine {
    /// How many clients are remembered.
    public static var maximumSessions: Int { 1_024 }
    /// How many results one client may leave unacknowledged.
    public static var maximumOutstandingPerSession: Int { 1_024 }

    /// The user's state, without the sessions.
    public private(set) var state: State
    private var sessions: [SessionNumber: ClientSession] = [:]
    private var lastSession: UInt64 = 0
    /// How many commands there were: the time of sessions.
    private var commandCount: UInt64 = 0

    /// The state before the first command.
    public init() {
        state = State()
    }

    /// How many clients are remembered at present.
    public var sessionCount: Int { sessions.count }

    /// Executes an encoded ``SessionedCommand``, unless it was executed before; answers an encoded ``SessionedAnswer``.
    public mutating func apply(_ command: ByteSlice) -> [UInt8] {
        commandCount += 1
        switch try? SessionedCommand.decode(command) {
        case .open:
            return open().encode()
        case .execute(let session, let sequence, let acknowledgedThrough, let command):
            return execute(
                command, session: session, sequence: sequence, acknowledgedThrough: acknowledgedThrough)
        case nil:
            return SessionedAnswer.malformed.encode()
        }
    }

    private mutating func open() -> SessionedAnswer {
        // The times of last use differ, so the order in which the dictionary gives them does not matter.
        if sessions.count >= Self.maximumSessions,
            let oldest = sessions.min(by: { $0.value.lastUsedAt < $1.value.lastUsedAt })
        {
            sessions[oldest.key] = nil
        }
        lastSession += 1
        let number = SessionNumber(lastSession)
        sessions[number] = ClientSession(lastUsedAt: commandCount)
        return .opened(number)
    }

    private mutating func execute(
        _ command: ByteSlice, session: SessionNumber, sequence: UInt64, acknowledgedThrough: UInt64
    ) -> [UInt8] {
        guard sessions[session] != nil else { return SessionedAnswer.sessionExpired.encode() }
        sessions[session]!.lastUsedAt = commandCount
        sessions[session]!.acknowledge(through: acknowledgedThrough)
        switch sessions[session]!.standing(of: sequence) {
        case .done(let answer):
            return answer
        case .acknowledged:
            return SessionedAnswer.acknowledgedBefore.encode()
        case .new where sessions[session]!.results.count >= Self.maximumOutstandingPerSession:
            return SessionedAnswer.tooManyOutstanding.encode()
        case .new:
            let answer = execute(command)
            sessions[session]!.note(answer, of: sequence)
            return answer
        }
    }

    private mutating func execute(_ bytes: ByteSlice) -> [UInt8] {
        guard let command = try? State.commandCoding.decode(bytes) else {
            return SessionedAnswer.malformed.encode()
        }
        let result = state.apply(command)
        guard let encoded = try? State.resultCoding.encode(result) else {
            return SessionedAnswer.resultLost.encode()
        }
        return SessionedAnswer.result(ByteSlice(encoded)).encode()
    }

    /// Answers an encoded query with an encoded ``SessionedAnswer``.
    public func answer(_ query: ByteSlice) -> [UInt8] {
        guard let question = try? State.queryCoding.decode(query) else {
            return SessionedAnswer.malformed.encode()
        }
        guard let encoded = try? State.answerCoding.encode(state.answer(question)) else {
            return SessionedAnswer.resultLost.encode()
        }
        return SessionedAnswer.result(ByteSlice(encoded)).encode()
    }
}

// MARK: Snapshots

extension SessionedMachine {
    /// The counters, the sessions in the order of their numbers, then the state.
    public func snapshot() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(lastSession)
        writer.write(commandCount)
        writer.write(UInt32(sessions.count))
        for (number, session) in sessions.sorted(by: { $0.key < $1.key }) {
            writer.write(number.rawValue)
            session.encode(into: &writer)
        }
        do throws(ValueEncodingError) {
            writer.writeSized(try State.stateCoding.encode(state))
        } catch {
            preconditionFailure("the state \(State.self) cannot be written to a snapshot: \(error)")
        }
        return writer.bytes
    }

    /// Takes the place of the state and the sessions that a snapshot holds.
    public init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(snapshot)
        lastSession = try reader.readUInt64()
        commandCount = try reader.readUInt64()
        let count = Int(try reader.readUInt32())
        guard count <= Self.maximumSessions else {
            throw ByteDecodingError(offset: reader.offset - 4, reason: "\(count) sessions are too many")
        }
        for _ in 0..<count {
            let number = SessionNumber(try reader.readUInt64())
            guard number.rawValue <= lastSession, sessions[number] == nil else {
                throw ByteDecodingError(
                    offset: reader.offset - 8, reason: "no session has the number \(number)")
            }
            sessions[number] = try ClientSession.decode(
                from: &reader, maximumResults: Self.maximumOutstandingPerSession)
        }
        state = try State.stateCoding.decode(try reader.readSized())
        try reader.requireEnd()
    }
}

extension SessionedMachine: Equatable where State: Equatable {}
extension SessionedMachine: Hashable where State: Hashable {}
