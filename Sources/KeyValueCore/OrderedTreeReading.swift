extension OrderedTree {
    subscript(key: Key) -> Value? {
        guard var node = root else { return nil }
        while !node.isLeaf {
            node = node.children[node.childIndex(key)]
        }
        let position = node.lowerBound(key)
        guard position < node.keys.count, !(key < node.keys[position]) else { return nil }
        return node.values[position]
    }

    /// The pair with the smallest key.
    var first: (key: Key, value: Value)? {
        guard var node = root else { return nil }
        while !node.isLeaf {
            node = node.children[0]
        }
        return (node.keys[0], node.values[0])
    }

    /// Hands out the pairs from `lower` on (from the first one on, where it is `nil`) in order, until `body`
    /// says false.
    func visit(from lower: Key? = nil, _ body: (Key, Value) -> Bool) {
        guard let root else { return }
        _ = Self.visit(root, lower, body)
    }

    /// The sum of the weights of the values whose keys are below `key`.
    func weight(below key: Key) -> Int {
        guard var node = root else { return 0 }
        var sum = 0
        while !node.isLeaf {
            let position = node.childIndex(key)
            for child in 0..<position {
                sum += node.children[child].weight
            }
            node = node.children[position]
        }
        for position in 0..<node.lowerBound(key) {
            sum += node.values[position].weight
        }
        return sum
    }

    private static func visit(_ node: Node, _ lower: Key?, _ body: (Key, Value) -> Bool) -> Bool {
        if node.isLeaf {
            let start = lower.map { node.lowerBound($0) } ?? 0
            for position in start..<node.keys.count where !body(node.keys[position], node.values[position]) {
                return false
            }
            return true
        }
        let start = lower.map { node.childIndex($0) } ?? 0
        for position in start..<node.children.count
        where !visit(node.children[position], position == start ? lower : nil, body) {
            return false
        }
        return true
    }

    /// Why this is not a well-formed tree, or `nil`. Walks everything: for tests.
    var structuralProblem: String? {
        guard let root else { return count == 0 ? nil : "no root, but \(count) pairs" }
        var leafDepths: [Int] = []
        var total = 0
        var problem: String?
        func check(_ node: Node, _ depth: Int, _ lower: Key?, _ upper: Key?) {
            for (left, right) in zip(node.keys, node.keys.dropFirst()) where !(left < right) {
                problem = "keys out of order"
            }
            if let lower, let first = node.keys.first, first < lower { problem = "a key below its separator" }
            if let upper, let last = node.keys.last, !(last < upper) { problem = "a key above its separator" }
            if let headProblem = node.headProblem { problem = headProblem }
            if node.occupancy > capacity { problem = "a node is too full" }
            if depth > 0, !node.isLeaf, node.occupancy < capacity / 2 { problem = "a node is too empty" }
            if node.isLeaf {
                leafDepths.append(depth)
                total += node.keys.count
                if node.keys.isEmpty || node.values.count != node.keys.count { problem = "a leaf is uneven" }
                if node.weight != node.values.reduce(0, { $0 + $1.weight }) { problem = "a leaf's weight" }
                return
            }
            if node.children.count != node.keys.count + 1 || !node.values.isEmpty || node.children.count < 2 {
                problem = "an inner node is uneven"
                return
            }
            if node.weight != node.children.reduce(0, { $0 + $1.weight }) { problem = "an inner weight" }
            for (position, child) in node.children.enumerated() {
                check(
                    child, depth + 1, position == 0 ? lower : node.keys[position - 1],
                    position == node.keys.count ? upper : node.keys[position])
            }
        }
        check(root, 0, nil, nil)
        if total != count { problem = "the count is \(count), the pairs are \(total)" }
        if leafDepths.contains(where: { $0 != leafDepths[0] }) { problem = "leaves at different depths" }
        return problem
    }
}
