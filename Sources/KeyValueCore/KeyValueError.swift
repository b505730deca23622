/// Why a request is refused. etcd has a text and a code for each; the interface maps them.
public enum KeyValueError: UInt8, Error, Hashable, Sendable, CaseIterable {
    /// A key of length zero.
    case emptyKey
    /// The revision has been compacted.
    case compacted
    /// The revision has not happened yet.
    case futureRevision
    /// A put that keeps the present value or lease of a key that is not there, or an operation of a
    /// transaction that is empty.
    case keyNotFound
    /// A value together with ``PutRequest/ignoreValue``.
    case valueProvided
    /// A lease together with ``PutRequest/ignoreLease``.
    case leaseProvided
    case leaseNotFound
    case leaseExists
    /// More than ``KeyValueLimits/maximumTimeToLiveSeconds``.
    case leaseTimeToLiveTooLarge
    /// A transaction that could put a key twice, or put a key and delete it.
    case duplicateKey
    /// More than ``KeyValueLimits/maximumOperations`` in a transaction.
    case tooManyOperations
    case invalidSortOption
    /// No room: found by who proposes, never by the store.
    case noSpace
    /// A key and value that are together larger than ``KeyValueLimits/maximumPairSizeBytes``.
    case requestTooLarge
}

/// What one command may hold.
public struct KeyValueLimits: Hashable, Sendable {
    /// The most conditions, and operations in a branch, of a transaction together with those that it is
    /// nested in (etcd's `--max-txn-ops`).
    public var maximumOperations = 128

    public init(maximumOperations: Int = 128) {
        self.maximumOperations = maximumOperations
    }

    /// The longest time to live of a lease, as in etcd.
    public static var maximumTimeToLiveSeconds: Int64 { 9_000_000_000 }
    /// The most bytes in one key and its value. Far above the limit on requests, it bounds the parts of a
    /// snapshot.
    public static var maximumPairSizeBytes: Int { 64 << 20 }
    /// The most bytes in one encoded command.
    public static var maximumCommandSizeBytes: Int { 128 << 20 }
    /// How deep transactions nest at most.
    public static var maximumNestingDepth: Int { 128 }
}
