/// What was taken so far, but for the operations of unknown outcome, and the state that this led to.
struct Configuration<State: Hashable>: Hashable {
    /// The first known operation that was not taken.
    let first: Int32
    /// Which of the 64 operations from `first` on were taken, and of those after them.
    let window: UInt64
    let rest: [UInt64]
    let state: State
}

/// The configurations that a search has visited, each with the sets of unknown operations it was visited
/// with.
struct ConfigurationMemory<State: Hashable> {
    private var heads: [Configuration<State>: Int32] = [:]
    private var visits: [(unknown: BitSet, next: Int32)] = []

    var count: Int { visits.count }

    /// False where the configuration was visited with this set, or a part of it, before.
    mutating func insert(_ configuration: Configuration<State>, unknown: BitSet) -> Bool {
        let head = heads[configuration] ?? -1
        var visit = head
        while visit >= 0 {
            if visits[Int(visit)].unknown.isSubset(of: unknown) { return false }
            visit = visits[Int(visit)].next
        }
        heads[configuration] = Int32(visits.count)
        visits.append((unknown, head))
        return true
    }
}

/// A set of small numbers.
struct BitSet: Hashable {
    private var words: [UInt64]

    init(count: Int) {
        words = Array(repeating: 0, count: (count + 63) / 64)
    }

    func contains(_ number: Int) -> Bool {
        words[number >> 6] >> UInt64(number & 63) & 1 == 1
    }

    mutating func insert(_ number: Int) {
        words[number >> 6] |= 1 << UInt64(number & 63)
    }

    mutating func remove(_ number: Int) {
        words[number >> 6] &= ~(1 << UInt64(number & 63))
    }

    /// Both must be of one size.
    func isSubset(of other: BitSet) -> Bool {
        for position in words.indices where words[position] & ~other.words[position] != 0 {
            return false
        }
        return true
    }

    /// The 64 bits from `number` on.
    func word(from number: Int) -> UInt64 {
        let position = number >> 6
        let shift = UInt64(number & 63)
        guard position < words.count else { return 0 }
        var word = words[position] >> shift
        if shift > 0, position + 1 < words.count { word |= words[position + 1] << (64 - shift) }
        return word
    }

    /// The bits from `first` to `last`, 64 in each; nothing where `last` is smaller.
    func words(from first: Int, through last: Int) -> [UInt64] {
        guard first <= last else { return [] }
        return stride(from: first, through: last, by: 64).map { word(from: $0) }
    }
}
