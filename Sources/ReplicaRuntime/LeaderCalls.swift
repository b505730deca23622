import ConsensusTypes
import KeyValueCore

/// A question about a lease that only the leader can answer, because only its clock counts.
enum LeaderCall: Hashable {
    case renewLease(LeaseID)
    case leaseTimeToLive(LeaseID)
}

/// The leader's answer.
enum LeaderAnswer: Hashable {
    /// The time to live, or what is left of it, in seconds.
    case seconds(Int64)
    case leaseNotFound
    /// The node that was asked does not lead: ask the one that does.
    case notLeader
}

/// The leader calls of this node's clients that have no answer yet.
struct LeaderCalls {
    typealias Completion = (Result<Int64, ServiceError>) -> Void

    struct Waiting {
        let call: LeaderCall
        let deadline: Instant
        let completion: Completion
    }

    static let maximumCount = 65_536

    private var waiting: [UInt64: Waiting] = [:]
    private var lastNumber: UInt64 = 0

    var isEmpty: Bool { waiting.isEmpty }

    var isFull: Bool { waiting.count >= LeaderCalls.maximumCount }

    /// The numbers of all calls, in the order in which they were made.
    var numbers: [UInt64] { waiting.keys.sorted() }

    subscript(number: UInt64) -> Waiting? { waiting[number] }

    mutating func add(_ call: Waiting) -> UInt64 {
        lastNumber += 1
        waiting[lastNumber] = call
        return lastNumber
    }

    mutating func take(_ number: UInt64) -> Waiting? {
        waiting.removeValue(forKey: number)
    }
}

/// What machines say to each other outside of the log.
enum AsideMessage: Hashable {
    case call(number: UInt64, LeaderCall)
    case answer(number: UInt64, LeaderAnswer)
    /// Something that the node above the group says of itself, such as its client addresses.
    case announcement(ByteSlice)

    private enum Kind: UInt8 {
        case renewLease = 1
        case leaseTimeToLive = 2
        case seconds = 3
        case leaseNotFound = 4
        case notLeader = 5
        case announcement = 6
    }

    func encode() -> [UInt8] {
        var writer = ByteWriter(reserving: 24)
        switch self {
        case .call(let number, .renewLease(let lease)):
            writer.write(Kind.renewLease.rawValue)
            writer.write(number)
            writer.write(lease.rawValue)
        case .call(let number, .leaseTimeToLive(let lease)):
            writer.write(Kind.leaseTimeToLive.rawValue)
            writer.write(number)
            writer.write(lease.rawValue)
        case .answer(let number, .seconds(let seconds)):
            writer.write(Kind.seconds.rawValue)
            writer.write(number)
            writer.write(seconds)
        case .answer(let number, .leaseNotFound):
            writer.write(Kind.leaseNotFound.rawValue)
            writer.write(number)
        case .answer(let number, .notLeader):
            writer.write(Kind.notLeader.rawValue)
            writer.write(number)
        case .announcement(let bytes):
            writer.write(Kind.announcement.rawValue)
            writer.writeSized(bytes)
        }
        return writer.bytes
    }

    static func decode(_ bytes: ByteSlice) throws(ByteDecodingError) -> AsideMessage {
        var reader = ByteReader(bytes)
        let rawKind = try reader.readUInt8()
        guard let kind = Kind(rawValue: rawKind) else {
            throw ByteDecodingError(offset: 0, reason: "aside message kind \(rawKind) is unknown")
        }
        let message: AsideMessage
        switch kind {
        case .renewLease:
            let number = try reader.readUInt64()
            message = .call(number: number, .renewLease(LeaseID(try reader.readInt64())))
        case .leaseTimeToLive:
            let number = try reader.readUInt64()
            message = .call(number: number, .leaseTimeToLive(LeaseID(try reader.readInt64())))
        case .seconds:
            let number = try reader.readUInt64()
            message = .answer(number: number, .seconds(try reader.readInt64()))
        case .leaseNotFound:
            message = .answer(number: try reader.readUInt64(), .leaseNotFound)
        case .notLeader:
            message = .answer(number: try reader.readUInt64(), .notLeader)
        case .announcement:
            message = .announcement(try reader.readSized())
        }
        try reader.requireEnd()
        return message
    }
}
