import ConsensusTypes
import DequeModule
import RaftCore
import WriteAheadLog

/// One group's member on this node: drives a ``RaftCore`` with a log, links and a state machine.
///
/// It is synchronous and owns no thread. Its owner calls it on one event loop, with the time as an argument,
/// and ends each turn of the loop with ``runTurn(now:)``, which carries out what the core asks for all that
/// arrived in the turn. The same code runs in production and in the simulator; the difference is the
/// ``ReplicaEnvironment``.
public final class Replica<Machine: ReplicaMachine> {
    public let group: GroupID
    public internal(set) var core: RaftCore
    public internal(set) var appliedIndex: LogIndex
    public internal(set) var appliedTerm: Term
    /// The newest snapshot whose marker is durable in the log.
    public internal(set) var snapshot: SnapshotMetadata

    unowned let machine: Machine
    unowned let environment: any ReplicaEnvironment
    let settings: ReplicaSettings

    /// Persists under way, oldest first, each with the messages that wait for it.
    private var persists = Deque<PendingPersist>()
    private var lastPersistSequence: UInt64 = 0
    /// Confirmed reads that wait for their index to be applied; the index of each is at least the one of
    /// the read before it.
    private var waitingReads = Deque<ReadyRead>()
    var snapshotUnderWay: SnapshotMetadata?
    /// What the last snapshot that could not be stored would have covered.
    var failedSnapshotIndex: LogIndex?
    var restorer: (any SnapshotRestorer)?
    var finishedRestore: (metadata: SnapshotMetadata, restorer: any SnapshotRestorer)?
    var appliedSizeSinceSnapshotBytes = 0
    var keeper: MembershipKeeper
    /// The members that the group is to have, where another group decides that.
    var membershipToFollow: Membership?
    /// When the leader looks after its members next.
    var keeperDue = Instant.distantFuture
    /// Changes of the membership that were asked for here; `nil` in a replica made without a session for them.
    var requests: MembershipRequests?
    var isClosed = false
    /// The last membership that was applied, and where.
    var committedMembership: (index: LogIndex, membership: Membership)
    /// Called when a transfer of the leadership that this node had begun is over.
    public var onTransferEnded: ((TransferOutcome) -> Void)?
    /// For how long the machine had been suspended when it was last looked at.
    var knownSuspension: Interval
    private var reportedTimeoutFactor: UInt8 = 1
    private var isInTurn = false
    private var ownRarePaths = RarePathSet()

    /// `restored` is what the log held; `machine` already holds the state of `restored.snapshot`.
    ///
    /// - Parameter changeSession: unique to this start of this process, and not the machine's: names the changes
    ///   of the membership that are asked for here. Without it there can be none.
    public init(
        group: GroupID, core: RaftCore, snapshot: SnapshotMetadata, machine: Machine,
        environment: any ReplicaEnvironment, settings: ReplicaSettings, changeSession: UInt64? = nil
    ) {
        requests = changeSession.map { MembershipRequests(session: $0) }
        committedMembership = (snapshot.index, snapshot.membership)
        self.group = group
        self.core = core
        self.snapshot = snapshot
        self.machine = machine
        self.environment = environment
        self.settings = settings
        keeper = MembershipKeeper(settings: settings.members)
        knownSuspension = environment.suspendedTime
        appliedIndex = snapshot.index
        appliedTerm = snapshot.term
        reportIfMisplaced()
    }

    public var nextDeadline: Instant {
        min(
            min(core.nextDeadline, machine.nextDeadline, keeperDue),
            min(diskDeadline, requests?.nextDeadline ?? .distantFuture))
    }

    /// Which rare branches this member, its machine apart, has taken.
    public var rarePaths: RarePathSet {
        var result = ownRarePaths
        result.formUnion(core.rarePaths)
        return result
    }

    func mark(_ path: RarePath) {
        ownRarePaths.insert(path)
    }

    public func receive(_ message: RaftMessage, now: Instant) {
        core.receive(message, now: now)
        environment.scheduleTurn()
    }

    /// Gives the machine what a peer's machine sent outside of the protocol.
    public func receiveAside(_ bytes: ByteSlice, from peer: NodeID, now: Instant) {
        machine.receive(bytes, from: peer, now: now)
        environment.scheduleTurn()
    }

    public func advance(now: Instant) {
        core.advance(now: now)
        machine.advance(now: now)
        keepMembers(now: now)
        expireRequests(now: now)
        checkDisk(now: now)
        environment.scheduleTurn()
    }

    /// The term in which the proposals were appended or to whose leader they were forwarded. They can be in
    /// the log with no other term: once an entry of a later term is applied, those that were not applied
    /// never will be. `nil`: no leader is known and nothing was done.
    public func propose(_ proposals: [Proposal], now: Instant) -> Term? {
        if !isInTurn { environment.scheduleTurn() }
        return core.propose(proposals, now: now)
    }

    /// `false`: no leader is known, or too many reads wait; nothing was done.
    public func requestRead(_ id: ReadID, now: Instant) -> Bool {
        if !isInTurn { environment.scheduleTurn() }
        return core.requestRead(id, now: now)
    }

    public func peerConnected(_ peer: NodeID, now: Instant) {
        core.peerConnected(peer, now: now)
        machine.peerConnected(peer, now: now)
        requests?.noteConnected(peer)
        environment.scheduleTurn()
    }

    public func peerDisconnected(_ peer: NodeID, now: Instant) {
        core.peerDisconnected(peer, now: now)
        environment.scheduleTurn()
    }

    public func peerStopped(_ peer: NodeID, now: Instant) {
        core.peerStopped(peer, now: now)
        environment.scheduleTurn()
    }

    public func setDiskSpace(_ space: DiskSpace, now: Instant) {
        guard core.diskSpace != space else { return }
        core.diskSpace = space
        environment.scheduleTurn()
    }

    /// When the oldest write that is not durable yet was asked for.
    var oldestPersistSince: Instant? { persists.first?.submittedAt }

    /// Everything that was persisted with this sequence or a lower one is durable.
    public func persisted(through sequence: UInt64, now: Instant) {
        precondition(sequence <= lastPersistSequence, "a persist is confirmed that was never asked for")
        var coreSequence: UInt64?
        while let first = persists.first, first.sequence <= sequence {
            persists.removeFirst()
            for message in first.messages {
                environment.send(message)
            }
            coreSequence = first.coreSequence ?? coreSequence
            if let stored = first.snapshotMarker {
                snapshotMarkerPersisted(stored)
            }
        }
        if let coreSequence {
            core.persisted(coreSequence, now: now)
        }
        noteDiskProgress(now: now)
        environment.scheduleTurn()
    }

    /// Carries out what the core wants after all that was given to it since the last turn.
    public func runTurn(now: Instant) {
        precondition(!isInTurn, "a turn must not begin within a turn")
        isInTurn = true
        machine.turnEnded(now: now)
        proposeRequests(now: now)
        var rounds = 0
        while true {
            let effects = core.takeEffects(now: now)
            if effects.isEmpty { break }
            rounds += 1
            precondition(rounds < 1_000, "a turn of the group does not end")
            carryOut(effects, now: now)
            machine.turnEnded(now: now)
            proposeRequests(now: now)
        }
        // The core wants a received snapshot in the turn after it was stored, or never.
        finishedRestore = nil
        isInTurn = false
    }

    private func carryOut(_ effects: Effects, now: Instant) {
        for message in effects.messages {
            environment.send(message)
        }
        if let persist = effects.persist {
            submit(persist, messages: effects.messagesAfterPersist, now: now)
        } else {
            precondition(
                effects.messagesAfterPersist.isEmpty, "messages wait for a persist that is not there")
        }
        if effects.leadership != nil || effects.membership != nil { armKeeper(now: now) }
        if let leadership = effects.leadership {
            report(leadership)
            machine.leadershipChanged(leadership, now: now)
        }
        if let membership = effects.membership {
            environment.membershipChanged(membership)
            reportIfMisplaced()
        }
        if let factor = effects.timeoutFactor { report(timeoutFactor: factor) }
        if let outcome = effects.transferEnded { onTransferEnded?(outcome) }
        for rejected in effects.rejectedProposals where !isRejectedRequest(rejected, now: now) {
            machine.proposalRejected(rejected.id, reason: rejected.reason, now: now)
        }
        if let metadata = effects.restore {
            restore(metadata, now: now)
        }
        if !effects.committed.isEmpty {
            apply(effects.committed, now: now)
        }
        for read in effects.readyReads {
            waitingReads.append(read)
        }
        answerReads(now: now)
        for id in effects.failedReads {
            machine.readFailed(id, now: now)
        }
        for read in effects.snapshotReads {
            environment.readSnapshot(read)
        }
        for received in effects.receivedChunks {
            store(received)
        }
    }

    private func report(_ leadership: Leadership) {
        if leadership.role == .leader {
            environment.report("this node leads term \(leadership.term)")
        } else if let leader = leadership.leader {
            environment.report("follows \(leader) in term \(leadership.term)")
        }
    }

    /// Only between the two: how long it is exactly is in the status.
    private func report(timeoutFactor factor: UInt8) {
        defer { reportedTimeoutFactor = factor }
        guard (factor == 1) != (reportedTimeoutFactor == 1) else { return }
        environment.report(
            factor == 1
                ? "round trips are short again: the election timeout is the configured one"
                : "round trips are long: the election timeout is raised to \(core.electionTimeout)")
    }

    private func submit(_ persist: Persist, messages: [RaftMessage], now: Instant) {
        submit(
            LogWrite(
                group: group, hardState: persist.hardState, snapshot: persist.snapshot,
                keepsSuffix: persist.keepsSuffix, entries: persist.entries),
            coreSequence: persist.sequence, messages: messages, snapshotMarker: persist.snapshot, now: now)
    }

    func submit(
        _ write: LogWrite, coreSequence: UInt64?, messages: [RaftMessage],
        snapshotMarker: SnapshotMetadata?, now: Instant
    ) {
        lastPersistSequence += 1
        persists.append(
            PendingPersist(
                sequence: lastPersistSequence, submittedAt: now, coreSequence: coreSequence,
                messages: messages, snapshotMarker: snapshotMarker))
        environment.persist(write, sequence: lastPersistSequence)
    }

    private func apply(_ entries: [Entry], now: Instant) {
        precondition(
            entries[0].index == appliedIndex.next, "entry \(entries[0].index) follows \(appliedIndex)")
        // A witness has no state: memberships and counts are all that it takes note of.
        if !core.isWitness { machine.apply(entries, now: now) }
        let last = entries[entries.count - 1]
        appliedIndex = last.index
        appliedTerm = last.term
        let hasRequests = requests?.isEmpty == false
        for entry in entries {
            appliedSizeSinceSnapshotBytes += entry.approximateSizeBytes
            if hasRequests || entry.kind == .membership { noteApplied(entry) }
        }
        requests?.noteApplying(last.term)
        takeSnapshotIfDue()
    }

    private func answerReads(now: Instant) {
        while let first = waitingReads.first, first.index <= appliedIndex {
            waitingReads.removeFirst()
            machine.readReady(first.id, now: now)
        }
    }
}

private struct PendingPersist {
    let sequence: UInt64
    let submittedAt: Instant
    let coreSequence: UInt64?
    let messages: [RaftMessage]
    let snapshotMarker: SnapshotMetadata?
}
