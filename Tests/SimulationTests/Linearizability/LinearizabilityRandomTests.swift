import ConsensusTypes
import HoldfastSimulation
import Testing

/// The checker against histories that are right by how they were made, and against a slow, obvious checker.
@Suite struct LinearizabilityRandomTests {
    private func registerHistory(
        seed: UInt64, operationCount: Int, clientCount: Int, lostPercent: UInt64, values: UInt64 = 4
    ) -> [RegisterEntry] {
        var generator = HistoryGenerator<RegisterModel.Input, RegisterModel.Output>(
            random: SeededRandom(seed: seed), clientCount: clientCount, lostPercent: lostPercent)
        var state = 0
        return generator.run(operationCount: operationCount) { random, _ in
            let value = Int(random.next(below: values))
            switch random.next(below: 3) {
            case 0: return .read
            case 1: return .write(value)
            default: return .compareAndSet(Int(random.next(below: values)), value)
            }
        } execute: { input in
            let (next, output) = RegisterModel.execute(input, in: state)
            state = next
            return output
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func whatWasExecutedInSomeOrderIsAccepted(seed: UInt64) {
        let history = registerHistory(
            seed: seed, operationCount: 400, clientCount: 1 + Int(seed % 8), lostPercent: seed % 3 * 5)
        let verdict = LinearizabilityChecker.check(history, RegisterModel())
        #expect(verdict.isLinearizable, "seed \(seed): \(verdict)")
    }

    /// Answers are changed at random, so that about half of the histories are wrong.
    @Test func theVerdictIsThatOfTryingEveryOrder() {
        var violations = 0
        var accepted = 0
        for seed in 0..<4_000 as Range<UInt64> {
            var random = SeededRandom(seed: seed)
            var history = registerHistory(
                seed: seed, operationCount: 3 + Int(seed % 5), clientCount: 2 + Int(seed % 3),
                lostPercent: 15, values: 3)
            for _ in 0..<2 {
                let position = Int(random.next(below: UInt64(history.count)))
                let entry = history[position]
                guard let returnedAt = entry.returnedAt else { continue }
                let output: RegisterModel.Output =
                    switch entry.input {
                    case .read: .value(Int(random.next(below: 3)))
                    case .write: .done
                    case .compareAndSet: random.chance(1, outOf: 2) ? .done : .refused
                    }
                history[position] = RegisterEntry(
                    client: entry.client, invokedAt: entry.invokedAt, returnedAt: returnedAt,
                    input: entry.input, output: output)
            }
            let expected = BruteForce(model: RegisterModel(), entries: history).isLinearizable
            let verdict = LinearizabilityChecker.check(history, RegisterModel())
            #expect(verdict.isLinearizable == expected, "seed \(seed): \(verdict)")
            if case .notLinearizable(let violation) = verdict {
                violations += 1
                #expect(violation.prefixOperationCount <= history.count)
                #expect(!violation.culprit.isEmpty)
            } else {
                accepted += 1
            }
        }
        #expect(violations > 500)
        #expect(accepted > 500)
    }

    /// Many operations of unknown outcome stay open to the end; without the rules for them this would not
    /// end.
    @Test func manyUnknownOperationsDoNotExplode() {
        var history = registerHistory(
            seed: 5, operationCount: 150, clientCount: 4, lostPercent: 15, values: 1_000)
        #expect(history.count { $0.isUnknown } > 25)
        #expect(LinearizabilityChecker.check(history, RegisterModel()).isLinearizable)
        let last = history.compactMap(\.returnedAt).max()!
        history.append(read(99, last + 1, last + 2, 5_000))
        let verdict = LinearizabilityChecker.check(history, RegisterModel())
        guard case .notLinearizable(let violation) = verdict else {
            Issue.record("\(verdict)")
            return
        }
        #expect(violation.culprit.contains("value(5000)"))
    }
}
