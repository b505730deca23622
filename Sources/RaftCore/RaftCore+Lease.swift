import ConsensusTypes

// Leases (dissertation, section 6.4.1): a time in which the leader knows, without asking, that it is the only
// one.
//
// Each voter that answered what the leader sent at some time had heard the leader after that time. It stays
// loyal for an election timeout by its own clock: it neither campaigns nor votes for another, except that the
// leader told somebody to take over. Every quorum that could elect another has such a voter in it, so until an
// election timeout after the sending, made shorter by what two clocks may differ, there is no other leader.
// A voter that restarts has forgotten whom it heard, and is loyal to whoever it was for as long again.
extension RaftCore {
    /// Until when, by this node's clock, no other node can be elected. `nil` where that is not known: this node
    /// does not lead, has not committed an entry of its own term, has told another to take over in this term
    /// (scenario 5), or makes no such promise (``RaftSettings/promisesLeases``).
    ///
    /// Compare it with the clock as it is when it matters: a process that stood still gets no event that would
    /// tell it that the time has passed.
    public var leaseDeadline: Instant? {
        guard settings.promisesLeases, isReadyToLead, !hasSentTimeoutNow else { return nil }
        let heard = membership.quorumValue { node -> Instant in
            if node == nodeID { return .distantFuture }
            // Who voted but has not answered since is not loyal.
            guard let position = progressPosition(of: node), progress[position].hasAnswered else {
                return .zero
            }
            let answeredSentAt = progress[position].answeredSentAt
            return answeredSentAt > leasesVoidThrough ? answeredSentAt : .zero
        }
        guard let heard, heard > .zero else { return nil }
        return heard + leaseDuration
    }

    /// What was sent up to now gives no lease any more: this node's clock stood still meanwhile, and those who
    /// answered may have been loyal for longer ago than it shows.
    public mutating func voidLeases(through now: Instant) {
        rarePaths.insert(.leasesVoided)
        leasesVoidThrough = now
    }

    /// The index to be applied before a linearizable read is answered, without asking anybody, while the lease
    /// is valid. `nil` otherwise: then ``requestRead(_:now:)`` still works. `now` must be taken from the clock
    /// after the read was asked for.
    public mutating func requestLeaseRead(now: Instant) -> LogIndex? {
        guard let deadline = leaseDeadline, now < deadline else {
            rarePaths.insert(.leaseReadRefused)
            return nil
        }
        rarePaths.insert(.leaseReadAnswered)
        return commitIndex
    }

    /// Where the leader's clock is the slowest that is allowed and the voter's the fastest, what is an election
    /// timeout to the voter is (1 - drift) / (1 + drift) of it to the leader, which is no less than this.
    private var leaseDuration: Interval {
        let parts = UInt64(1_000_000 - 2 * settings.maximumClockDriftPartsPerMillion)
        return Interval(nanoseconds: UInt64(settings.electionTimeoutMilliseconds) * parts)
    }

    /// Loyalty to whom this node may have heard before it started. One that has never heard anyone, or that
    /// decides alone and always did, has nobody to be loyal to.
    mutating func promiseLoyaltyAfterStart(now: Instant) {
        guard settings.promisesLeases, !isAlone else { return }
        guard term > .zero || log.lastIndex > .zero else { return }
        rarePaths.insert(.loyalAfterStart)
        let parts = UInt64(1_000_000 + settings.maximumClockDriftPartsPerMillion)
        startLoyaltyDeadline =
            now + Interval(nanoseconds: UInt64(settings.electionTimeoutMilliseconds) * parts)
    }
}
