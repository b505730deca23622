/// Splits histories by the keys that operations touch; operations on several keys join theirs.
public struct KeyPartitioning<Key: Hashable> {
    private var numbers: [Key: Int] = [:]
    private var keys: [Key] = []
    /// A forest: each key's parent; a root is its own (union-find with halving of paths).
    private var parents: [Int] = []

    public init() {}

    /// The number of the key, in the order of first appearance.
    public mutating func number(of key: Key) -> Int {
        if let number = numbers[key] { return number }
        numbers[key] = keys.count
        parents.append(keys.count)
        keys.append(key)
        return keys.count - 1
    }

    /// From now on these keys belong to one part.
    public mutating func join(_ joined: [Key]) {
        guard let first = joined.first else { return }
        let root = self.root(of: number(of: first))
        for key in joined.dropFirst() {
            let other = self.root(of: number(of: key))
            // The smaller number stays the root, so that the result depends on nothing but the history.
            let current = self.root(of: root)
            parents[max(other, current)] = min(other, current)
        }
    }

    /// The key of the part that the key belongs to.
    public mutating func representative(of key: Key) -> Key {
        keys[root(of: number(of: key))]
    }

    private mutating func root(of number: Int) -> Int {
        var current = number
        while parents[current] != current {
            parents[current] = parents[parents[current]]
            current = parents[current]
        }
        return current
    }

    /// Splits a history by the keys that `keysOf` names for each input. Operations without keys are left out.
    ///
    /// Sound where an operation's effect and answer depend on nothing but the keys it names.
    public static func split<Input, Output>(
        _ history: [HistoryEntry<Input, Output>], by keysOf: (Input) -> [Key]
    ) -> [HistoryPartition<Input, Output>] {
        var partitioning = KeyPartitioning()
        for entry in history {
            partitioning.join(keysOf(entry.input))
        }
        var positions: [Key: Int] = [:]
        var parts: [(name: String, entries: [HistoryEntry<Input, Output>])] = []
        for entry in history {
            guard let key = keysOf(entry.input).first else { continue }
            let part = partitioning.representative(of: key)
            if let position = positions[part] {
                parts[position].entries.append(entry)
            } else {
                positions[part] = parts.count
                parts.append((String(describing: part), [entry]))
            }
        }
        return parts.map { HistoryPartition(name: $0.name, entries: $0.entries) }
    }
}
