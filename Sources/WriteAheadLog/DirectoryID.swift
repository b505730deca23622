/// Names one data directory for as long as it exists. A node that lost its directory has the same name and
/// another directory, which is how its peers know that it forgot what it had acknowledged.
@frozen
public struct DirectoryID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// One that no other directory has, from the system's random numbers.
    public static func random() -> DirectoryID {
        DirectoryID(UInt64.random(in: 1 ... .max))
    }

    @inlinable
    public static func < (left: DirectoryID, right: DirectoryID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// Lower-case hexadecimal without leading zeros.
    public var description: String {
        String(rawValue, radix: 16)
    }
}
