/// What clients saw of one lease. Times are of one clock, in nanoseconds.
public struct LeaseHistory: Hashable, Sendable {
    public enum Observation: Hashable, Sendable {
        /// The grant was acknowledged.
        case granted(invokedAt: Int64, returnedAt: Int64)
        /// A renewal was acknowledged.
        case renewed(invokedAt: Int64, returnedAt: Int64)
        /// A client asked for the lease's end, whether it was answered or not.
        case revoked(invokedAt: Int64)
        /// An answer showed that the lease, or a key on it, is there.
        case seenAlive(invokedAt: Int64, returnedAt: Int64)
        /// An answer or a watch showed that the lease, or a key that only its end removes, is gone.
        case seenGone(invokedAt: Int64, returnedAt: Int64)
    }

    public let name: String
    public let timeToLiveNanoseconds: Int64
    public var observations: [Observation]

    public init(name: String, timeToLiveNanoseconds: Int64, observations: [Observation] = []) {
        self.name = name
        self.timeToLiveNanoseconds = timeToLiveNanoseconds
        self.observations = observations
    }
}

/// Checks that leases last as long as was promised, and no longer than is needed.
///
/// A lease that nobody revoked must not be gone before its time to live has passed since the last
/// acknowledged grant or renewal *began*: from then on the server may have counted. The clocks of the servers
/// may run faster than the one of the history, so a given share of the time is allowed to be missing. Once
/// gone it stays gone. And where the history went on long enough after the last sign of a renewal, it must be
/// gone in the end.
public struct LeaseChecker: Hashable, Sendable {
    /// How much faster than the history's clock a server's may run, in parts of 1,000.
    public var driftPerThousand: Int64
    /// How much longer than its time to live a lease may last after its last renewal: new leaders give every
    /// lease its full time again, and the end needs a commit. Nanoseconds.
    public var maximumExtensionNanoseconds: Int64

    public init(driftPerThousand: Int64 = 0, maximumExtensionNanoseconds: Int64) {
        self.driftPerThousand = driftPerThousand
        self.maximumExtensionNanoseconds = maximumExtensionNanoseconds
    }

    /// - Parameter endedAt: until when the history was watched; `nil` where it says nothing of the end.
    public func check(_ lease: LeaseHistory, endedAt: Int64? = nil) -> HistoryViolation? {
        var renewals: [(invokedAt: Int64, returnedAt: Int64)] = []
        var alive: [(invokedAt: Int64, returnedAt: Int64)] = []
        var gone: [(invokedAt: Int64, returnedAt: Int64)] = []
        var revokedAt = Int64.max
        for observation in lease.observations {
            switch observation {
            case .granted(let invokedAt, let returnedAt), .renewed(let invokedAt, let returnedAt):
                renewals.append((invokedAt, returnedAt))
            case .revoked(let invokedAt): revokedAt = min(revokedAt, invokedAt)
            case .seenAlive(let invokedAt, let returnedAt): alive.append((invokedAt, returnedAt))
            case .seenGone(let invokedAt, let returnedAt): gone.append((invokedAt, returnedAt))
            }
        }
        // That a renewal succeeded shows that the lease was there.
        let signs = alive + renewals
        if let first = gone.min(by: { $0.returnedAt < $1.returnedAt }),
            let sign = signs.first(where: { $0.invokedAt > first.returnedAt })
        {
            return HistoryViolation(
                "leases stay gone",
                "\(lease.name) was gone at \(first.returnedAt), and there for a request that began at "
                    + "\(sign.invokedAt)")
        }
        return tooEarly(lease, renewals: renewals, gone: gone, revokedAt: revokedAt)
            ?? tooLate(lease, renewals: renewals, alive: alive, gone: gone, revokedAt: revokedAt, endedAt)
    }

    private func tooEarly(
        _ lease: LeaseHistory, renewals: [(invokedAt: Int64, returnedAt: Int64)],
        gone: [(invokedAt: Int64, returnedAt: Int64)], revokedAt: Int64
    ) -> HistoryViolation? {
        let least = lease.timeToLiveNanoseconds / 1_000 * (1_000 - driftPerThousand)
        for end in gone where end.returnedAt < revokedAt {
            // A renewal that began before the lease was seen gone, and succeeded, came before its end.
            guard let last = renewals.map(\.invokedAt).filter({ $0 <= end.returnedAt }).max(),
                end.returnedAt < last + least
            else { continue }
            return HistoryViolation(
                "leases last their time",
                "\(lease.name) was gone at \(end.returnedAt), \(end.returnedAt - last) ns after the last "
                    + "renewal that succeeded began, of \(lease.timeToLiveNanoseconds) ns to live")
        }
        return nil
    }

    private func tooLate(
        _ lease: LeaseHistory, renewals: [(invokedAt: Int64, returnedAt: Int64)],
        alive: [(invokedAt: Int64, returnedAt: Int64)], gone: [(invokedAt: Int64, returnedAt: Int64)],
        revokedAt: Int64, _ endedAt: Int64?
    ) -> HistoryViolation? {
        guard let last = renewals.map(\.returnedAt).max() else { return nil }
        let latest = last + lease.timeToLiveNanoseconds + maximumExtensionNanoseconds
        if let sign = alive.first(where: { $0.invokedAt > latest }) {
            return HistoryViolation(
                "leases end",
                "\(lease.name) was there for a request that began at \(sign.invokedAt), and should have "
                    + "ended by \(latest)")
        }
        if let endedAt, endedAt > latest, gone.isEmpty, revokedAt == .max {
            return HistoryViolation(
                "leases end", "nobody saw the end of \(lease.name), which should have come by \(latest)")
        }
        return nil
    }
}
