import Holdfast

/// Numbers with names, the same on every replica.
struct Counters: ReplicatedState, Codable {
    struct Increment: Codable, Sendable {
        let name: String
        let amount: Int
    }

    private var values: [String: Int] = [:]

    mutating func apply(_ increment: Increment) -> Int {
        values[increment.name, default: 0] &+= increment.amount
        return values[increment.name, default: 0]
    }

    /// The value of the counter with this name.
    func answer(_ name: String) -> Int { values[name, default: 0] }
}
