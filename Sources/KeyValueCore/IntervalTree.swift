/// Which of many key ranges contain a key: a binary tree ordered by the start of the ranges, in which each
/// node knows how far the ranges below it reach. Balanced as a treap, with priorities drawn from the ids, so
/// that the shape is the same in every process. Equal ranges may be held under several ids.
struct IntervalTree: Sendable {
    private struct Node {
        let start: KeyBytes
        /// `nil`: no upper end.
        let end: KeyBytes?
        let id: UInt64
        let priority: UInt64
        var reach: KeyBytes?
        var left: Int
        var right: Int
    }

    private static let none = -1

    private var nodes: [Node] = []
    private var free: [Int] = []
    private var root = IntervalTree.none

    var count: Int { nodes.count - free.count }

    /// Holds a range that is not a single key under an id that is not in use.
    mutating func insert(_ range: KeyRange, id: UInt64) {
        let start = KeyBytes(range.key)
        let end = range.isUnbounded ? nil : KeyBytes(range.rangeEnd)
        let node = Node(
            start: start, end: end, id: id, priority: Self.mix(id), reach: end, left: Self.none,
            right: Self.none)
        let index: Int
        if let reused = free.popLast() {
            nodes[reused] = node
            index = reused
        } else {
            nodes.append(node)
            index = nodes.count - 1
        }
        let (left, right) = split(root, start, id)
        root = merge(merge(left, index), right)
    }

    mutating func remove(_ range: KeyRange, id: UInt64) {
        let start = KeyBytes(range.key)
        let (left, rest) = split(root, start, id)
        let (middle, right) = splitFirst(rest)
        precondition(
            middle != Self.none && nodes[middle].id == id && nodes[middle].start == start,
            "the range to remove is not there")
        free.append(middle)
        root = merge(left, right)
    }

    /// Hands out the ids of the ranges that contain `key`, by their starts and then their ids.
    func visit(containing key: [UInt8], _ body: (UInt64) -> Void) {
        visit(root, KeyBytes(key), body)
    }

    func contains(_ key: [UInt8]) -> Bool {
        var found = false
        visit(containing: key) { _ in found = true }
        return found
    }

    private func visit(_ index: Int, _ key: KeyBytes, _ body: (UInt64) -> Void) {
        guard index != Self.none else { return }
        if let reach = nodes[index].reach, !(key < reach) { return }
        visit(nodes[index].left, key, body)
        guard !(key < nodes[index].start) else { return }
        if nodes[index].end.map({ key < $0 }) ?? true {
            body(nodes[index].id)
        }
        visit(nodes[index].right, key, body)
    }

    private func isBefore(_ index: Int, _ start: KeyBytes, _ id: UInt64) -> Bool {
        let node = nodes[index]
        return node.start == start ? node.id < id : node.start < start
    }

    /// What stands before the place of (start, id), and the rest.
    private mutating func split(_ index: Int, _ start: KeyBytes, _ id: UInt64) -> (Int, Int) {
        guard index != Self.none else { return (Self.none, Self.none) }
        if isBefore(index, start, id) {
            let (left, right) = split(nodes[index].right, start, id)
            nodes[index].right = left
            updateReach(index)
            return (index, right)
        }
        let (left, right) = split(nodes[index].left, start, id)
        nodes[index].left = right
        updateReach(index)
        return (left, index)
    }

    /// The first node, alone, and the rest.
    private mutating func splitFirst(_ index: Int) -> (Int, Int) {
        guard index != Self.none else { return (Self.none, Self.none) }
        if nodes[index].left == Self.none {
            let right = nodes[index].right
            nodes[index].right = Self.none
            updateReach(index)
            return (index, right)
        }
        let (first, rest) = splitFirst(nodes[index].left)
        nodes[index].left = rest
        updateReach(index)
        return (first, index)
    }

    private mutating func merge(_ left: Int, _ right: Int) -> Int {
        if left == Self.none { return right }
        if right == Self.none { return left }
        if nodes[left].priority > nodes[right].priority {
            nodes[left].right = merge(nodes[left].right, right)
            updateReach(left)
            return left
        }
        nodes[right].left = merge(left, nodes[right].left)
        updateReach(right)
        return right
    }

    private mutating func updateReach(_ index: Int) {
        var reach = nodes[index].end
        for child in [nodes[index].left, nodes[index].right] where child != Self.none {
            guard let current = reach, let other = nodes[child].reach else {
                reach = nil
                break
            }
            if current < other { reach = other }
        }
        nodes[index].reach = reach
    }

    private static func mix(_ id: UInt64) -> UInt64 {
        var mixed = id &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
