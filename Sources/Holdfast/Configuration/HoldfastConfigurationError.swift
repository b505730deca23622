/// A configuration that cannot work, and what to do about it.
public struct HoldfastConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The property of ``NodeConfiguration`` that is wrong.
    public let field: String
    /// What it says.
    public let value: String
    /// What is wrong with it, and what would be right.
    public let remedy: String

    /// For configurations of one's own around a ``NodeConfiguration``.
    public init(field: String, value: String, remedy: String) {
        self.field = field
        self.value = value
        self.remedy = remedy
    }

    public var description: String { "\(field) is '\(value)': \(remedy)" }
}
