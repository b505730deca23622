/// The state machine: etcd's data model, all of it in memory.
///
/// A copy of the store costs a few references whatever its size, and is a frozen version: another thread may
/// read it while this one goes on changing. ``apply(_:)`` is deterministic: stores that applied the same
/// commands answer the same, whatever snapshots they passed through.
public struct KeyValueStore: Sendable {
    /// The revision of the last change. A new store is at 1, so that the first change makes revision 2.
    public internal(set) var revision: Int64 = 1
    /// History before this revision is gone; reading at it is still possible. As in etcd -1 until the first
    /// compaction.
    public internal(set) var compactRevision: Int64 = -1

    /// The history of every key that history knows, deleted ones included.
    var index = OrderedTree<KeyBytes, KeyHistory>()
    /// Every version of every key, in order of revision.
    var log = OrderedTree<Revision, VersionRecord>()
    var leaseTable = OrderedTree<LeaseID, LeaseRecord>()
    /// The generation of the last lease granted.
    var leaseGeneration: UInt64 = 0
    /// Where freeing compacted history goes on; `nil` when there is nothing left to free. See
    /// ``prune(maximumRecords:)``.
    var prunePosition: Revision?

    /// What the store takes in memory, roughly: the bytes of all keys and values in history, and a constant
    /// for each version and lease. Replicas with the same state may differ in how much compacted history
    /// they have freed so far, and so in this number.
    public internal(set) var sizeBytes = 0

    public init() {}

    /// The number of keys that exist now.
    public var keyCount: Int { index.weight }

    /// The number of versions that history holds.
    public var versionCount: Int { log.count }

    /// Carries out a command. A command that fails changes nothing that can be observed.
    public mutating func apply(_ command: Command) -> Result<CommandResult, KeyValueError> {
        if prunePosition != nil {
            _ = prune(maximumRecords: Self.pruneStepPerCommand)
        }
        do throws(KeyValueError) {
            switch command {
            case .put(let request):
                return .success(.put(try applyPut(request)))
            case .deleteRange(let request):
                return .success(.deleteRange(try applyDeleteRange(request)))
            case .transaction(let request):
                return .success(.transaction(try applyTransaction(request)))
            case .compact(let request):
                try compact(request.revision)
                return .success(.compact(revision: revision))
            case .leaseGrant(let id, let timeToLiveSeconds):
                let grant = try grantLease(id, timeToLiveSeconds)
                return .success(.leaseGrant(LeaseGrantResponse(lease: grant, revision: revision)))
            case .leaseRevoke(let id, let generation):
                try revokeLease(id, generation)
                return .success(.leaseRevoke(revision: revision))
            }
        } catch {
            return .failure(error)
        }
    }
}

/// The changes of one command, which share a main revision.
struct ChangeSet {
    let main: Int64
    var count: Int64 = 0

    /// The revision that a read between the changes is answered at, as in etcd: that before the command
    /// until something has changed.
    var visibleRevision: Int64 { count > 0 ? main : main - 1 }

    mutating func next() -> Revision {
        defer { count += 1 }
        return Revision(main: main, sub: count)
    }
}
