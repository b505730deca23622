import ConsensusTypes
import ReplicaRuntime
import Testing

@testable import Holdfast

/// Adds what it is told, and so shows every command that is executed twice.
struct TallyState: ReplicatedState, Codable, Hashable {
    var total = 0
    var count = 0

    mutating func apply(_ increment: Int) -> Int {
        total += increment
        count += 1
        return total
    }

    func answer(_ query: Bool) -> Int { query ? count : total }
}

@Suite struct SessionedMachineTests {
    typealias Machine = SessionedMachine<TallyState>

    static func open(_ machine: inout Machine) throws -> SessionNumber {
        let answer = machine.apply(ByteSlice(SessionedCommand.open.encode()))
        guard case .opened(let session) = try SessionedAnswer.decode(ByteSlice(answer)) else {
            throw ByteDecodingError(offset: 0, reason: "no session was opened")
        }
        return session
    }

    static func add(
        _ increment: Int, _ machine: inout Machine, _ session: SessionNumber, _ sequence: UInt64,
        acknowledgedThrough: UInt64 = 0
    ) throws -> SessionedAnswer {
        let command = SessionedCommand.execute(
            session: session, sequence: sequence, acknowledgedThrough: acknowledgedThrough,
            command: ByteSlice(try TallyState.commandCoding.encode(increment)))
        return try SessionedAnswer.decode(ByteSlice(machine.apply(ByteSlice(command.encode()))))
    }

    static func result(_ value: Int) throws -> SessionedAnswer {
        .result(ByteSlice(try TallyState.resultCoding.encode(value)))
    }

    @Test func aCommandThatComesAgainIsExecutedOnce() throws {
        var machine = Machine()
        let session = try Self.open(&machine)
        #expect(try Self.add(5, &machine, session, 1) == Self.result(5))
        #expect(try Self.add(7, &machine, session, 2) == Self.result(12))
        #expect(try Self.add(5, &machine, session, 1) == Self.result(5))
        #expect(machine.state == TallyState(total: 12, count: 2))
    }

    @Test func commandsMayComeOutOfOrder() throws {
        var machine = Machine()
        let session = try Self.open(&machine)
        #expect(try Self.add(1, &machine, session, 3) == Self.result(1))
        #expect(try Self.add(2, &machine, session, 1) == Self.result(3))
        #expect(try Self.add(4, &machine, session, 2, acknowledgedThrough: 1) == Self.result(7))
        #expect(try Self.add(1, &machine, session, 3) == Self.result(1))
        #expect(try Self.add(2, &machine, session, 1) == .acknowledgedBefore)
        #expect(machine.state.count == 3)
    }

    /// What the client has given up is never executed afterwards.
    @Test func whatIsAcknowledgedIsNotExecutedLater() throws {
        var machine = Machine()
        let session = try Self.open(&machine)
        #expect(try Self.add(1, &machine, session, 2, acknowledgedThrough: 1) == Self.result(1))
        #expect(try Self.add(9, &machine, session, 1) == .acknowledgedBefore)
        #expect(machine.state.total == 1)
    }

    @Test func resultsAreBounded() throws {
        var machine = Machine()
        let session = try Self.open(&machine)
        let bound = UInt64(Machine.maximumOutstandingPerSession)
        for sequence in 1...bound { _ = try Self.add(1, &machine, session, sequence) }
        #expect(try Self.add(1, &machine, session, bound + 1) == .tooManyOutstanding)
        #expect(machine.state.count == Int(bound))
        #expect(try Self.add(1, &machine, session, 1) == Self.result(1))
        #expect(
            try Self.add(1, &machine, session, bound + 1, acknowledgedThrough: 1)
                == Self.result(Int(bound) + 1))
    }

    @Test func theSessionUsedLongestAgoIsForgotten() throws {
        var machine = Machine()
        let first = try Self.open(&machine)
        let second = try Self.open(&machine)
        for _ in 2..<Machine.maximumSessions { _ = try Self.open(&machine) }
        #expect(try Self.add(1, &machine, first, 1) == Self.result(1))
        let newest = try Self.open(&machine)
        #expect(machine.sessionCount == Machine.maximumSessions)
        #expect(try Self.add(1, &machine, second, 1) == .sessionExpired)
        #expect(try Self.add(1, &machine, first, 1) == Self.result(1))
        #expect(newest > second)
        #expect(machine.state.count == 1)
    }

    /// Numbers are not used again: a command of a session that is forgotten finds no other one.
    @Test func sessionsThatAreUnknownExecuteNothing() throws {
        var machine = Machine()
        #expect(try Self.add(1, &machine, SessionNumber(1), 1) == .sessionExpired)
        #expect(try Self.open(&machine) == SessionNumber(1))
        #expect(machine.state.count == 0)
    }

    @Test func bytesThatAreNoCommandChangeNothing() throws {
        var machine = Machine()
        let session = try Self.open(&machine)
        for bytes in [[], [9], [1, 1], [2, 0], [UInt8](repeating: 2, count: 25)] {
            #expect(machine.apply(ByteSlice(bytes)) == SessionedAnswer.malformed.encode())
        }
        let unreadable = SessionedCommand.execute(
            session: session, sequence: 1, acknowledgedThrough: 0, command: ByteSlice([1, 2]))
        #expect(machine.apply(ByteSlice(unreadable.encode())) == SessionedAnswer.malformed.encode())
        #expect(machine.answer(ByteSlice([7])) == SessionedAnswer.malformed.encode())
        #expect(machine.state.count == 0)
    }

    @Test func aSnapshotHoldsSessionsAndResults() throws {
        var machine = Machine()
        let session = try Self.open(&machine)
        let other = try Self.open(&machine)
        for sequence in 1...5 as ClosedRange<UInt64> { _ = try Self.add(1, &machine, session, sequence) }
        _ = try Self.add(1, &machine, other, 3, acknowledgedThrough: 2)
        var restored = try Machine(restoring: ByteSlice(machine.snapshot()))
        #expect(restored == machine)
        #expect(restored.snapshot() == machine.snapshot())
        #expect(try Self.add(1, &restored, session, 4) == Self.result(4))
        #expect(try Self.add(1, &restored, other, 1) == .acknowledgedBefore)
        #expect(try Self.open(&restored) == SessionNumber(3))
        #expect(restored.state.count == 6)
    }

    @Test func damagedSnapshotsAreRefused() throws {
        var machine = Machine()
        _ = try Self.add(1, &machine, try Self.open(&machine), 1)
        let whole = machine.snapshot()
        for count in 0..<whole.count {
            #expect(throws: ByteDecodingError.self) {
                try Machine(restoring: ByteSlice(Array(whole[..<count])))
            }
        }
        #expect(throws: ByteDecodingError.self) { try Machine(restoring: ByteSlice(whole + [0])) }
    }

    @Test func answersSurviveTheirEncoding() throws {
        for answer in [
            SessionedAnswer.result(ByteSlice([1, 2])), .result(ByteSlice()), .opened(SessionNumber(7)),
            .sessionExpired, .acknowledgedBefore, .tooManyOutstanding, .malformed, .resultLost,
        ] {
            #expect(try SessionedAnswer.decode(ByteSlice(answer.encode())) == answer)
        }
        for command in [
            SessionedCommand.open,
            .execute(
                session: SessionNumber(3), sequence: 9, acknowledgedThrough: 4, command: ByteSlice([1])),
        ] {
            #expect(try SessionedCommand.decode(ByteSlice(command.encode())) == command)
        }
    }
}
