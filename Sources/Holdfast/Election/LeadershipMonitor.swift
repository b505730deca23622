import ConsensusTypes

/// What a node can see of leadership at one moment.
struct LeadershipObservation: Hashable {
    let term: Term
    /// Whether this node leads the term.
    let isLeading: Bool
    /// The leader of the term, where it is known.
    let leader: NodeID?
    /// Until when no other node can lead, by this node's clock; `nil` where that is not known.
    let leaseDeadline: Instant?
    /// Whether this node leads and an entry of its own term is committed, so that it knows all that its
    /// predecessors committed.
    let isEstablished: Bool
    /// The one in force.
    let electionTimeout: Interval

    init(
        term: Term, isLeading: Bool, leader: NodeID?, leaseDeadline: Instant? = nil,
        isEstablished: Bool = false, electionTimeout: Interval = .zero
    ) {
        self.electionTimeout = electionTimeout
        self.term = term
        self.isLeading = isLeading
        self.leader = leader
        self.leaseDeadline = leaseDeadline
        self.isEstablished = isEstablished
    }
}

/// Decides what a node's owner is told of leadership, so that it never believes to be the only leader when it
/// may not be.
///
/// Gain is told only under a valid lease. Loss is told ``noticeMargin`` before the lease ends, unless it is
/// renewed until then, and at once where the node learns of it otherwise. Between two gains there is always a
/// loss. A leader that was told of loss and then proves to lead still is told of a new gain in the same term.
///
/// Has no clock and no timer: it is looked at with the time, and says when it must be looked at next.
struct LeadershipMonitor {
    enum Notice: Hashable {
        case gained(Term, certainUntil: Instant)
        /// The lease of the gain that was told last now ends then.
        case renewed(certainUntil: Instant)
        case lost(Term, LeadershipLoss)
        /// Another node leads, or, where it is `nil`, none is known to.
        case follows(NodeID?)
    }

    private enum Told: Hashable {
        case leading(Term, certainUntil: Instant)
        case following(NodeID?)
    }

    /// How long before the end of the lease loss is told.
    let noticeMargin: Interval
    /// Set while this node is to give leadership up, or to leave it to others: loss is told, and no gain.
    var isResigning = false
    private let node: NodeID
    private var told = Told.following(nil)

    init(node: NodeID, noticeMargin: Interval) {
        self.node = node
        self.noticeMargin = noticeMargin
    }

    /// Whether the owner was told that it leads, and not yet that it lost.
    var isToldLeading: Bool {
        if case .leading = told { true } else { false }
    }

    /// When ``look(_:now:)`` must be called at the latest, even where nothing happens.
    var nextLook: Instant {
        switch told {
        case .leading(_, let certainUntil): certainUntil - noticeMargin
        case .following: .distantFuture
        }
    }

    /// What the owner must be told now, in this order.
    mutating func look(_ observation: LeadershipObservation, now: Instant) -> [Notice] {
        var notices: [Notice] = []
        let certainUntil = certainUntil(observation, now: now)
        if case .leading(let term, let toldUntil) = told {
            if let certainUntil, observation.term == term {
                guard certainUntil != toldUntil else { return [] }
                told = .leading(term, certainUntil: certainUntil)
                return [.renewed(certainUntil: certainUntil)]
            }
            notices.append(.lost(term, loss(of: term, observation)))
            told = .following(nil)
        }
        if let certainUntil {
            told = .leading(observation.term, certainUntil: certainUntil)
            notices.append(.gained(observation.term, certainUntil: certainUntil))
            return notices
        }
        // Of itself a node without a lease does not say that it leads.
        let leader = observation.leader == node ? nil : observation.leader
        if told != .following(leader) {
            told = .following(leader)
            notices.append(.follows(leader))
        }
        return notices
    }

    /// The node stops: whatever it leads it leads no more.
    mutating func stop() -> [Notice] {
        defer { told = .following(nil) }
        switch told {
        case .leading(let term, _): return [.lost(term, .stopped)]
        case .following(nil): return []
        case .following: return [.follows(nil)]
        }
    }

    /// Until when this node may be told to lead; `nil` where it may not.
    private func certainUntil(_ observation: LeadershipObservation, now: Instant) -> Instant? {
        guard observation.isLeading, observation.isEstablished, !isResigning,
            let deadline = observation.leaseDeadline, now < deadline - noticeMargin
        else { return nil }
        return deadline
    }

    private func loss(of term: Term, _ observation: LeadershipObservation) -> LeadershipLoss {
        if isResigning { return .resigned }
        return observation.isLeading && observation.term == term && observation.leaseDeadline != nil
            ? .uncertain : .replaced
    }
}
