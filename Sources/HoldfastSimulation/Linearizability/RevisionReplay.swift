/// Makes the store anew along the revisions and compares every answer with it.
struct RevisionReplay {
    private let timeline: RevisionTimeline
    private let history: [KeyValueHistoryEntry]
    private var state = KeyValueModelState()
    private(set) var log = WriteLog()
    let isAmbiguous: Bool

    /// Revisions whose maker is known.
    private let taken: [Int64]
    /// Revisions of unknown makers that an unseen deletion was put at.
    private var usedGaps = Set<Int64>()
    /// Unknown operations that no answer shows, and that may have happened anywhere.
    private var loose: [Int]
    /// How many of them may put, and may delete, each key that the history knows.
    private var loosePuts: [[UInt8]: Int] = [:]
    private var looseDeletions: [[UInt8]: Int] = [:]
    /// Their keys in order, and the ranges that they may delete.
    private let looseKeys: [[UInt8]]
    private var looseSpans: [KeySpan] = []
    /// Up to which revision it is certain what the key is.
    private var certainThrough: [[UInt8]: Int64] = [:]

    init(_ timeline: RevisionTimeline) {
        self.timeline = timeline
        history = timeline.history
        isAmbiguous = timeline.isAmbiguous
        taken = timeline.takenRevisions
        loose = timeline.unknown.filter { !timeline.isPlaced[$0] }
        log.hasUnknownWrites = !loose.isEmpty || timeline.settings.allowsForeignWrites
        for number in loose {
            for step in history[number].input.steps where !step.isReadOnly {
                if !step.isDeletion {
                    loosePuts[step.span.key, default: 0] += 1
                } else if step.span.isSingleKey {
                    looseDeletions[step.span.key, default: 0] += 1
                } else {
                    looseSpans.append(step.span)
                }
            }
        }
        looseKeys = Set(loosePuts.keys).union(looseDeletions.keys)
            .sorted { $0.lexicographicallyPrecedes($1) }
    }

    mutating func run() throws(HistoryViolation) {
        var pending = timeline.evidenceRevisions[...]
        for number in timeline.answered {
            let revision = history[number].output!.revision
            while let next = pending.first, next <= revision {
                pending = pending.dropFirst()
                try applyUnknown(at: next)
            }
            try applyAnswered(number, at: revision)
        }
        for next in pending {
            try applyUnknown(at: next)
        }
    }

    private mutating func applyAnswered(_ number: Int, at revision: Int64) throws(HistoryViolation) {
        let entry = history[number]
        let output = entry.output!
        let isChange = RevisionTimeline.isChange(entry)
        let steps = entry.input.steps(succeeded: output.succeeded)
        // What a change sees is the state before it, what a read sees the state at its revision.
        let before = isChange ? revision : revision + 1
        if output.results.count == steps.count {
            for (step, result) in zip(steps, output.results) {
                guard case .get(let span) = step, case .pairs(let pairs) = result else { break }
                try resolveAbsences(in: span, observed: pairs, before: before, entry)
            }
        }
        var evaluator = evaluator(at: revision, before: before)
        if case .transaction = entry.input, let holds = evaluator.holds(entry.input.conditions),
            holds != output.succeeded
        {
            throw violation(.branch, entry)
        }
        if let mismatch = evaluator.run(steps, output.results) { throw violation(mismatch, entry) }
        finish(&evaluator)
        noteCertain(steps, at: revision)
        if isChange {
            log.add(
                evaluator.changes, at: revision,
                isIncomplete: steps.contains { mayDeleteMore($0, before: before) })
        }
    }

    /// A change that was shown, but not acknowledged.
    private mutating func applyUnknown(at revision: Int64) throws(HistoryViolation) {
        let shown = timeline.evidence[revision]!
        guard let maker = timeline.makers[revision] else {
            applyForeign(shown, at: revision)
            return
        }
        let entry = history[maker]
        var evaluator = evaluator(at: revision, before: revision)
        var branch = timeline.branch(of: maker, making: shown)!
        if case .transaction = entry.input, let holds = evaluator.holds(entry.input.conditions),
            holds != branch
        {
            // Both branches may make what was shown.
            let steps = entry.input.steps(succeeded: holds)
            let makesIt = shown.allSatisfy { evidence in
                steps.contains { !$0.isReadOnly && $0.span.contains(evidence.key) }
            }
            guard makesIt else { throw violation(.branch, entry) }
            branch = holds
        }
        let steps = entry.input.steps(succeeded: branch)
        _ = evaluator.run(steps, nil)
        finish(&evaluator)
        noteCertain(steps.filter { !$0.isReadOnly }, at: revision)
        log.add(
            evaluator.changes, at: revision,
            isIncomplete: steps.contains { mayDeleteMore($0, before: revision) })
    }

    private mutating func applyForeign(_ shown: [RevisionTimeline.Evidence], at revision: Int64) {
        var changes: [KeyValueChange] = []
        for evidence in shown {
            switch evidence {
            case .put(let key, let value):
                state.put(key, value, revision: revision, isCertain: false)
                changes.append(KeyValueChange(key: key, value: value))
            case .created(let key):
                state.put(key, nil, revision: revision, isCertain: false)
            case .deleted(let key):
                state.pairs.removeSubrange(state.positions(in: KeySpan(key: key)))
                changes.append(KeyValueChange(key: key, value: nil))
            }
            certainThrough[evidence.key] = revision
        }
        log.add(changes, at: revision, isIncomplete: true)
    }

    /// The evaluator takes the state, so that nothing is copied; ``finish(_:)`` takes it back.
    private mutating func evaluator(at revision: Int64, before: Int64) -> KeyValueEvaluator {
        var evaluator = KeyValueEvaluator(state: state, revision: revision)
        state = KeyValueModelState()
        evaluator.recordsChanges = true
        if log.hasUnknownWrites {
            let doubts = KeyDoubts(
                allKeys: timeline.settings.allowsForeignWrites, puts: loosePuts, deletions: looseDeletions,
                spans: looseSpans, certainThrough: certainThrough, taken: taken,
                initial: timeline.settings.initialRevision)
            evaluator.doubt = { doubts.doubt($0, before: before) }
        }
        return evaluator
    }

    private mutating func finish(_ evaluator: inout KeyValueEvaluator) {
        evaluator.doubt = nil
        swap(&state, &evaluator.state)
    }

    private func mayDeleteMore(_ step: KeyValueStep, before: Int64) -> Bool {
        if case .delete = step { return log.hasUnknownWrites }
        return false
    }

    private mutating func noteCertain(_ steps: [KeyValueStep], at revision: Int64) {
        guard log.hasUnknownWrites else { return }
        for step in steps {
            if step.span.isSingleKey {
                certainThrough[step.span.key] = revision
            } else if case .get(let span) = step {
                for key in looseKeys where span.contains(key) {
                    certainThrough[key] = revision
                }
            }
        }
    }

    // MARK: Unseen deletions

    /// A key that ought to be there and was not shown must have been deleted by an operation of unknown
    /// outcome.
    private mutating func resolveAbsences(
        in span: KeySpan, observed: [ObservedPair], before: Int64, _ entry: KeyValueHistoryEntry
    ) throws(HistoryViolation) {
        let expected = state.pairs[state.positions(in: span)]
        guard expected.count > observed.count, log.hasUnknownWrites else { return }
        let shown = Set(observed.map(\.key))
        for pair in expected where !shown.contains(pair.key) {
            let after = max(pair.modRevision, certainThrough[pair.key] ?? 0)
            let deleters = loose.filter { number in
                history[number].input.steps.contains { step in
                    if case .delete(let span) = step { return span.contains(pair.key) }
                    return false
                }
            }
            let gaps = freeGaps(after: after, before: before, limit: 2)
            guard let gap = gaps.first, !deleters.isEmpty || timeline.settings.allowsForeignWrites else {
                throw violation(.pairs(expected: Array(expected), observed: observed), entry)
            }
            state.pairs.removeSubrange(state.positions(in: KeySpan(key: pair.key)))
            // Where it may have been one of several, or did more than this, all of them may still happen.
            guard deleters.count == 1, let deleter = deleters.first else { continue }
            if history[deleter].input.steps.allSatisfy({ $0.span.isSingleKey && $0.isDeletion }) {
                if gaps.count == 1 { usedGaps.insert(gap) }
                loose.removeAll { $0 == deleter }
                for step in history[deleter].input.steps where !step.isReadOnly {
                    looseDeletions[step.span.key, default: 1] -= 1
                }
            }
        }
    }

    private func freeGaps(after: Int64, before: Int64, limit: Int) -> [Int64] {
        var found: [Int64] = []
        var position = RevisionTimeline.firstPosition(in: taken, atLeast: after + 1)
        var candidate = after + 1
        while candidate < before, found.count < limit {
            if position < taken.count, taken[position] == candidate {
                position += 1
            } else if !usedGaps.contains(candidate) {
                found.append(candidate)
            }
            candidate += 1
        }
        return found
    }

    private func violation(_ mismatch: KeyValueMismatch, _ entry: KeyValueHistoryEntry) -> HistoryViolation {
        HistoryViolation(
            "answers follow from the writes before them",
            "\(KeyValueText.text(entry)): \(KeyValueText.text(mismatch))")
    }
}

/// Of which keys it is not certain what they are, because something unseen may have happened to them.
private struct KeyDoubts {
    let allKeys: Bool
    let puts: [[UInt8]: Int]
    let deletions: [[UInt8]: Int]
    let spans: [KeySpan]
    let certainThrough: [[UInt8]: Int64]
    let taken: [Int64]
    let initial: Int64

    func doubt(_ key: [UInt8], before: Int64) -> KeyDoubt {
        var doubt: KeyDoubt = allKeys ? [.mayExist, .mayBeGone] : []
        if puts[key] ?? 0 > 0 { doubt.insert(.mayExist) }
        if deletions[key] ?? 0 > 0 || spans.contains(where: { $0.contains(key) }) { doubt.insert(.mayBeGone) }
        return doubt.isEmpty || !hasGap(after: certainThrough[key] ?? initial, before: before) ? [] : doubt
    }

    /// Whether there is a revision in between whose maker is not known.
    private func hasGap(after: Int64, before: Int64) -> Bool {
        guard after + 1 < before else { return false }
        let first = RevisionTimeline.firstPosition(in: taken, atLeast: after + 1)
        let last = RevisionTimeline.firstPosition(in: taken, atLeast: before)
        return Int64(last - first) < before - after - 1
    }
}
