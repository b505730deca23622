/// Why a run could not be made; nothing is said about the cluster.
public struct ChaosFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
