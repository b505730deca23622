/// Decides whether a history of concurrent operations is linearizable (Herlihy and Wing 1990): whether each
/// operation can be given one moment between its invocation and its return at which it took effect.
///
/// It takes the history apart where the model says how, and searches each part for an order that the model
/// allows. Operations of unknown outcome may be given any moment after their invocation, or none. The work is
/// bounded; a check that runs into the bound says so.
public enum LinearizabilityChecker {
    /// - Parameter history: in any order.
    public static func check<Model: LinearizabilityModel>(
        _ history: [HistoryEntry<Model.Input, Model.Output>], _ model: Model,
        limits: LinearizabilityLimits = LinearizabilityLimits()
    ) -> LinearizabilityVerdict {
        var steps = limits.maximumSteps
        var undecided: LinearizabilityVerdict?
        for partition in model.partitions(of: history) {
            let before = steps
            let search = LinearizabilityDeepening(
                model: model, entries: partition.entries, steps: &steps,
                maximumConfigurations: limits.maximumConfigurations)
            switch search.outcome {
            case .found:
                break
            case .exhausted:
                let explainer = LinearizabilityExplainer(
                    model: model, partition: partition, maximumSteps: 2 * (before - steps) + 1_000,
                    maximumConfigurations: limits.maximumConfigurations)
                return .notLinearizable(explainer.explain(furthest: search.furthest!))
            case .limited(let reason):
                // Another part may still show a violation.
                let place = partition.name.isEmpty ? "" : " on \(partition.name)"
                undecided = .undecided(reason: "\(reason)\(place): \(partition.entries.count) operations")
            }
        }
        return undecided ?? .linearizable
    }
}

/// Searches with few unknown operations in a row first: mostly few are enough, and every one more multiplies
/// the possibilities.
struct LinearizabilityDeepening<Model: LinearizabilityModel> {
    let outcome: LinearizabilitySearch<Model>.Outcome
    /// The return that the search could not get past, where it found no order.
    let furthest: Int?
    /// With what the last search was made.
    let maximumUnknownRun: Int

    init(
        model: Model, entries: [HistoryEntry<Model.Input, Model.Output>], steps: inout Int,
        maximumConfigurations: Int
    ) {
        for maximumRun in [1, 2, 3] {
            var search = LinearizabilitySearch(
                model: model, entries: entries, maximumUnknownRun: maximumRun)
            let outcome = search.run(steps: &steps, maximumConfigurations: maximumConfigurations)
            if case .exhausted = outcome, search.isCutShort { continue }
            self.outcome = outcome
            furthest = search.furthest
            maximumUnknownRun = maximumRun
            return
        }
        var search = LinearizabilitySearch(model: model, entries: entries, maximumUnknownRun: .max)
        outcome = search.run(steps: &steps, maximumConfigurations: maximumConfigurations)
        furthest = search.furthest
        maximumUnknownRun = .max
    }
}

/// Finds the smallest beginning of a history that is not linearizable, and says why it is not.
struct LinearizabilityExplainer<Model: LinearizabilityModel> {
    typealias Entry = HistoryEntry<Model.Input, Model.Output>

    private static var listedCount: Int { 12 }

    let model: Model
    let partition: HistoryPartition<Model.Input, Model.Output>
    /// For each of the searches that the explanation takes.
    let maximumSteps: Int
    let maximumConfigurations: Int

    /// - Parameter furthest: the return that the search of the whole could not get past. Every beginning that
    ///   ends before it is linearizable.
    func explain(furthest: Int) -> LinearizabilityViolation {
        let whole = LinearizabilitySearch(model: model, entries: partition.entries, maximumUnknownRun: 0)
        let returns = whole.known.map { $0.returnedAt! }.sorted()
        let earliest = whole.known[furthest].returnedAt!
        // What began before an operation returned and had no answer by then could have had any; so the
        // shortest beginning may end later than the return where the search was stopped. Beginnings of what
        // is linearizable are linearizable, so halving finds the first that is not.
        var low = returns.firstIndex(of: earliest)!
        var high = returns.count - 1
        while low < high {
            let middle = (low + high) / 2
            if isViolation(beginning(until: returns[middle])) { high = middle } else { low = middle + 1 }
        }
        let entries = beginning(until: returns[high])
        if let violation = violation(in: entries) { return violation }
        // Only where the shorter searches ran into their limits.
        return violation(in: partition.entries)
            ?? LinearizabilityViolation(
                partition: partition.name, prefixOperationCount: partition.entries.count, ordered: [],
                state: model.describe(state: model.initialState), blocked: [],
                culprit: describe(whole.known[furthest]), unknown: [])
    }

    /// What was known at a moment: later operations are not there, and those under way have no answer yet.
    private func beginning(until time: Int64) -> [Entry] {
        partition.entries.compactMap { entry in
            if entry.invokedAt > time { return nil }
            if let returnedAt = entry.returnedAt, returnedAt > time {
                return Entry(client: entry.client, invokedAt: entry.invokedAt, input: entry.input)
            }
            return entry
        }
    }

    private func isViolation(_ entries: [Entry]) -> Bool {
        var steps = maximumSteps
        let search = LinearizabilityDeepening(
            model: model, entries: entries, steps: &steps, maximumConfigurations: maximumConfigurations)
        if case .exhausted = search.outcome { return true }
        return false
    }

    private func violation(in entries: [Entry]) -> LinearizabilityViolation? {
        var steps = maximumSteps
        let first = LinearizabilityDeepening(
            model: model, entries: entries, steps: &steps, maximumConfigurations: maximumConfigurations)
        guard case .exhausted = first.outcome else { return nil }
        var second = LinearizabilitySearch(
            model: model, entries: entries, maximumUnknownRun: first.maximumUnknownRun)
        second.target = first.furthest
        steps = maximumSteps
        _ = second.run(steps: &steps, maximumConfigurations: maximumConfigurations)
        guard let found = second.explanation else { return nil }
        let taken = Set(found.order.filter { $0 < 0 }.map { ~$0 })
        let culprit = second.known[found.culprit]
        let spare = second.unknown.indices.filter {
            !taken.contains($0) && second.unknown[$0].invokedAt <= culprit.returnedAt!
        }
        return LinearizabilityViolation(
            partition: partition.name, prefixOperationCount: entries.count,
            ordered: found.order.suffix(Self.listedCount).map { number in
                describe(number >= 0 ? second.known[number] : second.unknown[~number])
            },
            state: model.describe(state: found.state),
            blocked: list(found.blocked.map { second.known[$0] }), culprit: describe(culprit),
            unknown: list(spare.map { second.unknown[$0] }))
    }

    private func list(_ entries: [Entry]) -> [String] {
        let lines = entries.prefix(Self.listedCount).map(describe)
        let rest = entries.count - lines.count
        return rest > 0 ? lines + ["and \(rest) more"] : lines
    }

    private func describe(_ entry: Entry) -> String {
        let input = model.describe(input: entry.input)
        guard let output = entry.output, let returnedAt = entry.returnedAt else {
            return "client \(entry.client) [\(entry.invokedAt) .. ?] \(input) -> unknown"
        }
        return "client \(entry.client) [\(entry.invokedAt) .. \(returnedAt)] \(input) -> "
            + model.describe(output: output)
    }
}
