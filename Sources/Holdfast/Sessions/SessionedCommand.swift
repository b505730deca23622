import ConsensusTypes

/// Names one client of a replicated state, by a number that the log gave it. Never used twice.
public struct SessionNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Counted from 1, in the order of the log.
    public let rawValue: UInt64

    /// A number that was read from a log.
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static func < (left: SessionNumber, right: SessionNumber) -> Bool {
        left.rawValue < right.rawValue
    }

    public var description: String { String(rawValue) }
}

/// What a ``SessionedMachine`` finds in the log.
public enum SessionedCommand: Hashable, Sendable {
    /// A client begins; it is answered with ``SessionedAnswer/opened(_:)``. Twice in the log, it makes two
    /// sessions, of which one is not used: that harms nobody.
    case open
    /// A command of a session's client, to be executed at most once under this sequence, however often it is
    /// in the log. The client wants to hear no more of the sequences up to `acknowledgedThrough`.
    case execute(
        session: SessionNumber, sequence: UInt64, acknowledgedThrough: UInt64, command: ByteSlice)

    private enum Kind {
        static let open: UInt8 = 1
        static let execute: UInt8 = 2
    }

    /// What ``decode(_:)`` reads.
    public func encode() -> [UInt8] {
        switch self {
        case .open:
            return [Kind.open]
        case .execute(let session, let sequence, let acknowledgedThrough, let command):
            var writer = ByteWriter(reserving: 25 + command.count)
            writer.write(Kind.execute)
            writer.write(session.rawValue)
            writer.write(sequence)
            writer.write(acknowledgedThrough)
            command.withUnsafeBytes { writer.writeRaw($0) }
            return writer.bytes
        }
    }

    /// Reads what ``encode()`` wrote.
    public static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> SessionedCommand {
        var reader = ByteReader(bytes)
        switch try reader.readUInt8() {
        case Kind.open:
            try reader.requireEnd()
            return .open
        case Kind.execute:
            let session = SessionNumber(try reader.readUInt64())
            let sequence = try reader.readUInt64()
            let acknowledgedThrough = try reader.readUInt64()
            guard sequence > acknowledgedThrough else {
                throw ByteDecodingError(
                    offset: 9, reason: "command \(sequence) is acknowledged by itself")
            }
            return .execute(
                session: session, sequence: sequence, acknowledgedThrough: acknowledgedThrough,
                command: try reader.readRaw(reader.remaining))
        case let kind:
            throw ByteDecodingError(offset: 0, reason: "a command of kind \(kind) is unknown")
        }
    }
}

/// What a ``SessionedMachine`` answers to a command or a query.
public enum SessionedAnswer: Hashable, Sendable {
    /// The command was executed, now or earlier, with this result; or this is the answer to a query.
    case result(ByteSlice)
    case opened(SessionNumber)
    /// The session is forgotten. The command was not executed now; whether it was earlier is not known any
    /// more.
    case sessionExpired
    /// The client had acknowledged this sequence. Nothing was done.
    case acknowledgedBefore
    /// The session has too many results that its client has not acknowledged. Nothing was done.
    case tooManyOutstanding
    /// The bytes are no command, or no query, of this state. Nothing was done.
    case malformed
    /// The command was executed, and its result has no encoding.
    case resultLost

    private enum Kind {
        static let result: UInt8 = 0
        static let opened: UInt8 = 1
        static let sessionExpired: UInt8 = 2
        static let acknowledgedBefore: UInt8 = 3
        static let tooManyOutstanding: UInt8 = 4
        static let malformed: UInt8 = 5
        static let resultLost: UInt8 = 6
    }

    /// What ``decode(_:)`` reads.
    public func encode() -> [UInt8] {
        switch self {
        case .result(let bytes):
            var writer = ByteWriter(reserving: bytes.count + 1)
            writer.write(Kind.result)
            bytes.withUnsafeBytes { writer.writeRaw($0) }
            return writer.bytes
        case .opened(let session):
            var writer = ByteWriter(reserving: 9)
            writer.write(Kind.opened)
            writer.write(session.rawValue)
            return writer.bytes
        case .sessionExpired: return [Kind.sessionExpired]
        case .acknowledgedBefore: return [Kind.acknowledgedBefore]
        case .tooManyOutstanding: return [Kind.tooManyOutstanding]
        case .malformed: return [Kind.malformed]
        case .resultLost: return [Kind.resultLost]
        }
    }

    /// Reads what ``encode()`` wrote.
    public static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> SessionedAnswer {
        var reader = ByteReader(bytes)
        let kind = try reader.readUInt8()
        let answer: SessionedAnswer
        switch kind {
        case Kind.result: return .result(try reader.readRaw(reader.remaining))
        case Kind.opened: answer = .opened(SessionNumber(try reader.readUInt64()))
        case Kind.sessionExpired: answer = .sessionExpired
        case Kind.acknowledgedBefore: answer = .acknowledgedBefore
        case Kind.tooManyOutstanding: answer = .tooManyOutstanding
        case Kind.malformed: answer = .malformed
        case Kind.resultLost: answer = .resultLost
        default:
            throw ByteDecodingError(offset: 0, reason: "an answer of kind \(kind) is unknown")
        }
        try reader.requireEnd()
        return answer
    }
}
