/// Everything that was encoded since the last batch was taken, with its place in the log. Batches must be
/// written in the order in which they were taken.
public struct LogBatch: Sendable {
    /// A segment that is begun before the batch is written.
    struct NewSegment: Sendable {
        let header: SegmentHeader
        /// The segment's first batch, with room for its header in front.
        var head: [UInt8]
    }

    var newSegment: NewSegment?
    /// Room for the batch's header and the records; empty where there are none.
    var bytes: [UInt8]
    let segment: UInt64
    let offset: Int
    let sequence: UInt64
    /// Segments that nothing needs any more once this batch is durable, oldest first.
    let obsoleteSegments: [UInt64]
    /// What the anchor says of the log's end once this batch is durable; empty where there are no records.
    var positions: [UInt8] = []
    /// Whether a term or a vote changed, which the anchor must say durably before this batch is reported.
    var changesVotes = false
    /// The votes then; `nil` as well where there are more groups than the anchor has room for.
    var votes: [LogAnchor.Vote]?

    public var sizeBytes: Int { bytes.count }
}
