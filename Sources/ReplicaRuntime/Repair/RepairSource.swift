import ConsensusTypes
import RaftCore

/// What a running group gives to nodes under repair.
public protocol RepairSource: AnyObject {
    func excerpt(for request: EntriesRequest) -> LogExcerpt

    var repairLeadership: Leadership { get }

    var repairCommitIndex: LogIndex { get }

    /// Whether it keeps no data, and so has nothing to give.
    var isWitness: Bool { get }

    /// Appends an entry that changes nothing, where this node leads. `nil` where it does not, or has no room.
    func appendBarrier(now: Instant) -> LogPosition?
}

extension Replica: RepairSource {
    public func excerpt(for request: EntriesRequest) -> LogExcerpt {
        var excerpt = LogExcerpt()
        excerpt.snapshot = LogPosition(term: snapshot.term, index: snapshot.index)
        let boundary = request.boundary
        guard boundary.index > .zero, core.term(at: boundary.index) == boundary.term else { return excerpt }
        excerpt.holdsBoundary = true
        excerpt.firstIndex = core.firstIndex
        guard request.through <= boundary.index, core.entry(at: request.through) != nil else {
            // The log starts right after where the entries should end.
            excerpt.previous = core.position(at: request.through)
            return excerpt
        }
        var index = request.through
        var sizeBytes = 0
        var reversed: [Entry] = []
        while index >= request.from, let entry = core.entry(at: index) {
            sizeBytes += entry.approximateSizeBytes
            if sizeBytes > request.maximumSizeBytes, !reversed.isEmpty { break }
            reversed.append(entry)
            index = index.previous
        }
        excerpt.entries = reversed.reversed()
        excerpt.previous = core.position(at: index)
        return excerpt
    }

    public var repairLeadership: Leadership { core.leadership }

    public var repairCommitIndex: LogIndex { core.commitIndex }

    public func appendBarrier(now: Instant) -> LogPosition? {
        guard let index = core.appendBarrier(now: now) else { return nil }
        environment.scheduleTurn()
        return LogPosition(term: core.term, index: index)
    }
}

extension RaftCore {
    fileprivate func position(at index: LogIndex) -> LogPosition? {
        term(at: index).map { LogPosition(term: $0, index: index) }
    }
}
