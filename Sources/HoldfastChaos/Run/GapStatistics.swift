/// A set of lengths of time, in milliseconds.
public struct GapStatistics: Hashable, Sendable {
    /// In ascending order.
    public let samples: [Double]

    public init(_ samples: [Double]) {
        self.samples = samples.sorted()
    }

    public var count: Int { samples.count }
    public var minimum: Double? { samples.first }
    public var maximum: Double? { samples.last }

    /// The smallest sample that this share of all samples does not exceed (nearest rank).
    public func percentile(_ percent: Int) -> Double? {
        precondition((1...100).contains(percent), "a percentile is from 1 to 100")
        guard !samples.isEmpty else { return nil }
        return samples[(samples.count * percent + 99) / 100 - 1]
    }
}
