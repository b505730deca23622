/// A key of an ``OrderedTree``.
///
/// Keys that live elsewhere in memory may have *heads*: eight bytes that a node keeps beside its keys, so
/// that most steps of a search touch no key at all. A head stands for the bytes after a prefix that all keys
/// of the node share.
protocol TreeKey: Comparable, Sendable {
    static var hasHeads: Bool { get }

    /// Of two keys that share the prefix, the one with the smaller head is the smaller one. Equal heads
    /// decide nothing.
    func head(skipping prefix: Int) -> UInt64

    /// How long the common prefix of two keys is, up to `limit`.
    func sharedPrefix(with other: Self, limit: Int) -> Int
}

/// Keys that are numbers are compared where they stand.
extension TreeKey {
    static var hasHeads: Bool { false }

    func head(skipping prefix: Int) -> UInt64 { 0 }

    func sharedPrefix(with other: Self, limit: Int) -> Int { 0 }
}

extension Revision: TreeKey {}
extension LeaseID: TreeKey {}
extension WatchID: TreeKey {}
