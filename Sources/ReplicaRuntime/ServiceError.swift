import KeyValueCore

/// Why a request to a key-value group was not carried out, or why its outcome is not known.
public enum ServiceError: Error, Hashable, Sendable {
    /// The command was decided and refused; nothing changed.
    case keyValue(KeyValueError)
    /// No leader was found in time; nothing was done.
    case noLeader
    /// No answer in time. A write may still take effect.
    case timeout
    /// The leader was lost on the way and this node cannot tell what became of the write.
    case timeoutLeaderFailure
    /// The leader's disk, or the quota, has no room; nothing was done.
    case noSpace
    /// Too much is waiting already; nothing was done.
    case tooManyRequests
    /// This node is shutting down; nothing was done.
    case stopped
    /// The leader changed while it was asked; nothing was done.
    case leaderChanged
    /// This node is a witness: it votes and has no data. Nothing was done; ask another member.
    case witness
}
