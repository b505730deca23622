import ConsensusTypes
import HoldfastSimulation

/// One integer that can be read, written and compared and set.
struct RegisterModel: SequentialModel {
    enum Input: Hashable, Sendable {
        case read
        case write(Int)
        case compareAndSet(Int, Int)
    }

    enum Output: Hashable, Sendable {
        case value(Int)
        case done
        case refused
    }

    let initialState = 0

    func isReadOnly(_ input: Input) -> Bool { input == .read }

    func step(_ state: Int, _ input: Input, _ output: Output?) -> Int? {
        let (next, answer) = RegisterModel.execute(input, in: state)
        return output == nil || output == answer ? next : nil
    }

    static func execute(_ input: Input, in state: Int) -> (Int, Output) {
        switch input {
        case .read: (state, .value(state))
        case .write(let value): (value, .done)
        case .compareAndSet(let old, let new): state == old ? (new, .done) : (state, .refused)
        }
    }
}

typealias RegisterEntry = HistoryEntry<RegisterModel.Input, RegisterModel.Output>

func read(_ client: Int, _ from: Int64, _ to: Int64, _ value: Int) -> RegisterEntry {
    RegisterEntry(client: client, invokedAt: from, returnedAt: to, input: .read, output: .value(value))
}

func write(_ client: Int, _ from: Int64, _ to: Int64, _ value: Int) -> RegisterEntry {
    RegisterEntry(client: client, invokedAt: from, returnedAt: to, input: .write(value), output: .done)
}

func lostWrite(_ client: Int, _ from: Int64, _ value: Int) -> RegisterEntry {
    RegisterEntry(client: client, invokedAt: from, input: .write(value))
}

/// Tries every order: slow and obvious.
struct BruteForce<Model: LinearizabilityModel> {
    typealias Entry = HistoryEntry<Model.Input, Model.Output>

    let model: Model
    let entries: [Entry]

    var isLinearizable: Bool {
        search(model.initialState, Array(repeating: false, count: entries.count))
    }

    private func search(_ state: Model.State, _ taken: [Bool]) -> Bool {
        let open = entries.indices.filter { !taken[$0] }
        if open.allSatisfy({ entries[$0].isUnknown }) { return true }
        let firstReturn = open.compactMap { entries[$0].returnedAt }.min()!
        for number in open where entries[number].invokedAt <= firstReturn {
            var following = taken
            following[number] = true
            let successors = model.successors(of: state, entries[number].input, entries[number].output)
            let states: [Model.State] =
                switch successors {
                case .none: []
                case .one(let state): [state]
                case .several(let states): states
                }
            if states.contains(where: { search($0, following) }) { return true }
        }
        return false
    }
}

/// Clients that overlap at random: what each does takes effect at one moment while it is under way, or, where
/// its outcome gets lost, at any later one or never.
struct HistoryGenerator<Input: Sendable, Output: Sendable> {
    private enum Stage {
        case idle
        case invoked(at: Int64, Input)
        case executed(at: Int64, Input, Output)
    }

    var random: SeededRandom
    let clientCount: Int
    /// Of 100 operations.
    let lostPercent: UInt64

    mutating func run(
        operationCount: Int, next: (inout SeededRandom, Int) -> Input,
        execute: (Input) -> Output
    ) -> [HistoryEntry<Input, Output>] {
        var stages = Array(repeating: Stage.idle, count: clientCount)
        var wandering: [Input] = []
        var history: [HistoryEntry<Input, Output>] = []
        var time: Int64 = 0
        var begun = 0
        while begun < operationCount || stages.contains(where: { if case .idle = $0 { false } else { true } })
        {
            time += Int64(random.next(below: 3))
            if !wandering.isEmpty, random.chance(1, outOf: 8) {
                _ = execute(wandering.remove(at: Int(random.next(below: UInt64(wandering.count)))))
            }
            let client = Int(random.next(below: UInt64(clientCount)))
            switch stages[client] {
            case .idle:
                guard begun < operationCount else { continue }
                time += 1
                stages[client] = .invoked(at: time, next(&random, begun))
                begun += 1
            case .invoked(let invokedAt, let input):
                if random.chance(lostPercent, outOf: 100) {
                    history.append(HistoryEntry(client: client, invokedAt: invokedAt, input: input))
                    wandering.append(input)
                    stages[client] = .idle
                } else {
                    stages[client] = .executed(at: invokedAt, input, execute(input))
                }
            case .executed(let invokedAt, let input, let output):
                time += 1
                if random.chance(lostPercent, outOf: 100) {
                    history.append(HistoryEntry(client: client, invokedAt: invokedAt, input: input))
                } else {
                    history.append(
                        HistoryEntry(
                            client: client, invokedAt: invokedAt, returnedAt: time, input: input,
                            output: output))
                }
                stages[client] = .idle
            }
        }
        return history
    }
}
