/// Names a cluster, so that nodes of different clusters that meet on the network keep apart.
@frozen
public struct ClusterID: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Lower-case hexadecimal without leading zeros, the way etcd prints cluster ids.
    public var description: String {
        String(rawValue, radix: 16)
    }
}
