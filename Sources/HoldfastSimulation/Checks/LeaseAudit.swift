import ConsensusTypes
import KeyValueCore

/// Whoever was told that a lease lives has it for the time that was granted, counted from when it asked: no
/// leader, stale or new, may end it earlier. (That none is spared in the end the run's end shows.)
struct LeaseAudit {
    private struct Lease {
        var timeToLiveSeconds: Int64 = 0
        /// When the last grant or renewal that was confirmed was asked for.
        var asked: Instant?
        /// When its expiry was committed.
        var expiredAt: Instant?
    }

    private var leases: [LeaseID: Lease] = [:]

    /// A client that asked at `asked` was told that its lease was granted. `fastestDrift`: by how many parts
    /// per million the fastest clock of the run was too fast, which shortens every time that it measures.
    mutating func noteGranted(
        _ id: LeaseID, timeToLiveSeconds: Int64, asked: Instant, fastestDrift: Int64
    ) throws(SimulationFailure) {
        leases[id, default: Lease()].timeToLiveSeconds = timeToLiveSeconds
        try noteAlive(id, asked, fastestDrift)
    }

    /// A client that asked at `asked` was told that its lease goes on.
    mutating func noteRenewed(
        _ id: LeaseID, asked: Instant, fastestDrift: Int64
    ) throws(SimulationFailure) {
        // Where the grant was not confirmed, the time that was granted is not known.
        guard leases[id] != nil else { return }
        try noteAlive(id, asked, fastestDrift)
    }

    private mutating func noteAlive(
        _ id: LeaseID, _ asked: Instant, _ fastestDrift: Int64
    ) throws(SimulationFailure) {
        leases[id]!.asked = max(leases[id]!.asked ?? .zero, asked)
        try check(id, fastestDrift)
    }

    /// The end of a lease is committed.
    mutating func noteExpired(
        _ id: LeaseID, now: Instant, fastestDrift: Int64
    ) throws(SimulationFailure) {
        leases[id, default: Lease()].expiredAt = now
        try check(id, fastestDrift)
    }

    private func check(_ id: LeaseID, _ fastestDrift: Int64) throws(SimulationFailure) {
        guard let lease = leases[id], let expired = lease.expiredAt, let asked = lease.asked else { return }
        let granted = UInt64(lease.timeToLiveSeconds) * 1_000_000_000
        let least = granted / UInt64(1_000_000 + fastestDrift) * 1_000_000
        guard expired >= asked + Interval(nanoseconds: least) else {
            throw SimulationFailure(
                "leases",
                "lease \(id.rawValue) of \(lease.timeToLiveSeconds) s ended at \(expired), and was asked for "
                    + "or renewed at \(asked)")
        }
    }

    mutating func noteRevoked(_ id: LeaseID) {
        leases[id] = nil
    }
}
