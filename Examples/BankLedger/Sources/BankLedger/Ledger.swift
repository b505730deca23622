import ConsensusTypes
import ReplicaRuntime

/// What clients ask the ledger to do. The commands are bytes in the log, so their encoding is for ever.
public enum LedgerCommand: Hashable, Sendable {
    case deposit(account: UInt8, amount: UInt32)
    case transfer(from: UInt8, to: UInt8, amount: UInt32)

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .deposit(let account, let amount):
            writer.write(UInt8(1))
            writer.write(account)
            writer.write(amount)
        case .transfer(let from, let to, let amount):
            writer.write(UInt8(2))
            writer.write(from)
            writer.write(to)
            writer.write(amount)
        }
        return writer.bytes
    }

    public init(_ bytes: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(bytes)
        switch try reader.readUInt8() {
        case 1:
            self = .deposit(account: try reader.readUInt8(), amount: try reader.readUInt32())
        case 2:
            self = .transfer(
                from: try reader.readUInt8(), to: try reader.readUInt8(), amount: try reader.readUInt32())
        case let kind:
            throw ByteDecodingError(offset: 0, reason: "command \(kind) is unknown")
        }
        try reader.requireEnd()
    }
}

/// Accounts and the money in them, the same on every node.
public struct Ledger: StateMachine, Hashable {
    /// How a command ends: one byte.
    public enum Answer: UInt8, Sendable {
        case malformed = 0
        case done = 1
        case notEnoughMoney = 2
    }

    public private(set) var balances: [UInt8: Int64] = [:]
    /// All that was ever deposited.
    public private(set) var deposited: Int64 = 0

    public init() {}

    public init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(snapshot)
        deposited = try reader.readInt64()
        while !reader.isAtEnd {
            let account = try reader.readUInt8()
            balances[account] = try reader.readInt64()
        }
    }

    public mutating func apply(_ command: ByteSlice) -> [UInt8] {
        guard let command = try? LedgerCommand(command) else { return [Answer.malformed.rawValue] }
        switch command {
        case .deposit(let account, let amount):
            balances[account, default: 0] += Int64(amount)
            deposited += Int64(amount)
        case .transfer(let from, let to, let amount):
            guard balances[from, default: 0] >= Int64(amount) else { return [Answer.notEnoughMoney.rawValue] }
            balances[from, default: 0] -= Int64(amount)
            balances[to, default: 0] += Int64(amount)
        }
        return [Answer.done.rawValue]
    }

    /// The one question there is: how much is in all accounts?
    public func answer(_ query: ByteSlice) -> [UInt8] { snapshot() }

    /// In the order of the accounts: a dictionary has another order on every node.
    public func snapshot() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(deposited)
        for (account, balance) in balances.sorted(by: { $0.key < $1.key }) {
            writer.write(account)
            writer.write(balance)
        }
        return writer.bytes
    }
}
