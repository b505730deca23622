import ConsensusTypes
import Testing

@testable import KeyValueCore

extension Int: TreeKey {}

extension Int: Weighted {
    public var weight: Int { self }
}

@Suite struct OrderedTreeTests {
    /// Random changes against a dictionary, with frozen copies that must not change.
    @Test(arguments: [4, 5, 7, 64], [UInt64(1), 2, 3])
    func agreesWithModel(capacity: Int, seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var tree = OrderedTree<Int, Int>(capacity: capacity)
        var model: [Int: Int] = [:]
        var frozen: [(OrderedTree<Int, Int>, [Int: Int])] = []
        let space: UInt64 = 700
        for step in 0..<6_000 {
            // Phases of growth and of shrinking, so that every merge and split comes up.
            let isShrinking = step / 1_000 % 2 == 1
            let key = Int(random.next(below: space))
            let value = Int(random.next(below: 5))
            switch random.next(below: 10) {
            case 0..<(isShrinking ? 8 : 2):
                #expect(tree.remove(key) == model.removeValue(forKey: key))
            case 8:
                let changed = tree.change(key) { $0 += value }
                #expect(changed == (model[key] != nil))
                if changed { model[key]! += value }
            default:
                tree.set(key, value)
                model[key] = value
            }
            if step % 500 == 0 { frozen.append((tree, model)) }
            if step % 50 == 0 { expectEqual(tree, model, &random) }
        }
        for (tree, model) in frozen { expectEqual(tree, model, &random) }
        for key in model.keys.sorted() { tree.remove(key) }
        #expect(tree.isEmpty)
        #expect(tree.root == nil)
    }

    private func expectEqual(
        _ tree: OrderedTree<Int, Int>, _ model: [Int: Int], _ random: inout SeededRandom
    ) {
        #expect(tree.structuralProblem == nil)
        let sorted = model.sorted { $0.key < $1.key }
        var pairs: [(Int, Int)] = []
        tree.visit {
            pairs.append(($0, $1)); return true
        }
        #expect(pairs.map(\.0) == sorted.map(\.key))
        #expect(pairs.map(\.1) == sorted.map(\.value))
        #expect(tree.count == model.count)
        #expect(tree.weight == model.values.reduce(0, +))
        #expect(tree.first?.key == sorted.first?.key)
        for _ in 0..<5 {
            let key = Int(random.next(below: 720)) - 10
            #expect(tree[key] == model[key])
            #expect(tree.weight(below: key) == sorted.filter { $0.key < key }.reduce(0) { $0 + $1.value })
            var rest: [Int] = []
            tree.visit(from: key) { key, _ in
                rest.append(key); return rest.count < 7
            }
            #expect(rest == Array(sorted.map(\.key).filter { $0 >= key }.prefix(7)))
        }
    }

    /// The same with keys of bytes, whose common prefixes and heads the nodes keep: many share long prefixes,
    /// some differ in length only, or only in zero bytes.
    @Test(arguments: [4, 6, 64], [UInt64(1), 2, 3])
    func agreesWithModelOnByteKeys(capacity: Int, seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var tree = OrderedTree<KeyBytes, Int>(capacity: capacity)
        var model: [[UInt8]: Int] = [:]
        func key() -> [UInt8] {
            let prefixes: [[UInt8]] = [[], [0], bytes("/registry/"), bytes("/registry/pods/"), bytes("/s")]
            let start = prefixes[Int(random.next(below: 5))]
            return start
                + (0..<random.next(below: 12)).map { _ in [0, 1, 47, 255][Int(random.next(below: 4))] }
        }
        var frozen: [(OrderedTree<KeyBytes, Int>, [[UInt8]: Int])] = []
        for step in 0..<5_000 {
            let isShrinking = step / 1_000 % 2 == 1
            let known = isShrinking ? tree.first?.key.bytes : nil
            let key = random.chance(1, outOf: 2) ? known ?? key() : key()
            if random.chance(isShrinking ? 7 : 1, outOf: 8) {
                #expect(tree.remove(KeyBytes(key)) == model.removeValue(forKey: key))
            } else {
                tree.set(KeyBytes(key), step)
                model[key] = step
            }
            let probe = self.probe(key, &random)
            #expect(tree[KeyBytes(probe)] == model[probe])
            if step % 400 == 0 { frozen.append((tree, model)) }
        }
        frozen.append((tree, model))
        for (tree, model) in frozen {
            #expect(tree.structuralProblem == nil)
            var pairs: [([UInt8], Int)] = []
            tree.visit {
                pairs.append(($0.bytes, $1)); return true
            }
            let sorted = model.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            #expect(pairs.map(\.0) == sorted.map(\.key))
            #expect(pairs.map(\.1) == sorted.map(\.value))
            for _ in 0..<100 {
                let start = key()
                let expected = sorted.first { !$0.key.lexicographicallyPrecedes(start) }?.key
                var found: [UInt8]?
                tree.visit(from: KeyBytes(start)) { key, _ in
                    found = key.bytes; return false
                }
                #expect(found == expected)
            }
        }
    }

    private func probe(_ key: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        switch random.next(below: 4) {
        case 0: key
        case 1: key + [0]
        case 2: Array(key.dropLast())
        default: key.dropLast() + [UInt8(random.next(below: 256))]
        }
    }

    /// Every order of inserting and then removing a few keys.
    @Test func allPermutations() {
        var count = 0
        func permute(_ rest: [Int], _ chosen: [Int]) {
            guard !rest.isEmpty else {
                count += 1
                var tree = OrderedTree<Int, Int>(capacity: 4)
                for key in chosen { tree.set(key, 1) }
                let full = tree
                #expect(tree.structuralProblem == nil)
                for key in 0..<chosen.count { #expect(tree.remove(chosen[(key * 3) % 7]) == 1) }
                #expect(tree.isEmpty)
                #expect(full.count == 7 && full.structuralProblem == nil)
                return
            }
            for (position, key) in rest.enumerated() {
                var others = rest
                others.remove(at: position)
                permute(others, chosen + [key])
            }
        }
        permute([1, 2, 3, 4, 5, 6, 7], [])
        #expect(count == 5_040)
    }

    @Test func appendingFillsLeaves() {
        var tree = OrderedTree<Int, Int>(capacity: 8)
        for key in 0..<800 { tree.set(key, 1) }
        var leaves = 0
        func count(_ node: OrderedTree<Int, Int>.Node) {
            if node.isLeaf { leaves += 1 }
            node.children.forEach(count)
        }
        count(tree.root!)
        #expect(leaves == 100)
    }

    @Test func copiesShareUntilChanged() {
        var tree = OrderedTree<Int, Int>()
        for key in 0..<10_000 { tree.set(key, key) }
        let copy = tree
        #expect(copy.root === tree.root)
        tree.set(5_000, -1)
        #expect(copy.root !== tree.root)
        #expect(copy[5_000] == 5_000)
        #expect(tree[5_000] == -1)
        let sharedChildren = zip(copy.root!.children, tree.root!.children).filter { $0 === $1 }.count
        #expect(sharedChildren == copy.root!.children.count - 1)
    }
}

@Suite struct KeyBytesTests {
    @Test func orderIsLexicographic() {
        var random = SeededRandom(seed: 9)
        for _ in 0..<20_000 {
            let prefix = [UInt8](repeating: 7, count: Int(random.next(below: 18)))
            func make() -> [UInt8] {
                prefix + (0..<random.next(below: 4)).map { _ in UInt8(random.next(below: 3)) * 127 }
            }
            let (left, right) = (make(), make())
            #expect((compareBytes(left, right) < 0) == left.lexicographicallyPrecedes(right))
            #expect((compareBytes(left, right) == 0) == (left == right))
        }
    }

    @Test func ranges() {
        #expect(KeyRange(key: [1]).contains([1]))
        #expect(!KeyRange(key: [1]).contains([1, 0]))
        #expect(KeyRange(key: [1], rangeEnd: [0]).contains([255]))
        #expect(!KeyRange(key: [1], rangeEnd: [0]).contains([0, 9]))
        #expect(KeyRange.all.contains([0]))
        #expect(KeyRange(key: [1], rangeEnd: [2]).contains([1, 255]))
        #expect(!KeyRange(key: [1], rangeEnd: [2]).contains([2]))
        #expect(!KeyRange(key: [2], rangeEnd: [1]).contains([2]))
        #expect(KeyRange(prefix: [1, 0xff]) == KeyRange(key: [1, 0xff], rangeEnd: [2]))
        #expect(KeyRange(prefix: [0xff]) == KeyRange(key: [0xff], rangeEnd: [0]))
        #expect(KeyRange(prefix: []) == .all)
    }

    @Test func checksumOfTheStandardText() {
        var checksum = Checksum()
        checksum.update(Array("123456789".utf8))
        #expect(checksum.value == 0xe306_9283)
        var random = SeededRandom(seed: 1)
        let bytes = (0..<1_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var whole = Checksum()
        whole.update(bytes)
        var parts = Checksum()
        for part in [0..<3, 3..<64, 64..<777, 777..<1_000] { parts.update(Array(bytes[part])) }
        #expect(parts.value == whole.value)
    }
}

@Suite struct IntervalTreeTests {
    @Test(arguments: [UInt64(1), 2, 3, 4])
    func agreesWithModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var tree = IntervalTree()
        var model: [(UInt64, KeyRange)] = []
        func byte() -> UInt8 { UInt8(random.next(below: 40)) + 1 }
        for step in 0..<4_000 {
            if random.chance(step / 1_000 % 2 == 0 ? 2 : 6, outOf: 8), !model.isEmpty {
                let (id, range) = model.remove(at: Int(random.next(below: UInt64(model.count))))
                tree.remove(range, id: id)
            } else {
                let range = KeyRange(key: [byte()], rangeEnd: random.chance(1, outOf: 9) ? [0] : [byte()])
                model.append((UInt64(step), range))
                tree.insert(range, id: UInt64(step))
            }
            let key = [byte(), byte()]
            var found: [UInt64] = []
            tree.visit(containing: key) { found.append($0) }
            #expect(found.sorted() == model.filter { $0.1.contains(key) }.map(\.0).sorted())
            #expect(tree.count == model.count)
        }
    }
}
