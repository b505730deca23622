/// What happens to the bytes that travel in one direction between two nodes.
public struct LinkConditions: Hashable, Sendable {
    /// A cut of the network. Neither end is told.
    public enum Cut: Int, Hashable, Sendable {
        case none
        /// Bytes wait and arrive, in order, when the cut is over: it was shorter than TCP's patience.
        case hold
        /// Bytes are lost; when the cut is over, connections that lost some are reset, as TCP would not go on
        /// without them.
        case swallow
    }

    public var cut = Cut.none
    public var delayMilliseconds = 0
    /// Added to the delay, from 0 up to this. Bytes never overtake each other.
    public var jitterMilliseconds = 0
    /// 0 stands for as many as possible.
    public var bytesPerSecond = 0
    /// New connections that the sending end dials are refused.
    public var isRefusing = false

    public init() {}

    public static let perfect = LinkConditions()

    /// Both at once.
    func merged(with other: LinkConditions) -> LinkConditions {
        var merged = self
        if other.cut.rawValue > cut.rawValue { merged.cut = other.cut }
        merged.delayMilliseconds = max(delayMilliseconds, other.delayMilliseconds)
        merged.jitterMilliseconds = max(jitterMilliseconds, other.jitterMilliseconds)
        if bytesPerSecond == 0 || (other.bytesPerSecond > 0 && other.bytesPerSecond < bytesPerSecond) {
            merged.bytesPerSecond = other.bytesPerSecond
        }
        merged.isRefusing = isRefusing || other.isRefusing
        return merged
    }
}
