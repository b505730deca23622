/// What is written to the raft log to change a key-value store. The bytes are described in
/// docs/formats/key-value-commands.md.
public enum Command: Hashable, Sendable {
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case transaction(TransactionRequest)
    case compact(CompactRequest)
    /// `id` is chosen before the command is proposed; a command with id zero fails as etcd's lessor does. The
    /// proposer also raises the time to live to the least that the cluster grants: the store raises it only
    /// to one second.
    case leaseGrant(id: LeaseID, timeToLiveSeconds: Int64)
    /// Deletes the lease and every key on it, in one revision.
    ///
    /// With a `generation`, only if the lease still is the one that was granted with it
    /// (``LeaseGrant/generation``). An expiry carries the generation that expired: it may be proposed more
    /// than once, and a second one that commits late must not take a lease that was granted anew under the
    /// same id. A client's own revocation carries none.
    case leaseRevoke(LeaseID, generation: UInt64? = nil)

    /// Whether the command makes the state larger. Such commands are the first to be refused when space
    /// runs out.
    public var needsSpace: Bool {
        switch self {
        case .put, .leaseGrant: true
        case .transaction(let request): request.needsSpace
        case .deleteRange, .compact, .leaseRevoke: false
        }
    }
}

/// What a command that was applied answers with.
public enum CommandResult: Hashable, Sendable {
    case put(PutResponse)
    case deleteRange(DeleteRangeResponse)
    case transaction(TransactionResponse)
    case compact(revision: Int64)
    case leaseGrant(LeaseGrantResponse)
    case leaseRevoke(revision: Int64)

    /// The store's revision for the response's header.
    public var revision: Int64 {
        switch self {
        case .put(let response): response.revision
        case .deleteRange(let response): response.revision
        case .transaction(let response): response.revision
        case .compact(let revision): revision
        case .leaseGrant(let response): response.revision
        case .leaseRevoke(let revision): revision
        }
    }
}

public struct LeaseGrantResponse: Hashable, Sendable {
    public var lease: LeaseGrant
    public var revision: Int64

    public init(lease: LeaseGrant, revision: Int64) {
        self.lease = lease
        self.revision = revision
    }
}
