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
    }

    public let node: NodeID
    public let leadership: Leadership
    public let commitIndex: LogIndex
    public let durableIndex: LogIndex
    public let lastPosition: LogPosition
    public let firstIndex: LogIndex
    /// Of the others, in the order of ids; empty on a node that does not lead.
    public let members: [Member]
    public let malformedMessageCount: Int
}

extension RaftCore {
    public var status: RaftStatus {
        RaftStatus(
            node: nodeID, leadership: leadership, commitIndex: commitIndex,
            durableIndex: persistence.durableIndex, lastPosition: log.lastPosition, firstIndex: firstIndex,
            members: progress.map { progress in
                var isReceivingSnapshot = false
                if case .snapshot = progress.state { isReceivingSnapshot = true }
                return RaftStatus.Member(
                    node: progress.node, match: progress.match, next: progress.next,
                    isReceivingSnapshot: isReceivingSnapshot, isProbing: progress.state == .probe,
                    inFlightCount: progress.inFlight.count)
            },
            malformedMessageCount: malformedMessageCount)
    }
}
