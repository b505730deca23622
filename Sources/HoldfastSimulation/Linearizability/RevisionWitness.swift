/// What a check of a whole history by its revisions found.
public enum RevisionVerdict: Sendable {
    /// Nothing contradicts; this is what happened.
    case consistent(WriteLog)
    case inconsistent(HistoryViolation)
    /// Something does not fit, but unknown operations could be put together in another way.
    case undecided(reason: String)
}

/// Checks a whole key-value history, over any number of keys, in one pass along the revisions that the server
/// gave its answers.
///
/// Every change has a revision of its own, and every read names the revision of the state that it was
/// answered from. So the server itself says in which order everything happened, and what is left is to hold
/// it to that:
///
/// - no two changes share a revision, and no revision was made by nobody;
/// - what began after something else had returned has no smaller revision, and a change a larger one;
/// - every answer is what the store, made anew from all changes in their order, gives at that revision;
/// - a change of unknown outcome happened where some answer or watch shows it, once, not before it was asked
///   for, and took the branch that its conditions choose.
///
/// What this proves: a history that passes, in which every operation was answered, is linearizable, and the
/// order of revisions is the proof; that includes range reads and transactions over many keys, which are of
/// one moment. With unknown outcomes it proves the same of everything that was answered, except the versions
/// and create revisions of keys that unknown changes may have touched unseen; revisions that nobody was shown
/// are only counted against the unknown operations that are left. Serializable reads are held to the state at
/// their revision, not to real time.
///
/// What it does not: that a history that fails could not be ordered in another way. It breaks a promise of
/// the revisions, which clients build on, but the values alone might be linearizable; ``KeyValueModel``
/// decides that without trusting revisions.
public enum RevisionWitness {
    public struct Settings: Hashable, Sendable {
        /// The store's revision when the history began. None of the history's keys existed then.
        public var initialRevision: Int64
        /// Whether there may be changes that the history does not know of, such as the end of leases.
        public var allowsForeignWrites: Bool

        public init(initialRevision: Int64 = 1, allowsForeignWrites: Bool = false) {
            self.initialRevision = initialRevision
            self.allowsForeignWrites = allowsForeignWrites
        }
    }

    /// - Parameter watched: events that watches showed; they too say what became of unknown operations.
    public static func check(
        _ history: [KeyValueHistoryEntry], watched: [WatchedEvent] = [], settings: Settings = Settings()
    ) -> RevisionVerdict {
        var timeline = RevisionTimeline(history, settings)
        do throws(HistoryViolation) {
            try timeline.checkUniqueness()
            try timeline.checkRealTime()
            try timeline.placeUnknown(watched)
            try timeline.checkGaps()
        } catch {
            return verdict(error, isAmbiguous: timeline.isAmbiguous)
        }
        var replay = RevisionReplay(timeline)
        do throws(HistoryViolation) {
            try replay.run()
        } catch {
            return verdict(error, isAmbiguous: replay.isAmbiguous)
        }
        return .consistent(replay.log)
    }

    private static func verdict(_ violation: HistoryViolation, isAmbiguous: Bool) -> RevisionVerdict {
        guard isAmbiguous else { return .inconsistent(violation) }
        return .undecided(
            reason: "\(violation); but more than one operation of unknown outcome could have made what was "
                + "seen, and the wrong one may have been taken for it: write values that are unique")
    }
}

/// The changes of a history by revision, as far as they are known.
public struct WriteLog: Sendable {
    /// In ascending order.
    public private(set) var revisions: [Int64] = []
    private var changesByRevision: [Int64: [KeyValueChange]] = [:]
    private var incomplete = Set<Int64>()
    /// Whether there may be changes at revisions that are not listed.
    public var hasUnknownWrites = false

    public init() {}

    /// `nil` where it is not known what happened at the revision.
    public func changes(at revision: Int64) -> [KeyValueChange]? {
        changesByRevision[revision]
    }

    /// Whether the revision may have had more changes than are known.
    public func isIncomplete(_ revision: Int64) -> Bool { incomplete.contains(revision) }

    /// Revisions must be added in ascending order. Of several changes of one key in one revision the last
    /// counts.
    public mutating func add(_ changes: [KeyValueChange], at revision: Int64, isIncomplete: Bool = false) {
        precondition(revisions.last ?? .min < revision, "changes are added in the order of their revisions")
        var kept: [KeyValueChange] = []
        for change in changes {
            if let position = kept.firstIndex(where: { $0.key == change.key }) {
                kept[position] = change
            } else {
                kept.append(change)
            }
        }
        revisions.append(revision)
        changesByRevision[revision] = kept
        if isIncomplete { incomplete.insert(revision) }
    }
}
