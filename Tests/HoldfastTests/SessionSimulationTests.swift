import ConsensusTypes
import HoldfastSimulation
import ReplicaRuntime
import Testing

@testable import Holdfast

/// Remembers which commands it executed, so that none can be executed twice unseen.
struct OnceState: ReplicatedState, Codable, Hashable {
    private(set) var executed: [String: Int] = [:]

    mutating func apply(_ name: String) -> Int {
        executed[name, default: 0] += 1
        return executed.values.reduce(0, +)
    }

    func answer(_ query: Bool) -> [String: Int] { executed }

    var problem: String? {
        let twice = executed.filter { $0.value > 1 }.keys.sorted()
        return twice.isEmpty ? nil : "executed more than once: \(twice)"
    }
}

/// The same as ``SessionedMachine`` with its memory of what was executed taken out.
struct ForgetfulMachine: StateMachine, Hashable {
    var state = OnceState()

    init() {}

    init(restoring snapshot: ByteSlice) throws(ByteDecodingError) {
        state = try OnceState.stateCoding.decode(snapshot)
    }

    mutating func apply(_ command: ByteSlice) -> [UInt8] {
        guard case .execute(_, _, _, let bytes)? = try? SessionedCommand.decode(command),
            let name = try? OnceState.commandCoding.decode(bytes)
        else { return [] }
        return (try? OnceState.resultCoding.encode(state.apply(name))) ?? []
    }

    func answer(_ query: ByteSlice) -> [UInt8] { snapshot() }

    func snapshot() -> [UInt8] { (try? OnceState.stateCoding.encode(state)) ?? [] }
}

/// Sessions in the simulated world: nodes crash, messages get lost and snapshots are taken, while clients submit
/// each command again and again, as clients do that lose their leaders.
@Suite struct SessionSimulationTests {
    static let sessions: UInt64 = 4
    static let sequences: UInt64 = 30

    /// A command that is submitted several times, by several clients, always with the same meaning.
    @Sendable static func request(_ client: Int, _ random: inout SeededRandom) -> StateMachineRequest {
        switch random.next(below: 12) {
        case 0: return .command(SessionedCommand.open.encode())
        case 1: return .query(try! OnceState.queryCoding.encode(true))
        default:
            let session = 1 + random.next(below: sessions)
            let sequence = 1 + random.next(below: sequences)
            let acknowledged = random.chance(1, outOf: 10) ? random.next(below: sequence) : 0
            return .command(
                SessionedCommand.execute(
                    session: SessionNumber(session), sequence: sequence, acknowledgedThrough: acknowledged,
                    command: ByteSlice(try! OnceState.commandCoding.encode("\(session)/\(sequence)"))
                ).encode())
        }
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func everyCommandIsExecutedOnce(seed: UInt64) {
        let outcome = Simulation.run(
            SessionedMachine<OnceState>.self, SimulationSettings(seed: seed, stepCount: 2_500),
            requests: Self.request, invariant: { $0.state.problem })
        #expect(outcome.failure == nil, "seed \(seed): \(outcome.lastEvents.joined(separator: "\n"))")
        #expect(outcome.acknowledgedWriteCount > 0)
    }

    /// The check above can fail.
    @Test func withoutSessionsCommandsAreExecutedTwice() {
        let outcome = Simulation.run(
            ForgetfulMachine.self, SimulationSettings(seed: 1, stepCount: 2_500),
            requests: Self.request, invariant: { $0.state.problem })
        #expect(outcome.failure?.property == "invariant")
    }
}
