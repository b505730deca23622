/// Looks for an order of one part of a history that the model allows.
///
/// The search is Wing and Gong's (1993): of the operations that no other one precedes, take one that the
/// model allows, and go back to the last choice where none is left. Lowe's (2017) memory of configurations
/// that led nowhere makes it fast: what was taken, together with the state, says all about what can follow.
///
/// Operations of unknown outcome are tried last, and by these rules, none of which loses an order:
/// - One that changes nothing in the present state is not taken, and none after another one that it makes as
///   if it had not been.
/// - Of those with equal inputs the one that began first is taken first: where a later one could be used, so
///   could it.
/// - A configuration is given up where another was visited that differs only in having used fewer of them: it
///   can do everything that this one can.
struct LinearizabilitySearch<Model: LinearizabilityModel> {
    typealias Entry = HistoryEntry<Model.Input, Model.Output>

    enum Outcome {
        case found
        case exhausted
        case limited(reason: String)
    }

    /// A place among the candidates of one configuration.
    private struct Position {
        /// The place in the order of preference of the known operation that was tried last.
        var lastTried: Int32 = -1
        var knownAreTried = false
        /// The operation of unknown outcome to look at next, downwards; negative: there are no more.
        var unknown: Int32 = -1
        /// The known operation that is being tried.
        var current: Int32 = -1
        /// Which of the model's answers to the candidate is next.
        var successor: Int32 = 0
    }

    private struct Frame {
        /// What was taken: a known operation, or the complement of an unknown one.
        let taken: Int32
        let resume: Position
        let stateBefore: Model.State
        let highestBefore: Int32
        /// How many unknown operations had been taken in a row.
        let unknownRunBefore: Int
    }

    let model: Model
    /// In the order of their invocations.
    let known: [Entry]
    let unknown: [Entry]
    /// For each operation of unknown outcome the one before it with the same input, or -1.
    private let previousOfKind: [Int32]

    /// A ring of events: node `2 * n` is the invocation of the known operation `n`, the next one its return,
    /// and the last one the ring's head. Operations that were taken are unlinked.
    private var next: [Int32]
    private var previous: [Int32]
    /// The place of each node in the order of all events.
    private var rank: [Int32]
    private let head: Int32
    /// The place of each known operation in the order in which the model would try them.
    private let preference: [Int32]

    private var state: Model.State
    private var remaining: Int
    private var stack: [Frame] = []
    private var takenKnown: BitSet
    private var takenUnknown: BitSet
    /// The highest known operation that was taken, or -1.
    private var highest: Int32 = -1
    private var unknownRun = 0
    private let maximumUnknownRun: Int
    /// Whether more unknown operations in a row than allowed might have helped.
    private(set) var isCutShort = false
    private var memory = ConfigurationMemory<Model.State>()

    /// The latest return that the search was stopped by, as the number of the operation.
    private(set) var furthest: Int?
    /// Where to look closely, for the explanation.
    var target: Int?
    private(set) var explanation: SearchExplanation<Model.State>?

    /// - Parameter maximumUnknownRun: so many unknown operations may be taken in a row.
    init(model: Model, entries: [Entry], maximumUnknownRun: Int) {
        self.model = model
        self.maximumUnknownRun = maximumUnknownRun
        let sorted = entries.enumerated().sorted {
            ($0.element.invokedAt, $0.offset) < ($1.element.invokedAt, $1.offset)
        }
        known = sorted.map(\.element).filter { !$0.isUnknown }
        unknown = sorted.map(\.element).filter { $0.isUnknown && !model.isReadOnly($0.input) }
        precondition(known.count < Int(Int32.max) / 2, "a part of a history has fewer than 2^30 operations")
        var lastOfKind: [Model.Input: Int32] = [:]
        var previousOfKind: [Int32] = []
        for (position, entry) in unknown.enumerated() {
            previousOfKind.append(lastOfKind[entry.input] ?? -1)
            lastOfKind[entry.input] = Int32(position)
        }
        self.previousOfKind = previousOfKind
        state = model.initialState
        remaining = known.count
        takenKnown = BitSet(count: known.count)
        takenUnknown = BitSet(count: unknown.count)
        head = Int32(2 * known.count)
        preference = LinearizabilitySearch.preferences(known, model)
        next = Array(repeating: 0, count: 2 * known.count + 1)
        previous = next
        rank = next
        link()
    }

    private static func preferences(_ known: [Entry], _ model: Model) -> [Int32] {
        let hints = known.map { model.orderHint($0.input, $0.output!) }
        guard hints.allSatisfy({ $0 != nil }) else { return known.indices.map(Int32.init) }
        var preference = [Int32](repeating: 0, count: known.count)
        let order = known.indices.sorted { (hints[$0]!, $0) < (hints[$1]!, $1) }
        for (place, operation) in order.enumerated() {
            preference[operation] = Int32(place)
        }
        return preference
    }

    private mutating func link() {
        var events: [(time: Int64, node: Int32)] = []
        events.reserveCapacity(2 * known.count)
        for (position, entry) in known.enumerated() {
            events.append((entry.invokedAt, Int32(2 * position)))
            events.append((entry.returnedAt!, Int32(2 * position + 1)))
        }
        // At equal times invocations come first: what touches counts as concurrent.
        events.sort { ($0.time, $0.node & 1, $0.node) < ($1.time, $1.node & 1, $1.node) }
        var last = head
        for (position, event) in events.enumerated() {
            next[Int(last)] = event.node
            previous[Int(event.node)] = last
            rank[Int(event.node)] = Int32(position)
            last = event.node
        }
        next[Int(last)] = head
        previous[Int(head)] = last
    }

    /// Runs until an order is found or there is none. `steps` counts down.
    mutating func run(steps: inout Int, maximumConfigurations: Int) -> Outcome {
        guard remaining > 0 else { return .found }
        var position = Position()
        while true {
            guard let candidate = candidate(&position) else {
                guard let frame = stack.popLast() else { return .exhausted }
                undo(frame)
                position = frame.resume
                continue
            }
            if candidate < 0, unknownRun >= maximumUnknownRun, maximumUnknownRun == 1 {
                // To find out whether another one would help costs as much as to try it.
                isCutShort = true
                position.unknown = -1
                continue
            }
            guard steps > 0 else { return .limited(reason: "the check took too many steps") }
            steps -= 1
            let entry = candidate >= 0 ? known[Int(candidate)] : unknown[Int(~candidate)]
            let successors = model.successors(of: state, entry.input, entry.output)
            let number = Int(position.successor)
            if number + 1 < successors.count {
                position.successor += 1
            } else {
                skip(&position)
            }
            guard number < successors.count else { continue }
            let following = successors[number]
            if candidate < 0, following == state || makesLastUseless(entry, following) { continue }
            if candidate < 0, unknownRun >= maximumUnknownRun {
                isCutShort = true
                continue
            }
            stack.append(
                Frame(
                    taken: candidate, resume: position, stateBefore: state, highestBefore: highest,
                    unknownRunBefore: unknownRun))
            take(candidate, following)
            if remaining == 0 { return .found }
            guard memory.count < maximumConfigurations else {
                return .limited(reason: "the check would need too much memory")
            }
            // After the first unknown operation in a row there is nothing to remember: it is tried once in
            // each configuration that was remembered before it.
            if unknownRun == 1 || memory.insert(configuration, unknown: takenUnknown) {
                position = Position()
            } else {
                undo(stack.removeLast())
            }
        }
    }

    /// Whether the operation of unknown outcome that was taken last might as well be left out before this
    /// one.
    private func makesLastUseless(_ entry: Entry, _ following: Model.State) -> Bool {
        guard let last = stack.last, last.taken < 0 else { return false }
        let successors = model.successors(of: last.stateBefore, entry.input, entry.output)
        return (0..<successors.count).contains { successors[$0] == following }
    }

    /// The candidate that the position stands at; `nil` after the last.
    private mutating func candidate(_ position: inout Position) -> Int32? {
        if position.current >= 0 { return position.current }
        if !position.knownAreTried {
            var node = next[Int(head)]
            var best: Int32 = -1
            while node & 1 == 0 {
                let operation = node >> 1
                let place = preference[Int(operation)]
                if place > position.lastTried, best < 0 || place < preference[Int(best)] { best = operation }
                node = next[Int(node)]
            }
            position.current = best
            if best >= 0 { return best }
            // Nothing that began after this return can come before it.
            noteStopped(by: node)
            position.unknown = lastUnknown(invokedBy: known[Int(node >> 1)].returnedAt!)
            position.knownAreTried = true
        }
        while position.unknown >= 0 {
            let number = Int(position.unknown)
            let before = previousOfKind[number]
            if !takenUnknown.contains(number), before < 0 || takenUnknown.contains(Int(before)) {
                return ~position.unknown
            }
            position.unknown -= 1
            position.successor = 0
        }
        return nil
    }

    private func skip(_ position: inout Position) {
        position.successor = 0
        if position.current >= 0 {
            position.lastTried = preference[Int(position.current)]
            position.current = -1
        } else {
            position.unknown -= 1
        }
    }

    private func lastUnknown(invokedBy time: Int64) -> Int32 {
        var low = 0
        var high = unknown.count
        while low < high {
            let middle = (low + high) / 2
            if unknown[middle].invokedAt <= time { low = middle + 1 } else { high = middle }
        }
        return Int32(low) - 1
    }

    private mutating func take(_ candidate: Int32, _ following: Model.State) {
        state = following
        guard candidate >= 0 else {
            takenUnknown.insert(Int(~candidate))
            unknownRun += 1
            return
        }
        takenKnown.insert(Int(candidate))
        unknownRun = 0
        highest = max(highest, candidate)
        remaining -= 1
        for node in [2 * candidate, 2 * candidate + 1] {
            next[Int(previous[Int(node)])] = next[Int(node)]
            previous[Int(next[Int(node)])] = previous[Int(node)]
        }
    }

    private mutating func undo(_ frame: Frame) {
        state = frame.stateBefore
        highest = frame.highestBefore
        unknownRun = frame.unknownRunBefore
        guard frame.taken >= 0 else {
            takenUnknown.remove(Int(~frame.taken))
            return
        }
        takenKnown.remove(Int(frame.taken))
        remaining += 1
        for node in [2 * frame.taken + 1, 2 * frame.taken] {
            next[Int(previous[Int(node)])] = node
            previous[Int(next[Int(node)])] = node
        }
    }

    /// Everything before the first operation that is not taken is taken, so a short window after it says all.
    private var configuration: Configuration<Model.State> {
        let first = Int(next[Int(head)] >> 1)
        return Configuration(
            first: Int32(first), window: takenKnown.word(from: first),
            rest: takenKnown.words(from: first + 64, through: Int(highest)), state: state)
    }

    // MARK: Explaining

    private mutating func noteStopped(by node: Int32) {
        let operation = Int(node >> 1)
        if furthest.map({ rank[2 * $0 + 1] < rank[Int(node)] }) ?? true { furthest = operation }
        guard target == operation, stack.count > explanation?.order.count ?? -1 else { return }
        var blocked: [Int] = []
        var candidate = next[Int(head)]
        while candidate != node {
            blocked.append(Int(candidate >> 1))
            candidate = next[Int(candidate)]
        }
        explanation = SearchExplanation(
            order: stack.map { Int($0.taken) }, state: state, blocked: blocked, culprit: operation)
    }
}

/// The longest order that the search found, and why it could not go on.
struct SearchExplanation<State> {
    /// Known operations, and the complements of unknown ones.
    let order: [Int]
    let state: State
    let blocked: [Int]
    let culprit: Int
}
