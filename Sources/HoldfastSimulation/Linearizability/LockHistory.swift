/// What clients did with locks that are made of keys, as etcd's recipe makes them: who owns the key with the
/// smallest create revision owns the lock, and that revision is the fencing token.
public struct LockHistory: Sendable {
    /// A client was told that it owns the lock.
    public struct Grant: Hashable, Sendable {
        public let client: Int
        /// The create revision of the client's key.
        public let token: Int64
        /// The revision of the answer that told the client that nobody stands before it.
        public let revision: Int64

        public init(client: Int, token: Int64, revision: Int64) {
            self.client = client
            self.token = token
            self.revision = revision
        }
    }

    /// A key of the lock was deleted, by its owner or with its lease.
    public struct End: Hashable, Sendable {
        public let token: Int64
        public let revision: Int64

        public init(token: Int64, revision: Int64) {
            self.token = token
            self.revision = revision
        }
    }

    /// A write that was guarded by the token, and accepted.
    public struct GuardedWrite: Hashable, Sendable {
        public let client: Int
        public let token: Int64
        public let revision: Int64

        public init(client: Int, token: Int64, revision: Int64) {
            self.client = client
            self.token = token
            self.revision = revision
        }
    }

    public var grants: [Grant] = []
    public var ends: [End] = []
    public var guardedWrites: [GuardedWrite] = []

    public init() {}
}

/// Checks that a lock has one owner at a time, and that nobody else's guarded write is accepted, however late
/// it comes. All of it is decided by revisions, not by clocks: a client that was paused may believe for as
/// long as it likes that it owns the lock.
public enum LockChecker {
    public static func check(_ lock: LockHistory) -> HistoryViolation? {
        var ends: [Int64: Int64] = [:]
        for end in lock.ends {
            if let other = ends[end.token], other != end.revision {
                return HistoryViolation(
                    "keys of locks end once",
                    "the key created at \(end.token) was deleted at \(other) and at \(end.revision)")
            }
            guard end.revision > end.token else {
                return HistoryViolation(
                    "keys of locks end once",
                    "the key created at \(end.token) was deleted at \(end.revision), before it was there")
            }
            ends[end.token] = end.revision
        }
        return owners(lock, ends) ?? writes(lock, ends)
    }

    private static func owners(_ lock: LockHistory, _ ends: [Int64: Int64]) -> HistoryViolation? {
        var clients: [Int64: Int] = [:]
        let grants = lock.grants.sorted { ($0.token, $0.revision) < ($1.token, $1.revision) }
        var latestEnd: (token: Int64, revision: Int64)?
        for (position, grant) in grants.enumerated() {
            if let other = clients[grant.token], other != grant.client {
                return HistoryViolation(
                    "a token has one owner",
                    "clients \(other) and \(grant.client) were given the token \(grant.token)")
            }
            clients[grant.token] = grant.client
            if let end = ends[grant.token], end <= grant.revision {
                return HistoryViolation(
                    "a lock has one owner",
                    "client \(grant.client) was given the lock at revision \(grant.revision), after its key "
                        + "of \(grant.token) had been deleted at \(end)")
            }
            // Everyone who came before must be gone; it is enough to look at who went last.
            if let latestEnd, latestEnd.token != grant.token, latestEnd.revision > grant.revision {
                return HistoryViolation(
                    "a lock has one owner",
                    "client \(grant.client) was given the lock at revision \(grant.revision), while the "
                        + "owner of \(latestEnd.token) was there until "
                        + (latestEnd.revision == .max ? "the end" : "\(latestEnd.revision)"))
            }
            let isLastOfToken = position + 1 == grants.count || grants[position + 1].token != grant.token
            let end = ends[grant.token] ?? .max
            if isLastOfToken, latestEnd.map({ $0.revision < end }) ?? true { latestEnd = (grant.token, end) }
        }
        return nil
    }

    private static func writes(_ lock: LockHistory, _ ends: [Int64: Int64]) -> HistoryViolation? {
        var highest: LockHistory.GuardedWrite?
        for write in lock.guardedWrites.sorted(by: { $0.revision < $1.revision }) {
            guard write.revision > write.token else {
                return HistoryViolation(
                    "tokens fence",
                    "client \(write.client) wrote at \(write.revision) with the token \(write.token) of later"
                )
            }
            if let end = ends[write.token], write.revision > end {
                return HistoryViolation(
                    "tokens fence",
                    "client \(write.client) wrote at \(write.revision) with the token \(write.token), which "
                        + "had ended at \(end)")
            }
            if let highest, highest.token > write.token {
                return HistoryViolation(
                    "tokens fence",
                    "client \(write.client) wrote at \(write.revision) with the token \(write.token), after "
                        + "client \(highest.client) had at \(highest.revision) with \(highest.token)")
            }
            highest = write
        }
        return nil
    }
}
