/// A set of nodes by their numbers, which are below 8.
public struct NodeSet: Hashable, Sendable {
    public private(set) var bits: UInt8

    public init(bits: UInt8 = 0) {
        self.bits = bits
    }

    public init(_ node: Int) {
        bits = 1 << UInt8(node)
    }

    /// The first `count` nodes.
    public init(count: Int) {
        bits = UInt8(truncatingIfNeeded: (1 << count) - 1)
    }

    public var isEmpty: Bool { bits == 0 }

    public var count: Int { bits.nonzeroBitCount }

    public func contains(_ node: Int) -> Bool { bits & (1 << UInt8(node)) != 0 }

    public mutating func insert(_ node: Int) { bits |= 1 << UInt8(node) }

    public mutating func remove(_ node: Int) { bits &= ~(1 << UInt8(node)) }

    /// In order.
    public var numbers: [Int] { (0..<8).filter(contains) }
}

/// A set of directed links between nodes whose numbers are below 8.
public struct LinkSet: Hashable, Sendable {
    public private(set) var bits: UInt64

    public init(bits: UInt64 = 0) {
        self.bits = bits
    }

    public func contains(from: Int, to: Int) -> Bool { bits & (1 << UInt64(from * 8 + to)) != 0 }

    public mutating func insert(from: Int, to: Int) { bits |= 1 << UInt64(from * 8 + to) }

    public mutating func insertBoth(_ one: Int, _ other: Int) {
        insert(from: one, to: other)
        insert(from: other, to: one)
    }

    /// Everything between the two sides; in one direction, from `side` outward, only.
    public static func between(_ side: NodeSet, nodeCount: Int, isOneWay: Bool = false) -> LinkSet {
        var links = LinkSet()
        for from in 0..<nodeCount where side.contains(from) {
            for to in 0..<nodeCount where !side.contains(to) {
                links.insert(from: from, to: to)
                if !isOneWay { links.insert(from: to, to: from) }
            }
        }
        return links
    }

    /// All links but those of a tree or another graph: `edges` still work.
    public static func allBut(_ edges: [(Int, Int)], nodeCount: Int) -> LinkSet {
        var links = LinkSet()
        for one in 0..<nodeCount {
            for other in 0..<nodeCount where one != other {
                if !edges.contains(where: { $0 == (one, other) || $0 == (other, one) }) {
                    links.insert(from: one, to: other)
                }
            }
        }
        return links
    }

    /// Everything reaches everything through `hub` alone.
    public static func star(hub: Int, nodeCount: Int) -> LinkSet {
        allBut((0..<nodeCount).filter { $0 != hub }.map { (hub, $0) }, nodeCount: nodeCount)
    }

    /// The nodes stand in a row, each connected to its neighbours.
    public static func chain(_ order: [Int]) -> LinkSet {
        allBut(Array(zip(order, order.dropFirst())), nodeCount: order.count)
    }

    /// Two halves that share one node.
    public static func bridge(over shared: Int, nodeCount: Int) -> LinkSet {
        let others = (0..<nodeCount).filter { $0 != shared }
        var left = NodeSet()
        for node in others.prefix(others.count / 2) { left.insert(node) }
        var links = LinkSet()
        for one in others where left.contains(one) {
            for other in others where !left.contains(other) { links.insertBoth(one, other) }
        }
        return links
    }

    public static func all(nodeCount: Int) -> LinkSet {
        allBut([], nodeCount: nodeCount)
    }
}
