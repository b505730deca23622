import BankLedger
import ConsensusTypes
import HoldfastSimulation
import Testing

/// The ledger on three simulated nodes, which crash, lose messages and restart while four clients use it.
@Suite struct LedgerSimulationTests {
    /// What a client does next. All chance comes from `random`, so that a seed repeats the run.
    @Sendable static func request(_ client: Int, _ random: inout SeededRandom) -> StateMachineRequest {
        let account = UInt8(random.next(below: 5))
        let other = UInt8(random.next(below: 5))
        let amount = UInt32(random.next(below: 100))
        switch random.next(below: 4) {
        case 0: return .query([])
        case 1: return .command(LedgerCommand.deposit(account: account, amount: amount).bytes)
        default: return .command(LedgerCommand.transfer(from: account, to: other, amount: amount).bytes)
        }
    }

    @Sendable static func invariant(_ ledger: Ledger) -> String? {
        if ledger.balances.values.contains(where: { $0 < 0 }) { return "an account is below zero" }
        let total = ledger.balances.values.reduce(0, +)
        return total == ledger.deposited ? nil : "\(ledger.deposited) was deposited, and \(total) is there"
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func theLedgerSurvivesFaults(seed: UInt64) {
        let outcome = Simulation.run(
            Ledger.self, SimulationSettings(seed: seed, stepCount: 10_000),
            requests: Self.request, invariant: Self.invariant)
        #expect(outcome.failure == nil, "seed \(seed): \(outcome.lastEvents.joined(separator: "\n"))")
        #expect(outcome.acknowledgedWriteCount > 0)
    }
}
