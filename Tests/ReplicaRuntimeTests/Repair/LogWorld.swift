import ConsensusTypes
import WriteAheadLog

@testable import ReplicaRuntime

/// Three logs that leaders of growing terms write, in the order of a real node's batches.
struct LogWorld {
    struct Log {
        var entries: [Entry] = []
        /// The batches that made it, each of entries that replace what stood from their first index on.
        var batches: [[Entry]] = []

        var end: LogPosition {
            entries.last?.position ?? LogPosition(term: .zero, index: .zero)
        }

        /// As a follower takes entries: what conflicts is replaced.
        mutating func take(_ new: [Entry]) {
            guard let first = new.first(where: { entry in !entries.contains(entry) }) else { return }
            let batch = Array(new[(first.index - new[0].index)...])
            entries.removeSubrange(min(entries.count, first.index - LogIndex(1))...)
            entries += batch
            batches.append(batch)
        }
    }

    static let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])
    static let base = SnapshotMetadata(index: .zero, term: .zero, membership: membership)

    var logs = [Log(), Log(), Log()]
    var random: SeededRandom
    private var term = Term.zero
    /// What a quorum has of the last leader's own term, and everything before it.
    private(set) var committed: [Entry] = []

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
    }

    /// Terms in each of which a node whose log may win writes some entries, which reach some others.
    mutating func live(termCount: Int) {
        for _ in 0..<termCount {
            let voter = Int(random.next(below: 3))
            let candidates = (0..<3).filter { $0 != voter && logs[$0].end >= logs[voter].end }
            guard !candidates.isEmpty else { continue }
            let leader = candidates[Int(random.next(below: UInt64(candidates.count)))]
            lead(leader, count: 1 + Int(random.next(below: 6)))
        }
    }

    mutating func lead(_ leader: Int, count: Int) {
        term = term.next
        var written = 0
        while written < count {
            let size = 1 + Int(random.next(below: 3))
            let first = logs[leader].end.index.next
            let batch = (0..<size).map { Entry(index: first + $0, term: term, kind: .command) }
            logs[leader].take(batch)
            written += size
            for follower in 0..<3 where follower != leader && random.chance(2, outOf: 5) {
                logs[follower].take(logs[leader].entries)
            }
            let holders = (0..<3).filter { logs[$0].end == logs[leader].end }
            if holders.count >= 2 { committed = logs[leader].entries }
        }
    }

    func snapshot(at index: Int) -> SnapshotMetadata {
        SnapshotMetadata(
            index: committed[index - 1].index, term: committed[index - 1].term,
            membership: LogWorld.membership)
    }

    /// Loses some batches of a log: what a salvage finds then.
    mutating func damage(_ victim: Int) -> SalvagedState {
        let log = logs[victim]
        var finished: [[Entry]] = []
        // What follows on it without a loss in between.
        var current: [Entry] = []
        var isLastLost = false
        for batch in log.batches {
            isLastLost = random.chance(1, outOf: 4)
            if isLastLost {
                if !current.isEmpty { finished.append(current) }
                current = []
                continue
            }
            let first = batch[0].index
            finished = finished.compactMap { LogWorld.part(of: $0, before: first) }
            if let kept = LogWorld.part(of: current, before: first), kept.last?.index.next == first {
                current = kept + batch
            } else {
                current = batch
            }
        }
        let runs = current.isEmpty ? finished : finished + [current]
        return SalvagedState(
            hardState: HardState(term: term), base: LogWorld.base, runs: runs,
            lostEnd: isLastLost ? log.end : nil, isEndTrusted: true)
    }

    private static func part(of run: [Entry], before index: LogIndex) -> [Entry]? {
        let kept = run.filter { $0.index < index }
        return kept.isEmpty ? nil : kept
    }

    /// Asks the peers again and again until none can help.
    mutating func feed(_ repair: inout LogRepair, from peers: [Int]) {
        var refusals = 0
        while !repair.isComplete, refusals < 6 {
            let peer = peers[Int(random.next(below: UInt64(peers.count)))]
            let before = repair
            let size = random.chance(1, outOf: 2) ? 48 : 1_000
            let request = LogWorld.request(repair, maximumSizeBytes: size)
            var excerpt = LogWorld.excerpt(of: logs[peer].entries, request)
            // As of a peer under repair, whose part begins there.
            if !excerpt.entries.isEmpty, random.chance(1, outOf: 2) { excerpt.previous = nil }
            if repair.add(excerpt), repair.isAhead(of: before) {
                refusals = 0
            } else {
                repair = before
                refusals += 1
            }
        }
        guard !repair.isComplete else { return }
        // Chance may have left a peer out.
        for peer in peers {
            let before = repair
            let excerpt = LogWorld.excerpt(of: logs[peer].entries, LogWorld.request(repair))
            if repair.add(excerpt), repair.isAhead(of: before) { return feed(&repair, from: peers) }
            repair = before
        }
    }

    static func request(_ repair: LogRepair, maximumSizeBytes: Int = 1 << 20) -> EntriesRequest {
        EntriesRequest(
            number: 1, group: GroupID(1), boundary: repair.boundary!, through: repair.through!,
            from: repair.from, maximumSizeBytes: maximumSizeBytes)
    }

    static func excerpt(of log: [Entry], _ request: EntriesRequest) -> LogExcerpt {
        var excerpt = LogExcerpt()
        _ = excerpt.fill(from: log, request)
        return excerpt
    }

    static func entries(_ indexes: ClosedRange<Int>, term: UInt64) -> [Entry] {
        indexes.map { Entry(index: LogIndex(UInt64($0)), term: Term(term), kind: .command) }
    }
}
