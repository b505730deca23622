import ConsensusTypes

/// Finds the times without an acknowledged write, and the faults that they belong to.
public struct AvailabilityGaps: Sendable {
    public static let thresholdMilliseconds = 100.0

    public struct Gap: Hashable, Sendable {
        public let begin: Instant
        public let end: Instant
        /// `nil` where no fault was near.
        public let kind: FaultKind?

        public var milliseconds: Double { end.milliseconds(since: begin) }
    }

    private let faults: [InjectedFault]
    /// What happens this long after a fault was healed may still come of it.
    private let settleMilliseconds: Int
    /// The last acknowledgement may come so long before a fault begins that ends them.
    private static let noticeMilliseconds = 300

    public init(faults: [InjectedFault], settleMilliseconds: Int = 3_000) {
        self.faults = faults
        self.settleMilliseconds = settleMilliseconds
    }

    /// The times longer than the threshold between two acknowledgements that follow each other.
    /// - Parameter acknowledgements: when writes were acknowledged, in any order.
    public func gaps(in acknowledgements: [Instant]) -> [Gap] {
        let sorted = acknowledgements.sorted()
        return zip(sorted, sorted.dropFirst()).compactMap { earlier, later in
            guard later.milliseconds(since: earlier) > AvailabilityGaps.thresholdMilliseconds else {
                return nil
            }
            return Gap(begin: earlier, end: later, kind: kind(from: earlier, to: later))
        }
    }

    /// Gaps as seen through one node, without those in which a fault had stopped or cut off that very node.
    public func gaps(in acknowledgements: [Instant], through node: Int) -> [Gap] {
        gaps(in: acknowledgements).filter { gap in
            !faults.contains { $0.nodes.contains(node) && overlaps($0, gap.begin, gap.end) }
        }
    }

    /// The fault that began last of those that were near when the gap began; of those that began later, the first.
    private func kind(from begin: Instant, to end: Instant) -> FaultKind? {
        let near = faults.filter { overlaps($0, begin, end) }
        let noticed = begin + .milliseconds(AvailabilityGaps.noticeMilliseconds)
        return (near.last { $0.begin <= noticed } ?? near.first)?.kind
    }

    private func overlaps(_ fault: InjectedFault, _ begin: Instant, _ end: Instant) -> Bool {
        let over = fault.end.map { $0 + .milliseconds(settleMilliseconds) } ?? .distantFuture
        return fault.begin <= end && begin <= over
    }
}
