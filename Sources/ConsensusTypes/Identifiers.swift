/// A process that takes part in a cluster. The value is stable across restarts of the same node.
@frozen
public struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    @inlinable
    public static func < (left: NodeID, right: NodeID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// Lower-case hexadecimal without leading zeros, the way etcd prints member ids.
    public var description: String {
        String(rawValue, radix: 16)
    }
}

/// One replicated log together with its state machine. A node may hold several groups.
@frozen
public struct GroupID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    @inlinable
    public static func < (left: GroupID, right: GroupID) -> Bool {
        left.rawValue < right.rawValue
    }

    public var description: String {
        String(rawValue)
    }
}

/// A period with at most one leader (Raft paper, section 5.1). Zero is the term before the first election.
@frozen
public struct Term: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    @inlinable public static var zero: Term { Term(0) }

    /// The term that a candidate moves to from this one.
    @inlinable public var next: Term { Term(rawValue + 1) }

    @inlinable
    public static func < (left: Term, right: Term) -> Bool {
        left.rawValue < right.rawValue
    }

    public var description: String {
        String(rawValue)
    }
}

/// The position of an entry in a group's log. The first entry has index 1; zero stands before it.
@frozen
public struct LogIndex: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    @inlinable public static var zero: LogIndex { LogIndex(0) }

    @inlinable public var next: LogIndex { LogIndex(rawValue + 1) }

    /// The index before this one. Zero has none.
    @inlinable public var previous: LogIndex {
        precondition(rawValue > 0, "log index 0 has no predecessor")
        return LogIndex(rawValue - 1)
    }

    @inlinable
    public static func + (index: LogIndex, distance: Int) -> LogIndex {
        LogIndex(UInt64(Int64(index.rawValue) + Int64(distance)))
    }

    /// The number of entries from `right` up to, but not including, `left`.
    @inlinable
    public static func - (left: LogIndex, right: LogIndex) -> Int {
        Int(Int64(left.rawValue) - Int64(right.rawValue))
    }

    @inlinable
    public static func < (left: LogIndex, right: LogIndex) -> Bool {
        left.rawValue < right.rawValue
    }

    public var description: String {
        String(rawValue)
    }
}

/// Names one proposal for as long as its outcome matters, across forwarding and leader changes.
///
/// `session` is unique to one start of one process, so that a node that replays its log after a restart
/// never takes an old entry for a proposal of its present clients. `sequence` grows by one with each
/// proposal of the session. Entries that no client proposed carry ``none``.
@frozen
public struct ProposalID: Hashable, Sendable, CustomStringConvertible {
    public let session: UInt64
    public let sequence: UInt64

    @inlinable
    public init(session: UInt64, sequence: UInt64) {
        self.session = session
        self.sequence = sequence
    }

    @inlinable public static var none: ProposalID { ProposalID(session: 0, sequence: 0) }

    public var description: String {
        "\(String(session, radix: 16)).\(sequence)"
    }
}
