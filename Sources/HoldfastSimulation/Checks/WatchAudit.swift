import KeyValueCore

/// What one watch must still be given, by the model: every change that it wants, once, in order, and none
/// that it was told it already has.
struct WatchAudit {
    let request: WatchRequest
    /// The first change that was not given: its revision and its place within it.
    private(set) var next: (revision: Int64, position: Int)

    init(_ request: WatchRequest) {
        self.request = request
        next = (request.startRevision, 0)
    }

    private func wants(_ change: KeyValue) -> Bool {
        if change.version == 0 ? request.filtersDeletes : request.filtersPuts { return false }
        return request.range.contains(change.key)
    }

    /// Moves on to the next change that the watch wants, at most to the end of what `model` knows.
    private mutating func skipUnwanted(_ model: ReferenceStore) -> KeyValue? {
        while next.revision <= model.revision {
            let changes = model.changes[Int(next.revision)]
            while next.position < changes.count {
                if wants(changes[next.position]) { return changes[next.position] }
                next.position += 1
            }
            next = (next.revision + 1, 0)
        }
        return nil
    }

    mutating func check(events: [WatchEvent], through: Int64, _ model: ReferenceStore) -> String? {
        for event in events {
            guard let expected = skipUnwanted(model) else {
                return "shows revision \(event.keyValue.modRevision), where nothing is left to show"
            }
            let kind: WatchEvent.Kind = expected.version == 0 ? .delete : .put
            guard event.kind == kind, event.keyValue == expected else {
                return "shows \(event.keyValue.text) where \(expected.text) comes next"
            }
            next.position += 1
        }
        return checkProgress(through, model)
    }

    /// Whoever is told of progress must have been given everything up to there.
    mutating func checkProgress(_ revision: Int64, _ model: ReferenceStore) -> String? {
        guard revision <= model.revision else {
            return "claims revision \(revision), \(model.revision) is the last"
        }
        if let missing = skipUnwanted(model), missing.modRevision <= revision {
            return "claims revision \(revision) without having shown \(missing.text)"
        }
        return nil
    }

    /// What the watch would go on with if it began anew.
    mutating func resume(after compactRevision: Int64) {
        if next.revision <= compactRevision { next = (compactRevision, 0) }
    }
}

extension KeyValue {
    var text: String {
        let name = String(decoding: key, as: UTF8.self)
        return version == 0
            ? "the deletion of \(name) at \(modRevision)" : "\(name) at \(modRevision), version \(version)"
    }
}
