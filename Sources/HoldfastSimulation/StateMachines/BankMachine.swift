import ConsensusTypes
import ReplicaRuntime

/// Accounts between which money is moved. Money is neither made nor lost, and no account goes below zero.
struct BankMachine: StateMachine, Hashable {
    static let accountCount = 6
    static let openingBalance: Int64 = 100

    private(set) var balances = [Int64](repeating: openingBalance, count: accountCount)
    private(set) var transferCount: UInt64 = 0

    init() {}

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(snapshot)
        for account in balances.indices {
            balances[account] = try reader.readInt64()
        }
        transferCount = try reader.readUInt64()
        try reader.requireEnd()
    }

    /// A transfer answers with its number, or with nothing where the money is not there.
    mutating func apply(_ command: ByteSlice) -> [UInt8] {
        guard let transfer = try? BankTransfer(command), balances[transfer.from] >= transfer.amount else {
            return []
        }
        balances[transfer.from] -= transfer.amount
        balances[transfer.to] += transfer.amount
        transferCount += 1
        var writer = ByteWriter()
        writer.write(transferCount)
        return writer.bytes
    }

    /// The one query there is shows everything.
    func answer(_ query: ByteSlice) -> [UInt8] { snapshot() }

    func snapshot() -> [UInt8] {
        var writer = ByteWriter()
        for balance in balances { writer.write(balance) }
        writer.write(transferCount)
        return writer.bytes
    }
}

struct BankTransfer: Hashable, Sendable {
    let from: Int
    let to: Int
    let amount: Int64

    init(from: Int, to: Int, amount: Int64) {
        self.from = from
        self.to = to
        self.amount = amount
    }

    init(_ bytes: ByteSlice) throws(ByteDecodingError) {
        var reader = ByteReader(bytes)
        from = Int(try reader.readUInt8())
        to = Int(try reader.readUInt8())
        amount = try reader.readInt64()
        try reader.requireEnd()
        guard from < BankMachine.accountCount, to < BankMachine.accountCount, amount > 0 else {
            throw ByteDecodingError(offset: 0, reason: "no such account, or an amount that is not positive")
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt8(from))
        writer.write(UInt8(to))
        writer.write(amount)
        return writer.bytes
    }
}

/// Clients that move money and look at all accounts at once.
struct BankWorkload: StateMachineWorkload {
    typealias Machine = BankMachine

    enum Input: Hashable, Sendable {
        case transfer(BankTransfer)
        case audit
    }

    enum Output: Hashable, Sendable {
        case done(number: UInt64)
        case refused
        case accounts([Int64], transfers: UInt64)
    }

    struct Accounts: Hashable, Sendable {
        var balances = [Int64](repeating: BankMachine.openingBalance, count: BankMachine.accountCount)
        var transfers: UInt64 = 0
    }

    struct Model: SequentialModel {
        typealias State = BankWorkload.Accounts
        typealias Input = BankWorkload.Input
        typealias Output = BankWorkload.Output

        var initialState: Accounts { Accounts() }

        func isReadOnly(_ input: Input) -> Bool { input == .audit }

        func step(_ state: Accounts, _ input: Input, _ output: Output?) -> Accounts? {
            var next = state
            let answer: Output
            switch input {
            case .audit:
                answer = .accounts(state.balances, transfers: state.transfers)
            case .transfer(let transfer) where state.balances[transfer.from] < transfer.amount:
                answer = .refused
            case .transfer(let transfer):
                next.balances[transfer.from] -= transfer.amount
                next.balances[transfer.to] += transfer.amount
                next.transfers += 1
                answer = .done(number: next.transfers)
            }
            return output == nil || output == answer ? next : nil
        }
    }

    let model = Model()

    func nextInput(client: Int, _ random: inout SeededRandom) -> Input {
        if random.chance(1, outOf: 3) { return .audit }
        let accounts = UInt64(BankMachine.accountCount)
        return .transfer(
            BankTransfer(
                from: Int(random.next(below: accounts)), to: Int(random.next(below: accounts)),
                amount: 1 + Int64(random.next(below: 60))))
    }

    func encode(_ input: Input) -> StateMachineRequest {
        switch input {
        case .transfer(let transfer): .command(transfer.bytes)
        case .audit: .query([])
        }
    }

    func decode(_ answer: [UInt8], to input: Input) -> Output? {
        var reader = ByteReader(answer)
        switch input {
        case .transfer:
            if answer.isEmpty { return .refused }
            return (try? reader.readUInt64()).map { .done(number: $0) }
        case .audit:
            var balances: [Int64] = []
            for _ in 0..<BankMachine.accountCount {
                guard let balance = try? reader.readInt64() else { return nil }
                balances.append(balance)
            }
            return (try? reader.readUInt64()).map { .accounts(balances, transfers: $0) }
        }
    }

    func violation(in machine: BankMachine) -> String? {
        let total = machine.balances.reduce(0, +)
        let expected = BankMachine.openingBalance * Int64(BankMachine.accountCount)
        if total != expected { return "the accounts hold \(total) of \(expected)" }
        return machine.balances.contains { $0 < 0 } ? "an account is below zero: \(machine.balances)" : nil
    }
}
