import ConsensusTypes

/// What a member can say of itself, and a leader of the others, for people and for tests.
public struct RaftStatus: Hashable, Sendable {
    public struct Member: Hashable, Sendable {
        public let node: NodeID
        public let match: LogIndex
        public let next: LogIndex
        public let isReceivingSnapshot: Bool
        public let isProbing: Bool
        public let inFlightCount: Int
        public let isVoter: Bool
        public let isLearner: Bool
        /// It keeps no data and never leads.
        public let isWitness: Bool
        /// Removed; the leader only makes sure that it learns of it.
        public let isLeaving: Bool
        /// Whether it is close enough behind to be promoted or to take over, apart from having answered lately.
        public let isCaughtUp: Bool
        public let priority: UInt8
        public let hasAnswered: Bool
        /// When the leader sent the last that the member answered, on the leader's clock. Where it has never
        /// answered this leader: since when the leader sends to it.
        public let lastAnswered: Instant
        /// How long it takes to answer a heartbeat; `nil` where that is not measured
        /// (``RaftSettings/adaptsToRoundTrips``) or not known yet.
        public let roundTrip: Interval?

        /// For how long the member has not answered.
        public func silence(now: Instant) -> Interval { now - lastAnswered }

        /// Whether it answered something that was sent within `patience`.
        public func isRecentlyActive(within patience: Interval, now: Instant) -> Bool {
            hasAnswered && silence(now: now) < patience
        }
    }

    public let node: NodeID
    /// Whether this member keeps no data: see ``RaftCore/isWitness``.
    public let isWitness: Bool
    public let leadership: Leadership
    public let commitIndex: LogIndex
    public let durableIndex: LogIndex
    public let lastPosition: LogPosition
    public let firstIndex: LogIndex
    /// Of the others, in the order of ids; empty on a node that does not lead.
    public let members: [Member]
    public let malformedMessageCount: Int
    /// To whom the leadership is being transferred.
    public let transferTarget: NodeID?
    /// See ``RaftCore/leaseDeadline``.
    public let leaseDeadline: Instant?
    /// The election timeout in force: the configured one, or longer where round trips are long.
    public let electionTimeout: Interval
}

extension RaftCore {
    public var status: RaftStatus {
        RaftStatus(
            node: nodeID, isWitness: isWitness, leadership: leadership, commitIndex: commitIndex,
            durableIndex: persistence.durableIndex, lastPosition: log.lastPosition, firstIndex: firstIndex,
            members: progress.map { progress in
                var isReceivingSnapshot = false
                if case .snapshot = progress.state { isReceivingSnapshot = true }
                return RaftStatus.Member(
                    node: progress.node, match: progress.match, next: progress.next,
                    isReceivingSnapshot: isReceivingSnapshot, isProbing: progress.state == .probe,
                    inFlightCount: progress.inFlight.count, isVoter: membership.isVoter(progress.node),
                    isLearner: membership.learners.contains(progress.node),
                    isWitness: progress.isWitness,
                    isLeaving: progress.leaving != nil, isCaughtUp: isCaughtUp(progress),
                    priority: membership.priority(of: progress.node), hasAnswered: progress.hasAnswered,
                    lastAnswered: progress.answeredSentAt,
                    roundTrip: progress.roundTrip.isKnown
                        ? Interval(nanoseconds: progress.roundTrip.smoothedNanoseconds) : nil)
            },
            malformedMessageCount: malformedMessageCount, transferTarget: transferTarget,
            leaseDeadline: leaseDeadline, electionTimeout: electionTimeout)
    }
}
