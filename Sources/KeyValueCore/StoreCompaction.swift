/// Compaction in two parts. The command only moves ``compactRevision``: from then on the state answers as if
/// all older history were gone. The space is freed in bounded steps, a few versions with every command and
/// more whenever the runtime has time, and nothing but ``sizeBytes`` tells how far that has come.
///
/// What remains of a key is its newest version at or before the compact revision, unless that is a deletion
/// before it, and everything after it. Everything that happened at the compact revision itself remains, so
/// that a watch may resume there without a loss.
extension KeyValueStore {
    /// How many versions each command looks at for freeing, where there is something to free: far more than
    /// most commands add.
    static var pruneStepPerCommand: Int { 64 }
    /// How many the compaction itself looks at.
    static var pruneStepPerCompaction: Int { 1_024 }

    mutating func compact(_ target: Int64) throws(KeyValueError) {
        guard target > compactRevision else { throw .compacted }
        guard target <= revision else { throw .futureRevision }
        // What was kept because it happened at the compact revision is looked at again.
        let start = Revision(main: compactRevision, sub: 0)
        prunePosition = prunePosition.map { min($0, start) } ?? start
        compactRevision = target
        _ = prune(maximumRecords: Self.pruneStepPerCompaction)
    }

    /// Whether compacted history waits to be freed.
    public var hasHistoryToPrune: Bool { prunePosition != nil }

    /// Frees compacted history: looks at up to `maximumRecords` versions, and says whether more are left.
    /// Changes nothing that can be observed but ``sizeBytes``.
    ///
    /// The walk follows the revision log from the last compact revision to the present one, since a version
    /// becomes superfluous through a later one: the work is in proportion to what was written between two
    /// compactions, not to what the store holds.
    public mutating func prune(maximumRecords: Int) -> Bool {
        precondition(maximumRecords > 0, "a step of pruning looks at one version at least")
        guard let position = prunePosition else { return false }
        var step: [VersionRecord] = []
        var next: Revision?
        log.visit(from: position) { revision, record in
            guard revision.main <= compactRevision else { return false }
            guard step.count < maximumRecords else {
                next = revision
                return false
            }
            step.append(record)
            return true
        }
        for record in step {
            prune(around: record)
        }
        prunePosition = next
        return next != nil
    }

    /// Frees what a version makes superfluous: those before it and, where it is a deletion, itself.
    private mutating func prune(around record: VersionRecord) {
        let key = KeyBytes(record.keyValue.key)
        let isSuperfluous = record.isDeletion && record.main < compactRevision
        guard let history = index[key] else { preconditionFailure("a version in the log is in the index") }
        var obsolete = 0
        while history[obsolete].revision < record.revision, history[obsolete].main < compactRevision {
            obsolete += 1
        }
        if isSuperfluous {
            precondition(history[obsolete] === record, "a deletion is preceded only by older versions")
            obsolete += 1
        }
        guard obsolete > 0 else { return }
        for position in 0..<obsolete {
            log.remove(history[position].revision)
            sizeBytes -= history[position].sizeBytes
        }
        if obsolete == history.count {
            index.remove(key)
        } else {
            removeOldest(obsolete, of: key)
        }
    }

    private mutating func removeOldest(_ count: Int, of key: KeyBytes) {
        index.upsert(
            key, insert: { preconditionFailure("the key was there") },
            change: { history in
                for _ in 0..<count { history.removeOldest() }
            })
    }

    /// Whether a version in the log belongs to the history that can be observed, or only waits to be freed.
    func isObservable(_ record: VersionRecord) -> Bool {
        guard prunePosition != nil, record.main < compactRevision else { return true }
        guard !record.isDeletion, let history = index[KeyBytes(record.keyValue.key)] else { return false }
        let position = history.countBefore(record.revision) + 1
        return position == history.count || history[position].main > compactRevision
    }
}
