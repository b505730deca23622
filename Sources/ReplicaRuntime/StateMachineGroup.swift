import ConsensusTypes
import RaftCore

/// A user's ``StateMachine``, replicated: gathers what clients ask for, hands it to the ``Replica`` once a
/// turn, and answers when it was applied here.
///
/// Synchronous and bound to one loop, like the replica below it. A command is executed at most once however
/// often the leader changes, by the rule of ``KeyValueGroup``: a proposal names the term whose leader may
/// append it, and is proposed again only after an entry of a later term was applied without it, which shows
/// that it is in no log that can still win (Raft paper, section 5.4).
public final class StateMachineGroup<S: StateMachine> {
    public let settings: StateMachineGroupSettings
    /// The state after the last command that was applied here. It may be behind that of other nodes;
    /// ``linearizableRead(_:)`` waits until it is not.
    public internal(set) var state: S
    public internal(set) var leadership = Leadership(role: .follower, term: .zero, leader: nil)

    let clock: () -> Instant
    public private(set) var replica: Replica<StateMachineGroup<S>>!
    unowned let environment: any ReplicaEnvironment

    var proposals: ProposalQueue<[UInt8]>
    var reads = ReadGathering()
    var nextExpiryCheck = Instant.distantFuture
    public private(set) var isStopped = false
    /// Which rare branches the group has taken. Nothing depends on it.
    public var rarePaths: RarePathSet {
        var result = ownRarePaths
        result.formUnion(proposals.rarePaths)
        return result
    }
    var ownRarePaths = RarePathSet()
    /// Called when something came from a peer that only the node above understands.
    public var onAnnouncement: ((NodeID, ByteSlice) -> Void)?

    /// `state` is that of the newest snapshot. ``attach(_:)`` must follow before anything else.
    public init(
        session: UInt64, state: S, settings: StateMachineGroupSettings, environment: any ReplicaEnvironment,
        clock: @escaping () -> Instant
    ) {
        proposals = ProposalQueue(session: session)
        self.state = state
        self.settings = settings
        self.environment = environment
        self.clock = clock
    }

    public func attach(_ replica: Replica<StateMachineGroup<S>>) {
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
    }
}

/// Limits and times of a group with a user's state machine.
public struct StateMachineGroupSettings: Hashable, Sendable {
    /// How long a request may wait for its outcome.
    public var requestTimeoutMilliseconds = 7_000
    public var maximumCommandSizeBytes = 1 << 20
    public var maximumPendingProposals = 32_768
    public var maximumPendingProposalSizeBytes = 256 << 20
    public var maximumPendingReads = 65_536

    public init() {}
}
