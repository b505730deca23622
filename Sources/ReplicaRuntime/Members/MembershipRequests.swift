import ConsensusTypes
import RaftCore

/// The changes of the membership that clients of this node asked for, from when they are accepted until their
/// outcome is known. The rule by which each is made at most once is that of all proposals: ``ProposalQueue``.
struct MembershipRequests {
    typealias Outcome = Result<Membership, MembershipChangeError>

    static let maximumCount = 64
    private static let expiryCheckInterval = Interval.milliseconds(100)
    private static let retryInterval = Interval.milliseconds(10)

    private var queue: ProposalQueue<Outcome>
    /// Changes whose joint membership was applied, and that end with the next one.
    private var leaving: [(deadline: Instant, completion: (Outcome) -> Void)] = []
    /// Refused by a leader that was elected just now: nothing was done, and it will be ready soon.
    private var delayed: [PendingProposal<Outcome>] = []
    private(set) var nextDeadline = Instant.distantFuture

    init(session: UInt64) {
        queue = ProposalQueue(session: session, kind: .membershipChange)
    }

    var isEmpty: Bool { queue.isEmpty && leaving.isEmpty && delayed.isEmpty }

    mutating func add(
        _ change: MembershipChange, deadline: Instant, now: Instant, completion: @escaping (Outcome) -> Void
    ) {
        guard queue.count + leaving.count + delayed.count < MembershipRequests.maximumCount else {
            return completion(.failure(.service(.tooManyRequests)))
        }
        queue.add(
            PendingProposal(
                payload: change.encoded, needsSpace: false, deadline: deadline, term: nil,
                completion: { result in
                    switch result {
                    case .success(let outcome): completion(outcome)
                    case .failure(let error): completion(.failure(.service(error)))
                    }
                }))
        nextDeadline = min(nextDeadline, now + MembershipRequests.expiryCheckInterval)
    }

    mutating func noteConnected(_ peer: NodeID) {
        if !queue.isEmpty { queue.noteConnected(peer) }
    }

    mutating func propose<Machine>(to replica: Replica<Machine>, now: Instant) {
        queue.propose(to: replica, now: now)
    }

    mutating func noteApplying(_ term: Term) {
        queue.noteApplying(term)
    }

    /// What ends with this membership, which was applied. To be called when nothing is being changed any more.
    mutating func takeApplied(_ entry: Entry, _ membership: Membership) -> [() -> Void] {
        var ended: [() -> Void] = []
        if !membership.isJoint {
            ended = leaving.map { waiting in { waiting.completion(.success(membership)) } }
            leaving = []
        }
        guard let pending = queue.take(applied: entry.proposal) else { return ended }
        let completion = pending.completion
        if membership.isJoint {
            leaving.append((pending.deadline, { completion(.success($0)) }))
        } else {
            ended.append { completion(.success(.success(membership))) }
        }
        return ended
    }

    /// Whether the proposal was one of these; `tell` says so to who waits, where somebody does.
    mutating func takeRejected(
        _ id: ProposalID, reason: ProposalRejection, now: Instant
    ) -> (isOwn: Bool, tell: () -> Void) {
        guard id.session == queue.session else { return (false, {}) }
        if reason == .leaderNotReady {
            if var pending = queue.take(applied: id) {
                pending.term = nil
                delayed.append(pending)
                nextDeadline = min(nextDeadline, now + MembershipRequests.retryInterval)
            }
            return (true, {})
        }
        if let error = MembershipChangeError(reason) {
            let pending = queue.take(applied: id)
            return (true, { pending?.completion(.success(.failure(error))) })
        }
        let ended = queue.takeRejected(id, reason: reason)
        return (true, { ended?.tell() })
    }

    mutating func restore(_ metadata: SnapshotMetadata) -> [() -> Void] {
        var ended = queue.restore(metadata.term).map { ended in { ended.tell() } }
        if !metadata.membership.isJoint {
            for waiting in leaving {
                ended.append { waiting.completion(.success(metadata.membership)) }
            }
            leaving = []
        }
        return ended
    }

    mutating func takeLate(now: Instant) -> [() -> Void] {
        guard now >= nextDeadline else { return [] }
        // With a new sequence: a leader takes those of a session in their order only.
        for pending in delayed { queue.add(pending) }
        delayed = []
        let late = leaving.filter { $0.deadline <= now }
        leaving.removeAll { $0.deadline <= now }
        let ended =
            queue.takeLate(now: now).map { ended in { ended.tell() } }
            + late.map { waiting in { waiting.completion(.failure(.service(.timeout))) } }
        nextDeadline = isEmpty ? .distantFuture : now + MembershipRequests.expiryCheckInterval
        return ended
    }

    mutating func takeAll() -> [() -> Void] {
        for pending in delayed { queue.add(pending) }
        delayed = []
        let unknown = leaving
        leaving = []
        return queue.takeAll().map { ended in { ended.tell() } }
            + unknown.map { waiting in { waiting.completion(.failure(.service(.timeout))) } }
    }
}

extension Replica {
    /// Changes the membership, on whichever node leads, and answers with what is in force once the change has
    /// ended everywhere that decides. `completion` is called once, on the loop.
    ///
    /// Must not be called on a replica that was made without a `changeSession`.
    public func changeMembership(
        _ change: MembershipChange, timeoutMilliseconds: Int, now: Instant,
        completion: @escaping (Result<Membership, MembershipChangeError>) -> Void
    ) {
        precondition(requests != nil, "a replica without a session of its own cannot change its membership")
        if isClosed { return completion(.failure(.service(.stopped))) }
        requests?.add(
            change, deadline: now + .milliseconds(timeoutMilliseconds), now: now, completion: completion)
        environment.scheduleTurn()
    }

    /// Answers everyone who waits for a change of the membership.
    public func closeRequests() {
        isClosed = true
        let ended = requests?.takeAll() ?? []
        for tell in ended { tell() }
    }

    func proposeRequests(now: Instant) {
        guard requests?.isEmpty == false else { return }
        requests?.propose(to: self, now: now)
    }

    func expireRequests(now: Instant) {
        guard let due = requests?.nextDeadline, due <= now else { return }
        let ended = requests?.takeLate(now: now) ?? []
        for tell in ended { tell() }
    }

    /// Whether the proposal was one of the node's own changes of the membership.
    func isRejectedRequest(_ rejected: RejectedProposal, now: Instant) -> Bool {
        guard
            let (isOwn, tell) = requests?.takeRejected(rejected.id, reason: rejected.reason, now: now), isOwn
        else { return false }
        tell()
        return true
    }

    /// An entry was applied. In their order: what a later term says of a proposal does not hold for one that an
    /// earlier entry answers.
    func noteApplied(_ entry: Entry) {
        requests?.noteApplying(entry.term)
        guard entry.kind == .membership else { return }
        let membership = core.membership(at: entry.index)
        committedMembership = (entry.index, membership)
        environment.membershipCommitted(membership, index: entry.index)
        let ended = requests?.takeApplied(entry, membership) ?? []
        for tell in ended { tell() }
    }

    func noteRestored(_ metadata: SnapshotMetadata) {
        committedMembership = (metadata.index, metadata.membership)
        environment.membershipCommitted(metadata.membership, index: metadata.index)
        let ended = requests?.restore(metadata) ?? []
        for tell in ended { tell() }
    }
}
