/// The operations of a history in the order of their revisions, with those of unknown outcome where answers
/// show them.
struct RevisionTimeline {
    /// What an answer or a watch showed of a revision that no acknowledged change has.
    enum Evidence: Hashable {
        case put(key: [UInt8], value: [UInt8])
        /// A create revision shows that something was put, not what.
        case created(key: [UInt8])
        case deleted(key: [UInt8])

        var key: [UInt8] {
            switch self {
            case .put(let key, _), .created(let key), .deleted(let key): key
            }
        }
    }

    let history: [KeyValueHistoryEntry]
    let settings: RevisionWitness.Settings
    /// Answered operations by revision, at each the change first.
    let answered: [Int]
    /// Changes of unknown outcome.
    let unknown: [Int]
    /// The highest revision that had been shown before the operation began, for each of the history.
    private(set) var floors: [Int64]
    /// What was shown of revisions without an acknowledged change, and who made it, where that is known.
    private(set) var evidence: [Int64: [Evidence]] = [:]
    private(set) var evidenceRevisions: [Int64] = []
    private(set) var makers: [Int64: Int] = [:]
    private(set) var isPlaced: [Bool]
    private(set) var isAmbiguous = false
    /// Revisions that one of several unknown operations made.
    private var unattributedCount = 0
    private let acknowledgedWrites: [Int64: Int]

    init(_ history: [KeyValueHistoryEntry], _ settings: RevisionWitness.Settings) {
        self.history = history
        self.settings = settings
        let isWrite = history.map(RevisionTimeline.isChange)
        answered = history.indices.filter { !history[$0].isUnknown }.sorted { left, right in
            let (first, second) = (history[left], history[right])
            if first.output!.revision != second.output!.revision {
                return first.output!.revision < second.output!.revision
            }
            if isWrite[left] != isWrite[right] { return isWrite[left] }
            return (first.invokedAt, left) < (second.invokedAt, right)
        }
        unknown = history.indices.filter { history[$0].isUnknown && !history[$0].input.isReadOnly }
        floors = Array(repeating: settings.initialRevision, count: history.count)
        isPlaced = Array(repeating: false, count: history.count)
        var writes: [Int64: Int] = [:]
        for number in answered where isWrite[number] {
            writes[history[number].output!.revision] = number
        }
        acknowledgedWrites = writes
    }

    /// Whether an answered operation changed something, and so has a revision of its own.
    static func isChange(_ entry: KeyValueHistoryEntry) -> Bool {
        guard let output = entry.output else { return false }
        for (step, result) in zip(entry.input.steps(succeeded: output.succeeded), output.results) {
            switch (step, result) {
            case (.put, _): return true
            case (.delete, .deleted(let count)) where count > 0: return true
            default: break
            }
        }
        return false
    }

    func acknowledgedWrite(at revision: Int64) -> Int? { acknowledgedWrites[revision] }

    /// The highest revision that anything shows.
    var lastRevision: Int64 {
        max(
            answered.last.map { history[$0].output!.revision } ?? settings.initialRevision,
            evidenceRevisions.last ?? settings.initialRevision)
    }

    /// Revisions whose maker is known, in ascending order.
    var takenRevisions: [Int64] {
        (answered.filter { RevisionTimeline.isChange(history[$0]) }.map { history[$0].output!.revision }
            + evidenceRevisions).sorted()
    }

    // MARK: Checks

    func checkUniqueness() throws(HistoryViolation) {
        for number in answered {
            let entry = history[number]
            guard entry.output!.revision >= settings.initialRevision else {
                throw HistoryViolation(
                    "revisions never go back",
                    "\(KeyValueText.text(entry)), after the history began at \(settings.initialRevision)")
            }
            guard RevisionTimeline.isChange(entry) else { continue }
            guard entry.output!.revision > settings.initialRevision else {
                throw HistoryViolation(
                    "revisions are unique",
                    "a change has the revision that the history began with: \(KeyValueText.text(entry))")
            }
            let other = acknowledgedWrites[entry.output!.revision]!
            guard other == number else {
                throw HistoryViolation(
                    "revisions are unique",
                    "two changes were acknowledged at one revision: \(KeyValueText.text(entry)); and "
                        + KeyValueText.text(history[other]))
            }
        }
    }

    /// Later operations have later revisions. Notes on the way what was shown when unknown operations began.
    mutating func checkRealTime() throws(HistoryViolation) {
        let byReturn = answered.sorted {
            (history[$0].returnedAt!, $0) < (history[$1].returnedAt!, $1)
        }
        let byInvocation = history.indices.sorted {
            (history[$0].invokedAt, $0) < (history[$1].invokedAt, $1)
        }
        var returned = 0
        var highest: Int?
        for number in byInvocation {
            let entry = history[number]
            while returned < byReturn.count, history[byReturn[returned]].returnedAt! < entry.invokedAt {
                let candidate = byReturn[returned]
                if highest.map({ history[$0].output!.revision < history[candidate].output!.revision }) ?? true
                {
                    highest = candidate
                }
                returned += 1
            }
            guard let highest, let shown = history[highest].output?.revision else { continue }
            floors[number] = shown
            guard let revision = entry.output?.revision else { continue }
            if case .serializableGet = entry.input { continue }
            guard revision > shown || (revision == shown && !RevisionTimeline.isChange(entry)) else {
                throw HistoryViolation(
                    "revisions follow real time",
                    "\(KeyValueText.text(entry)) began after this had returned: "
                        + KeyValueText.text(history[highest]))
            }
        }
    }

    // MARK: Unknown operations

    /// Finds for each revision that was shown, but not acknowledged, the unknown operation that made it.
    ///
    /// An operation can have made every revision that is above what had been shown when it began, so of equal
    /// ones any will do: what could have made an earlier revision could have made a later one too.
    mutating func placeUnknown(_ watched: [WatchedEvent]) throws(HistoryViolation) {
        collectEvidence(watched)
        let earliestReturns = earliestReturns()
        var writers: [[UInt8]: [Int]] = [:]
        for number in unknown {
            for step in history[number].input.steps {
                if case .put(let key, _) = step { writers[key, default: []].append(number) }
            }
        }
        let deleters = unknown.filter { number in
            history[number].input.steps.contains { if case .delete = $0 { true } else { false } }
        }
        // What shows a value says who wrote it; the rest is for whoever is left.
        let certain = evidenceRevisions.filter { showsValue($0) }
        for revision in certain + evidenceRevisions.filter({ !showsValue($0) }) {
            let shown = evidence[revision]!
            var candidates = deleters
            if let put = shown.first(where: { if case .deleted = $0 { false } else { true } }) {
                candidates = writers[put.key] ?? []
            }
            candidates.removeAll { number in !shown.isEmpty && branch(of: number, making: shown) == nil }
            let inTime = candidates.filter { number in
                floors[number] < revision && history[number].invokedAt <= earliestReturns(revision)
            }
            let free = inTime.filter { !isPlaced[$0] }
            guard let maker = free.first else {
                if settings.allowsForeignWrites { continue }
                throw unexplained(revision, shown, candidates: candidates, inTime: inTime)
            }
            if free.contains(where: { history[$0].input != history[maker].input }) {
                guard showsValue(revision) else {
                    unattributedCount += 1
                    continue
                }
                isAmbiguous = true
            }
            isPlaced[maker] = true
            makers[revision] = maker
        }
    }

    private func showsValue(_ revision: Int64) -> Bool {
        evidence[revision]!.contains { if case .put = $0 { true } else { false } }
    }

    private mutating func collectEvidence(_ watched: [WatchedEvent]) {
        func add(_ new: Evidence, at revision: Int64, to all: inout [Int64: [Evidence]]) {
            guard acknowledgedWrites[revision] == nil else { return }
            let present = all[revision] ?? []
            // That a key was put with a value says more than that it was put.
            if case .created(let key) = new, present.contains(where: { $0.key == key }) { return }
            if present.contains(new) { return }
            all[revision] = present.filter { $0 != .created(key: new.key) } + [new]
        }
        for number in answered {
            for pair in history[number].output!.pairs {
                add(.put(key: pair.key, value: pair.value), at: pair.modRevision, to: &evidence)
                add(.created(key: pair.key), at: pair.createRevision, to: &evidence)
            }
        }
        for event in watched {
            switch event.kind {
            case .put: add(.put(key: event.key, value: event.value), at: event.modRevision, to: &evidence)
            case .delete: add(.deleted(key: event.key), at: event.modRevision, to: &evidence)
            }
        }
        evidenceRevisions = evidence.keys.sorted()
    }

    /// When something of a revision, or a later one, was first known to a client.
    private func earliestReturns() -> (Int64) -> Int64 {
        let revisions = answered.map { history[$0].output!.revision }
        var earliest = answered.map { history[$0].returnedAt! }
        for position in earliest.indices.dropLast().reversed() {
            earliest[position] = min(earliest[position], earliest[position + 1])
        }
        return { revision in
            let position = RevisionTimeline.firstPosition(in: revisions, atLeast: revision)
            return position < earliest.count ? earliest[position] : .max
        }
    }

    /// Which branch of the operation makes what was shown, `nil` where none does.
    func branch(of number: Int, making shown: [Evidence]) -> Bool? {
        let input = history[number].input
        return [true, false].first { succeeded in
            let steps = input.steps(succeeded: succeeded)
            return shown.allSatisfy { evidence in
                let last = steps.last { !$0.isReadOnly && $0.span.contains(evidence.key) }
                switch (evidence, last) {
                case (.put(_, let value), .put(_, let written)?): return value == written
                case (.created, .put?), (.deleted, .delete?): return true
                default: return false
                }
            }
        }
    }

    private func unexplained(
        _ revision: Int64, _ shown: [Evidence], candidates: [Int], inTime: [Int]
    ) -> HistoryViolation {
        let what = shown.map { evidence in
            switch evidence {
            case .put(let key, let value):
                "\(KeyValueText.text(key)) = \(KeyValueText.text(value))"
            case .created(let key): "\(KeyValueText.text(key)) being created"
            case .deleted(let key): "\(KeyValueText.text(key)) being deleted"
            }
        }.joined(separator: ", ")
        if let used = inTime.first {
            return HistoryViolation(
                "a write happens at most once",
                "revision \(revision) shows \(what), which happened already at another revision: "
                    + KeyValueText.text(history[used]))
        }
        if let early = candidates.first {
            return HistoryViolation(
                "revisions follow real time",
                "revision \(revision) shows \(what), but this had not begun, or began when later revisions "
                    + "had been shown: \(KeyValueText.text(history[early]))")
        }
        let again = answered.first { number in
            RevisionTimeline.isChange(history[number]) && branch(of: number, making: shown) != nil
        }
        if let again {
            return HistoryViolation(
                "a write happens at most once",
                "revision \(revision) shows \(what), but it was acknowledged at another: "
                    + KeyValueText.text(history[again]))
        }
        return HistoryViolation(
            "values come from somewhere", "revision \(revision) shows \(what), which nobody asked for")
    }

    /// No more revisions without a known maker than there are unknown operations left.
    func checkGaps() throws(HistoryViolation) {
        guard !settings.allowsForeignWrites else { return }
        let gaps =
            Int(lastRevision - settings.initialRevision) - acknowledgedWrites.count
            - evidenceRevisions.count
        let left = unknown.count { !isPlaced[$0] } - unattributedCount
        guard gaps > left else { return }
        throw HistoryViolation(
            "revisions are made by writes",
            "up to \(lastRevision) there are \(gaps) revisions that nobody was told of, and \(left) "
                + "operations of unknown outcome that could have made them: something was executed twice")
    }

    /// Where the first number that is not smaller stands in an ascending list.
    static func firstPosition(in numbers: [Int64], atLeast bound: Int64) -> Int {
        var low = 0
        var high = numbers.count
        while low < high {
            let middle = (low + high) / 2
            if numbers[middle] < bound { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
