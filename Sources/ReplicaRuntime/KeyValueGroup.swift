import ConsensusTypes
import KeyValueCore
import RaftCore

/// The etcd data model as a replicated state machine: what a node answers clients from.
///
/// Synchronous and bound to one loop, like the ``Replica`` below it. It gathers what clients ask for and
/// hands it down once a turn, matches applied entries with the clients that wait for them, and runs the
/// clocks of leases where this node leads.
///
/// A write is executed at most once however often the leader changes: a proposal names the term whose
/// leader may append it, and it is proposed again only after an entry of a later term was applied without
/// it, which shows that it is in no log that can still win (Raft paper, section 5.4).
public final class KeyValueGroup {
    public let settings: KeyValueGroupSettings
    public internal(set) var store: KeyValueStore
    public internal(set) var leadership = Leadership(role: .follower, term: .zero, leader: nil)
    public internal(set) var leaderChangeCount = 0

    let nodeID: NodeID
    let clock: () -> Instant
    public internal(set) var replica: Replica<KeyValueGroup>!
    unowned let environment: any ReplicaEnvironment

    var proposals: ProposalQueue<CommandResult>
    var reads = ReadGathering()
    var leases = LeaseClock()
    /// The term in which the lease clocks run here; they start once the leader has applied its first entry.
    var leaseTerm: Term?
    var leaderCalls = LeaderCalls()
    var watches: WatchRegistry
    var watchHandlers: [WatchID: () -> Void] = [:]
    var random: SeededRandom
    var nextExpiryCheck = Instant.distantFuture
    public internal(set) var isStopped = false
    /// Which rare branches the group has taken. Nothing depends on it.
    public var rarePaths: RarePathSet {
        var result = ownRarePaths
        result.formUnion(proposals.rarePaths)
        return result
    }
    var ownRarePaths = RarePathSet()
    var isOverQuota = false
    var logSpace = DiskSpace.ample
    /// Called when something came from a peer that only the node above understands.
    public var onAnnouncement: ((NodeID, ByteSlice) -> Void)?

    /// `store` is the state of the newest snapshot. ``attach(_:)`` must follow before anything else.
    public init(
        nodeID: NodeID, session: UInt64, seed: UInt64, store: KeyValueStore,
        settings: KeyValueGroupSettings, environment: any ReplicaEnvironment,
        clock: @escaping () -> Instant
    ) {
        self.nodeID = nodeID
        proposals = ProposalQueue(session: session)
        self.store = store
        watches = WatchRegistry(store: store)
        self.settings = settings
        self.environment = environment
        self.clock = clock
        random = SeededRandom(seed: seed)
    }

    public func attach(_ replica: Replica<KeyValueGroup>) {
        self.replica = replica
        _ = proposals.restore(replica.appliedTerm)
    }

    public var isLeader: Bool { leadership.role == .leader }

    /// Proposals whose outcome is not known yet.
    public var pendingProposalCount: Int { proposals.count }

    /// Answers everyone who waits and takes nothing more.
    public func stop() {
        guard !isStopped else { return }
        isStopped = true
        for ended in proposals.takeAll() { ended.tell() }
        for completion in reads.takeAll() {
            completion(.stopped)
        }
        failLeaderCalls(.stopped)
    }
}

/// Limits and times of a key-value group.
public struct KeyValueGroupSettings: Hashable, Sendable {
    /// How long a request may wait for its outcome (etcd: 5 s and twice the election timeout).
    public var requestTimeoutMilliseconds = 7_000
    public var maximumPendingProposals = 32_768
    public var maximumPendingProposalSizeBytes = 256 << 20
    public var maximumPendingReads = 65_536
    /// Beyond this size of the state, writes are refused (etcd's `--quota-backend-bytes`).
    public var quotaBytes = 2 << 30
    /// A new leader gives every lease its full time to live and this much more.
    public var leaseExtensionMilliseconds = 1_000

    public init() {}
}
