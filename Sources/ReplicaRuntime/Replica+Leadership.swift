import ConsensusTypes
import RaftCore

extension Replica {
    /// Hands the leadership over to a voter, or to the best of them; returns why not, or `nil` once it has begun.
    /// See ``RaftCore/transferLeadership(to:now:)``.
    public func transferLeadership(to target: NodeID?, now: Instant) -> TransferRefusal? {
        defer { environment.scheduleTurn() }
        return core.transferLeadership(to: target, now: now)
    }

    /// The index to be applied before a linearizable read is answered, without asking anybody, where this node
    /// leads under a valid lease; `nil` otherwise. `now` must be taken after the read was asked for.
    public func requestLeaseRead(now: Instant) -> LogIndex? {
        noteSuspension(now: now)
        return core.requestLeaseRead(now: now)
    }

    /// Whether the node leaves the leadership to others for now: it neither campaigns nor takes over.
    public func setAbstaining(_ isAbstaining: Bool) {
        core.isAbstaining = isAbstaining
        environment.scheduleTurn()
    }
}
