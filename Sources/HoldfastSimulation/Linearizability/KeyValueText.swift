/// Key-value operations for a person.
enum KeyValueText {
    /// Long values are cut.
    private static let maximumLength = 40

    static func text(_ bytes: [UInt8]) -> String {
        let isPrintable = bytes.allSatisfy { (0x20...0x7e).contains($0) }
        let shown = bytes.prefix(maximumLength)
        let text =
            isPrintable
            ? String(decoding: shown, as: UTF8.self)
            : "0x" + shown.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return bytes.count > maximumLength ? text + "..." : text
    }

    static func text(_ span: KeySpan) -> String {
        if span.isSingleKey { return text(span.key) }
        return span.end == [0] ? "[\(text(span.key)), all)" : "[\(text(span.key)), \(text(span.end)))"
    }

    static func text(_ step: KeyValueStep) -> String {
        switch step {
        case .get(let span): "get \(text(span))"
        case .put(let key, let value): "put \(text(key)) = \(text(value))"
        case .delete(let span): "delete \(text(span))"
        }
    }

    static func text(_ condition: KeyValueCondition) -> String {
        let relation =
            switch condition.relation {
            case .equal: "="
            case .notEqual: "!="
            case .less: "<"
            case .greater: ">"
            }
        let operand =
            switch condition.operand {
            case .value(let value): "value \(relation) \(text(value))"
            case .version(let number): "version \(relation) \(number)"
            case .createRevision(let number): "create revision \(relation) \(number)"
            case .modRevision(let number): "mod revision \(relation) \(number)"
            }
        return "\(text(condition.key)) \(operand)"
    }

    static func text(_ input: KeyValueInput) -> String {
        switch input {
        case .step(let step): return text(step)
        case .serializableGet(let span): return "get \(text(span)) (serializable)"
        case .transaction(let conditions, let success, let failure):
            let branches = [success, failure].map { $0.map { text($0) }.joined(separator: ", ") }
            return "if \(conditions.map { text($0) }.joined(separator: " and ")) "
                + "then {\(branches[0])} else {\(branches[1])}"
        }
    }

    static func text(_ pair: ObservedPair) -> String {
        "\(text(pair.key)) = \(text(pair.value)) (create \(pair.createRevision), mod \(pair.modRevision), "
            + "version \(pair.version))"
    }

    static func text(_ pair: KeyValueModelState.Pair) -> String {
        func known(_ number: Int64) -> String { number == 0 ? "?" : "\(number)" }
        return "\(text(pair.key)) = \(pair.value.map { text($0) } ?? "?") (create "
            + "\(known(pair.createRevision)), mod \(known(pair.modRevision)), version \(known(pair.version)))"
    }

    static func text(_ state: KeyValueModelState) -> String {
        state.pairs.isEmpty ? "(no keys)" : state.pairs.map { text($0) }.joined(separator: ", ")
    }

    static func text(_ output: KeyValueOutput) -> String {
        let results = output.results.map { result in
            switch result {
            case .pairs(let pairs):
                pairs.isEmpty ? "nothing" : pairs.map { text($0) }.joined(separator: ", ")
            case .put: "ok"
            case .deleted(let count): "\(count) deleted"
            }
        }
        return (output.succeeded ? "" : "else: ") + results.joined(separator: "; ")
            + " at revision \(output.revision)"
    }

    static func text(_ mismatch: KeyValueMismatch) -> String {
        switch mismatch {
        case .pairs(let expected, let observed):
            let known = expected.isEmpty ? "nothing" : expected.map { text($0) }.joined(separator: ", ")
            let shown = observed.isEmpty ? "nothing" : observed.map { text($0) }.joined(separator: ", ")
            return "shows \(shown), where there is \(known)"
        case .deleted(let expected, let observed):
            return "says that it deleted \(observed), where there were \(expected)"
        case .branch: return "took the branch that its conditions do not choose"
        case .shape: return "has answers that do not fit its steps"
        }
    }

    static func text(_ entry: KeyValueHistoryEntry) -> String {
        let end = entry.returnedAt.map { "\($0)" } ?? "?"
        return "client \(entry.client) [\(entry.invokedAt) .. \(end)] \(text(entry.input)) -> "
            + (entry.output.map { text($0) } ?? "unknown")
    }
}
