/// The end of a log, by which voters compare logs (Raft paper, section 5.4.1).
@frozen
public struct LogPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let term: Term
    public let index: LogIndex

    @inlinable
    public init(term: Term, index: LogIndex) {
        self.term = term
        self.index = index
    }

    @inlinable
    public static func < (left: LogPosition, right: LogPosition) -> Bool {
        left.term == right.term ? left.index < right.index : left.term < right.term
    }

    public var description: String { "\(index)@\(term)" }
}
