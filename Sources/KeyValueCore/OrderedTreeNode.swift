/// A node of an ``OrderedTree``.
///
/// Unchecked because its parts change: they change only through a tree that holds the sole reference to
/// the node (see `OrderedTree.makeUnique(_:)`), and that tree is being changed exclusively, as Swift's rule
/// for `inout` says. A node that a second tree can reach is never written to again.
final class OrderedTreeNode<Key: TreeKey, Value: Weighted & Sendable>: @unchecked Sendable {
    /// A leaf's keys; in an inner node the separators: everything in `children[i]` is below `keys[i]`,
    /// everything in `children[i + 1]` is not.
    private(set) var keys: [Key]
    /// Empty in an inner node.
    var values: [Value]
    /// Empty in a leaf.
    var children: [OrderedTreeNode]
    /// The sum of the weights below.
    var weight: Int
    /// The heads of the keys after the first `prefix` bytes, which all of them share; empty for keys that
    /// have none.
    private var heads: [UInt64]
    private var prefix = 0

    init(keys: [Key], values: [Value], children: [OrderedTreeNode], weight: Int) {
        self.keys = keys
        self.values = values
        self.children = children
        self.weight = weight
        heads = []
        rebuildHeads()
    }

    private init(copying other: OrderedTreeNode) {
        keys = other.keys
        values = other.values
        children = other.children
        weight = other.weight
        heads = other.heads
        prefix = other.prefix
    }

    func copy() -> OrderedTreeNode { OrderedTreeNode(copying: self) }

    var isLeaf: Bool { children.isEmpty }

    /// What counts towards the capacity.
    var occupancy: Int { isLeaf ? keys.count : children.count }

    func insertKey(_ key: Key, at position: Int) {
        keys.insert(key, at: position)
        guard Key.hasHeads else { return }
        let neighbour = keys[position == 0 ? keys.count - 1 : 0]
        if key.sharedPrefix(with: neighbour, limit: prefix) == prefix {
            heads.insert(key.head(skipping: prefix), at: position)
        } else {
            rebuildHeads()
        }
    }

    func removeKey(at position: Int) {
        keys.remove(at: position)
        if Key.hasHeads { heads.remove(at: position) }
    }

    func removeKeys(from position: Int) {
        keys.removeSubrange(position...)
        rebuildHeads()
    }

    /// What the first and the last key share, all of them do.
    private func rebuildHeads() {
        guard Key.hasHeads else { return }
        if let first = keys.first, let last = keys.last {
            prefix = first.sharedPrefix(with: last, limit: .max)
        } else {
            prefix = 0
        }
        heads = keys.map { $0.head(skipping: prefix) }
    }

    /// The position of the first key that is not below `key`.
    @inline(__always)
    func lowerBound(_ key: Key) -> Int {
        let (start, end) = candidates(key)
        return keys.withUnsafeBufferPointer { keys in
            var low = start
            var high = end
            while low < high {
                let middle = (low + high) / 2
                if keys[middle] < key {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            return low
        }
    }

    /// The child of an inner node under which `key` belongs.
    @inline(__always)
    func childIndex(_ key: Key) -> Int {
        let (start, end) = candidates(key)
        return keys.withUnsafeBufferPointer { keys in
            var low = start
            var high = end
            while low < high {
                let middle = (low + high) / 2
                if key < keys[middle] {
                    high = middle
                } else {
                    low = middle + 1
                }
            }
            return low
        }
    }

    /// The positions that are left to search once the heads have been looked at: those with the key's own
    /// head. All before them are below the key, all after them above.
    @inline(__always)
    private func candidates(_ key: Key) -> (Int, Int) {
        guard Key.hasHeads, !keys.isEmpty else { return (0, keys.count) }
        if prefix > 0, key.sharedPrefix(with: keys[0], limit: prefix) < prefix {
            return key < keys[0] ? (0, 0) : (keys.count, keys.count)
        }
        let head = key.head(skipping: prefix)
        return heads.withUnsafeBufferPointer { heads in
            var start = 0
            var high = heads.count
            while start < high {
                let middle = (start + high) / 2
                if heads[middle] < head {
                    start = middle + 1
                } else {
                    high = middle
                }
            }
            var end = start
            while end < heads.count, heads[end] == head {
                end += 1
            }
            return (start, end)
        }
    }

    /// Why the heads do not fit the keys, or `nil`. For tests.
    var headProblem: String? {
        guard Key.hasHeads else { return heads.isEmpty ? nil : "heads of keys that have none" }
        guard heads == keys.map({ $0.head(skipping: prefix) }) else { return "a head is of another key" }
        let isShared = keys.allSatisfy { $0.sharedPrefix(with: keys[0], limit: prefix) == prefix }
        return isShared ? nil : "the prefix is not shared"
    }
}
