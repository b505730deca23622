import ConsensusTypes
import ReplicaRuntime

/// What the committed log makes of a user's machine, and of its model, on no node at all: the truth that
/// nodes and answers are compared with.
struct CommittedRun<Workload: StateMachineWorkload> {
    typealias Machine = Workload.Machine
    typealias Model = Workload.Model

    /// The machine, and the model, after an entry.
    private struct Moment {
        let machine: Machine
        /// `nil` once the model left open what happened.
        let model: Model.State?
    }

    /// So many moments are kept; a node further behind is not compared.
    private static var rememberedCount: Int { 1_024 }
    /// After so many commands the machine is replaced by what its snapshot restores, beside the one that is
    /// not.
    private static var restoreInterval: Int { 16 }

    private let workload: Workload
    private var machine = Machine()
    /// The same, but through a snapshot every now and then.
    private var restored = Machine()
    private var model: Model.State?
    private var moments: [Moment]
    private(set) var index = LogIndex.zero
    private var commandCount = 0

    init(_ workload: Workload) {
        self.workload = workload
        model = workload.model.initialState
        moments = [Moment(machine: machine, model: model)]
    }

    mutating func skip(to index: LogIndex) {
        self.index = index
        remember()
    }

    /// A command is committed. What it answers is that of every node.
    mutating func apply(
        _ command: ByteSlice, _ input: Model.Input, at index: LogIndex
    ) throws(SimulationFailure) -> [UInt8] {
        self.index = index
        let answer = machine.apply(command)
        let again = restored.apply(command)
        guard again == answer else {
            throw SimulationFailure(
                "snapshots keep everything",
                "after a snapshot and its restoration the machine answers \(describe(input)) with "
                    + "\(text(again, input)), without them with \(text(answer, input))")
        }
        if let problem = workload.violation(in: machine) {
            throw SimulationFailure(
                "invariant", "after \(describe(input)), entry \(index): \(problem)")
        }
        try stepModel(input, answer)
        commandCount += 1
        if commandCount.isMultiple(of: Self.restoreInterval) { try passThroughSnapshot() }
        remember()
        return answer
    }

    private mutating func stepModel(_ input: Model.Input, _ answer: [UInt8]) throws(SimulationFailure) {
        guard let output = workload.decode(answer, to: input) else {
            throw SimulationFailure(
                "answers",
                "the machine answers \(describe(input)) with \(KeyValueText.text(answer)), which means "
                    + "nothing")
        }
        guard let state = model else { return }
        switch workload.model.successors(of: state, input, output) {
        case .one(let next): model = next
        case .several: model = nil
        case .none:
            throw SimulationFailure(
                "model",
                "the machine answers \(describe(input)), entry \(index), with "
                    + "\(workload.model.describe(output: output)), which the model does not allow in "
                    + "the state " + workload.model.describe(state: state))
        }
    }

    private mutating func passThroughSnapshot() throws(SimulationFailure) {
        let bytes = restored.snapshot()
        do throws(ByteDecodingError) {
            restored = try Machine(restoring: ByteSlice(bytes))
        } catch {
            throw SimulationFailure("snapshots keep everything", "a snapshot cannot be restored: \(error)")
        }
        guard workload.isSame(restored, machine) else {
            throw SimulationFailure(
                "snapshots keep everything",
                "a machine that was restored from its snapshot, at entry \(index), is another: "
                    + "\(restored), and was \(machine)")
        }
    }

    private mutating func remember() {
        let moment = Moment(machine: machine, model: model)
        if moments.count < Self.rememberedCount {
            moments.append(moment)
        } else {
            moments[Int(index.rawValue) % Self.rememberedCount] = moment
        }
    }

    private func moment(_ wanted: LogIndex) -> Moment? {
        guard wanted <= index, index - wanted < Self.rememberedCount else { return nil }
        return moments[Int(wanted.rawValue) % Self.rememberedCount]
    }

    /// A node has applied everything up to the index.
    func check(_ node: Int, _ state: Machine, at applied: LogIndex) throws(SimulationFailure) {
        guard let moment = moment(applied), !workload.isSame(state, moment.machine) else { return }
        throw SimulationFailure(
            "replicas are equal",
            "node \(node) has applied the entries up to \(applied) and is \(state), the log makes "
                + "\(moment.machine)")
    }

    /// A node that has applied everything up to the index answered a query.
    func checkQuery(
        _ input: Model.Input, _ answer: [UInt8], at applied: LogIndex
    ) throws(SimulationFailure) {
        guard let output = workload.decode(answer, to: input) else {
            throw SimulationFailure(
                "answers",
                "the machine answers \(describe(input)) with \(KeyValueText.text(answer)), which means "
                    + "nothing")
        }
        guard let state = moment(applied)?.model else { return }
        if case .none = workload.model.successors(of: state, input, output) {
            throw SimulationFailure(
                "model",
                "the machine answers \(describe(input)) after entry \(applied) with "
                    + "\(workload.model.describe(output: output)), which the model does not allow in "
                    + "the state " + workload.model.describe(state: state))
        }
    }

    private func describe(_ input: Model.Input) -> String { workload.model.describe(input: input) }

    private func text(_ answer: [UInt8], _ input: Model.Input) -> String {
        workload.decode(answer, to: input).map { workload.model.describe(output: $0) }
            ?? KeyValueText.text(answer)
    }
}
