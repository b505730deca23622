/// What a tree adds up over its values, so that a range can be counted without being walked.
protocol Weighted {
    var weight: Int { get }
}

/// The value of a tree that is a set of keys.
struct NoValue: Weighted, Sendable {
    var weight: Int { 1 }
}

/// An ordered map as a copy-on-write B+ tree.
///
/// A copy of the tree is a frozen version: it costs one reference, whatever the size, and a later change to
/// either copy duplicates only the nodes on the path to the change. Inner nodes hold separators; all pairs
/// are in leaves. Every inner node but the root is at least half full; a leaf is never empty, and one that
/// falls below half by a removal is merged with a neighbour or filled from it.
struct OrderedTree<Key: TreeKey, Value: Weighted & Sendable>: Sendable {
    typealias Node = OrderedTreeNode<Key, Value>

    var root: Node?
    private(set) var count = 0
    /// The most pairs in a leaf and children in an inner node.
    let capacity: Int

    init(capacity: Int = 64) {
        precondition(capacity >= 4, "a node of an ordered tree holds at least four")
        self.capacity = capacity
    }

    var isEmpty: Bool { count == 0 }

    /// The sum of the weights of all values.
    var weight: Int { root?.weight ?? 0 }

    // MARK: Changing

    /// Inserts a value for a key that is not there, or changes the one that is, in one descent.
    mutating func upsert(_ key: Key, insert: () -> Value, change: (inout Value) -> Void) {
        guard root != nil else {
            let value = insert()
            root = Node(keys: [key], values: [value], children: [], weight: value.weight)
            count = 1
            return
        }
        let outcome = Self.upsert(&root!, key, capacity, insert, change)
        if outcome.inserted { count += 1 }
        if let split = outcome.split {
            let left = root!
            root = Node(
                keys: [split.separator], values: [], children: [left, split.right],
                weight: left.weight + split.right.weight
            )
        }
    }

    /// Inserts or replaces.
    mutating func set(_ key: Key, _ value: Value) {
        upsert(key, insert: { value }, change: { $0 = value })
    }

    /// Changes the value of a key in place. False, and nothing copied, where the key is not there.
    @discardableResult
    mutating func change(_ key: Key, _ body: (inout Value) -> Void) -> Bool {
        guard self[key] != nil else { return false }
        upsert(key, insert: { preconditionFailure("the key was there") }, change: body)
        return true
    }

    @discardableResult
    mutating func remove(_ key: Key) -> Value? {
        guard self[key] != nil else { return nil }
        let removed = Self.remove(&root!, key, capacity)
        count -= 1
        if root!.isLeaf {
            if root!.keys.isEmpty { root = nil }
        } else if root!.children.count == 1 {
            root = root!.children[0]
        }
        return removed
    }

    struct Split {
        let separator: Key
        let right: Node
    }

    struct UpsertOutcome {
        var weightChange: Int
        var inserted: Bool
        var split: Split?
    }

    static func makeUnique(_ node: inout Node) {
        if !isKnownUniquelyReferenced(&node) {
            node = node.copy()
        }
    }

    private static func upsert(
        _ node: inout Node, _ key: Key, _ capacity: Int, _ insert: () -> Value,
        _ change: (inout Value) -> Void
    ) -> UpsertOutcome {
        makeUnique(&node)
        if node.isLeaf {
            return upsertInLeaf(node, key, capacity, insert, change)
        }
        let position = node.childIndex(key)
        var outcome = upsert(&node.children[position], key, capacity, insert, change)
        node.weight += outcome.weightChange
        guard let split = outcome.split else { return outcome }
        node.insertKey(split.separator, at: position)
        node.children.insert(split.right, at: position + 1)
        outcome.split = node.children.count > capacity ? splitInner(node) : nil
        return outcome
    }

    private static func upsertInLeaf(
        _ node: Node, _ key: Key, _ capacity: Int, _ insert: () -> Value, _ change: (inout Value) -> Void
    ) -> UpsertOutcome {
        let position = node.lowerBound(key)
        if position < node.keys.count, !(key < node.keys[position]) {
            let before = node.values[position].weight
            change(&node.values[position])
            let difference = node.values[position].weight - before
            node.weight += difference
            return UpsertOutcome(weightChange: difference, inserted: false, split: nil)
        }
        let value = insert()
        let weight = value.weight
        if node.keys.count == capacity, position == capacity {
            // Keys that come in order leave full leaves behind, and the new leaf goes on filling.
            let right = Node(keys: [key], values: [value], children: [], weight: weight)
            return UpsertOutcome(
                weightChange: weight, inserted: true, split: Split(separator: key, right: right))
        }
        node.insertKey(key, at: position)
        node.values.insert(value, at: position)
        node.weight += weight
        let split = node.keys.count > capacity ? splitLeaf(node) : nil
        return UpsertOutcome(weightChange: weight, inserted: true, split: split)
    }

    private static func splitLeaf(_ node: Node) -> Split {
        let middle = node.keys.count / 2
        let right = Node(
            keys: Array(node.keys[middle...]), values: Array(node.values[middle...]), children: [], weight: 0)
        right.weight = right.values.reduce(0) { $0 + $1.weight }
        node.removeKeys(from: middle)
        node.values.removeSubrange(middle...)
        node.weight -= right.weight
        return Split(separator: right.keys[0], right: right)
    }

    private static func splitInner(_ node: Node) -> Split {
        let middle = node.children.count / 2
        let separator = node.keys[middle - 1]
        let right = Node(
            keys: Array(node.keys[middle...]), values: [], children: Array(node.children[middle...]),
            weight: 0)
        right.weight = right.children.reduce(0) { $0 + $1.weight }
        node.removeKeys(from: middle - 1)
        node.children.removeSubrange(middle...)
        node.weight -= right.weight
        return Split(separator: separator, right: right)
    }

    /// The key must be there.
    private static func remove(_ node: inout Node, _ key: Key, _ capacity: Int) -> Value {
        makeUnique(&node)
        if node.isLeaf {
            let position = node.lowerBound(key)
            node.removeKey(at: position)
            let value = node.values.remove(at: position)
            node.weight -= value.weight
            return value
        }
        let position = node.childIndex(key)
        let value = remove(&node.children[position], key, capacity)
        node.weight -= value.weight
        if node.children[position].occupancy < capacity / 2 {
            balance(node, position, capacity)
        }
        return value
    }

    /// Merges a child that has become too small with a neighbour, or shares the neighbour's pairs with it.
    private static func balance(_ node: Node, _ position: Int, _ capacity: Int) {
        let left = position > 0 ? position - 1 : 0
        precondition(left + 1 < node.children.count, "an inner node has at least two children")
        let first = node.children[left]
        let second = node.children[left + 1]
        let separators = first.isLeaf ? [] : [node.keys[left]]
        let keys = first.keys + separators + second.keys
        let values = first.values + second.values
        let children = first.children + second.children
        let total = first.isLeaf ? keys.count : children.count
        if total <= capacity {
            node.children[left] = Node(
                keys: keys, values: values, children: children, weight: first.weight + second.weight)
            node.children.remove(at: left + 1)
            node.removeKey(at: left)
            return
        }
        let whole = Node(
            keys: keys, values: values, children: children, weight: first.weight + second.weight)
        let split = first.isLeaf ? splitLeaf(whole) : splitInner(whole)
        node.children[left] = whole
        node.children[left + 1] = split.right
        node.removeKey(at: left)
        node.insertKey(split.separator, at: left)
    }
}
