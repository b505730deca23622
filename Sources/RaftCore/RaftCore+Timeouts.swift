import ConsensusTypes

// Election timeouts that follow measured round trips (RaftSettings.adaptsToRoundTrips).
//
// The leader measures how long its heartbeats take to be answered. Where ten of the longest round trip among the
// voters that are there take longer than the configured election timeout, it raises the timeout to the next multiple
// that is long enough, up to ten times the configured one, and says the multiple in every append. Members then wait
// as long for their leader as it waits for them, and it falls back as round trips do.
//
// Why leases stay what they were: their length is that of the configured timeout, and the timeout in force is never
// shorter. A voter that was told of a longer one is loyal for longer than the lease needs; one that was not told, or
// that has forgotten it with a restart, or a candidate that never heard of it, is loyal for the configured one, which
// is what the lease counts on.
extension RaftCore {
    /// The most times the configured election timeout that one in force may be.
    public static let maximumTimeoutFactor: UInt8 = 10

    /// How many round trips an election timeout should last.
    private static let roundTripsInTimeout: UInt64 = 10

    /// The election timeout in force: ``timeoutFactor`` times the configured one.
    public var electionTimeout: Interval {
        .milliseconds(settings.electionTimeoutMilliseconds) * Int(timeoutFactor)
    }

    /// How long a leader may go without an answer from a quorum. Before a quorum was measured in its term it waits
    /// as long as round trips may take: it could not know otherwise that they are long. Nobody waits for it, since the
    /// others follow their own timers.
    var quorumPatience: Interval {
        guard settings.adaptsToRoundTrips, !isQuorumMeasured else { return electionTimeout }
        return longestTimeout
    }

    private var longestTimeout: Interval {
        .milliseconds(settings.electionTimeoutMilliseconds) * Int(Self.maximumTimeoutFactor)
    }

    private var isQuorumMeasured: Bool {
        let measured = membership.quorumValue { node -> Int in
            if node == nodeID { return 1 }
            guard let position = progressPosition(of: node) else { return 0 }
            return progress[position].roundTrip.isKnown ? 1 : 0
        }
        return measured ?? 1 > 0
    }

    // MARK: Leader

    /// Notes that a heartbeat leaves: its answer does not wait for the member's disk. One at a time is measured; one
    /// that is not answered for the longest election timeout is taken for lost.
    mutating func beginMeasuring(at position: Int, now: Instant) {
        guard settings.adaptsToRoundTrips else { return }
        if let since = progress[position].measuredSentAt, now < since + longestTimeout { return }
        progress[position].measuredSentAt = now
    }

    mutating func endMeasuring(sentAt: Instant, at position: Int, now: Instant) {
        guard settings.adaptsToRoundTrips, progress[position].measuredSentAt == sentAt else { return }
        progress[position].measuredSentAt = nil
        progress[position].roundTrip.note(now - sentAt)
        adaptTimeout(now: now)
    }

    private mutating func adaptTimeout(now: Instant) {
        var longest: UInt64 = 0
        for member in progress
        where membership.isVoter(member.node) && member.roundTrip.isKnown
            && hasAnsweredLately(member, within: electionTimeout * 2, now: now)
        {
            longest = max(longest, member.roundTrip.smoothedNanoseconds)
        }
        guard longest > 0 else { return }
        let raised = Self.factor(of: longest, settings)
        // A little more room is asked for before it falls, so that it does not flutter.
        let lowered = Self.factor(of: longest + longest / 4, settings)
        if raised > timeoutFactor {
            setTimeoutFactor(raised)
        } else if lowered < timeoutFactor {
            setTimeoutFactor(lowered)
        }
    }

    private static func factor(of roundTripNanoseconds: UInt64, _ settings: RaftSettings) -> UInt8 {
        let configured = UInt64(settings.electionTimeoutMilliseconds) * 1_000_000
        let most = configured * UInt64(maximumTimeoutFactor)
        let (wanted, isOverflow) = roundTripNanoseconds.multipliedReportingOverflow(by: roundTripsInTimeout)
        guard !isOverflow, wanted < most else { return maximumTimeoutFactor }
        return UInt8(max(1, (wanted + configured - 1) / configured))
    }

    // MARK: Everybody

    /// What the leader says.
    mutating func followTimeoutFactor(_ factor: UInt8) {
        guard settings.adaptsToRoundTrips else { return }
        setTimeoutFactor(min(max(factor, 1), Self.maximumTimeoutFactor))
    }

    private mutating func setTimeoutFactor(_ factor: UInt8) {
        guard factor != timeoutFactor else { return }
        rarePaths.insert(factor > timeoutFactor ? .electionTimeoutRaised : .electionTimeoutLowered)
        timeoutFactor = factor
        effects.timeoutFactor = factor
    }
}
