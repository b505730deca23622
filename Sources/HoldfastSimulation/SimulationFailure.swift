import ConsensusTypes

/// A property that did not hold.
public struct SimulationFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name of the property, such as "election safety".
    public let property: String
    public let detail: String

    public init(_ property: String, _ detail: String) {
        self.property = property
        self.detail = detail
    }

    public var description: String { "\(property): \(detail)" }
}
