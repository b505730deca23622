import ConsensusTypes
import Testing

@testable import RaftCore

/// The log against the plainest model of it, and what durability is known of it.
@Suite struct RaftLogTests {
    @Test func agreesWithAModel() {
        var random = SeededRandom(seed: 5)
        for _ in 0..<60 {
            var log = RaftLog(base: position(0, 0), entries: [])
            var model: [Entry] = []
            var base = position(0, 0)
            var term = 1
            for _ in 0..<120 {
                let last = Int(base.index.rawValue) + model.count
                switch random.next(below: 6) {
                case 0, 1, 2:
                    term += Int(random.next(below: 3)) / 2
                    let appended = (0...Int(random.next(below: 5))).map { entry(last + 1 + $0, term) }
                    log.append(appended[...])
                    model += appended
                case 3 where !model.isEmpty:
                    let from = Int(base.index.rawValue) + 1 + Int(random.next(below: UInt64(model.count)))
                    log.truncate(from: index(from))
                    model.removeAll { $0.index >= index(from) }
                case 4 where !model.isEmpty:
                    let through = model[Int(random.next(below: UInt64(model.count)))]
                    log.compact(through: through.index)
                    base = LogPosition(term: through.term, index: through.index)
                    model.removeAll { $0.index <= through.index }
                case 5 where random.chance(1, outOf: 5):
                    term += 1
                    let target = position(last + Int(random.next(below: 4)) + 1, term)
                    let isKept = log.restore(target)
                    #expect(!isKept)
                    base = target
                    model = []
                default:
                    break
                }
                check(log, base, model)
            }
        }
    }

    private func check(_ log: RaftLog, _ base: LogPosition, _ model: [Entry]) {
        #expect(log.base == base)
        #expect(log.count == model.count)
        #expect(log.firstIndex == base.index.next)
        #expect(log.lastIndex == base.index + model.count)
        let last = model.last.map { LogPosition(term: $0.term, index: $0.index) } ?? base
        #expect(log.lastPosition == last)
        #expect(log.term(at: base.index) == base.term)
        #expect(log.term(at: log.lastIndex.next) == nil)
        for item in model {
            #expect(log.term(at: item.index) == item.term)
            #expect(log.entry(at: item.index) == item)
        }
        guard let first = model.first, let end = model.last else { return }
        #expect(Array(log.slice(from: first.index, through: end.index)) == model)
        for limit in [Term(0), first.term, end.term, end.term.next] {
            let expected = model.last { $0.term <= limit }?.index ?? base.index
            #expect(log.lastIndex(upTo: end.index, withTermAtMost: limit) == expected)
        }
    }

    @Test func slicesAreBoundedAndNeverEmpty() {
        let log = RaftLog(base: position(0, 0), entries: entries([1, 1, 1, 1, 1]))
        let size = entry(1, 1).approximateSizeBytes
        #expect(log.slice(from: index(2), maximumSizeBytes: 1).map(\.index) == [index(2)])
        #expect(log.slice(from: index(2), maximumSizeBytes: 2 * size).map(\.index) == [index(2), index(3)])
        #expect(log.slice(from: index(4), maximumSizeBytes: 100 * size).count == 2)
        #expect(log.slice(from: index(6), maximumSizeBytes: 100).isEmpty)
    }

    @Test func restoreKeepsWhatAgrees() {
        var log = RaftLog(base: position(0, 0), entries: entries([1, 1, 2, 2]))
        let isKept = log.restore(position(2, 1))
        #expect(isKept)
        #expect(log.lastPosition == position(4, 2))
        let isDropped = !log.restore(position(3, 3))
        #expect(isDropped)
        #expect(log.lastPosition == position(3, 3))
        #expect(log.count == 0)
    }

    /// Dropped entries are freed in time: a log that is compacted all along does not grow.
    @Test func compactionFrees() {
        var log = RaftLog(base: position(0, 0), entries: [])
        for round in 0..<1_000 {
            log.append(entries(Array(repeating: 1, count: 10), after: round * 10)[...])
            if round >= 3 { log.compact(through: index(round * 10 - 20)) }
        }
        let storage = Mirror(reflecting: log).children.first { $0.label == "entries" }?.value as? [Entry]
        #expect((storage?.count ?? .max) <= 2 * log.count + 1)
    }
}

@Suite struct PersistenceTests {
    private func log(_ terms: [Int]) -> RaftLog {
        RaftLog(base: position(0, 0), entries: entries(terms))
    }

    @Test func eachEntryIsHandedOutOnce() {
        var log = log([1])
        var persistence = Persistence(hardState: HardState(term: Term(1)), lastIndex: index(1))
        #expect(persistence.makePersist(hardState: HardState(term: Term(1)), log: log) == nil)
        log.append(entry(2, 1))
        let first = persistence.makePersist(hardState: HardState(term: Term(1)), log: log)
        #expect(first?.entries.map(\.index) == [index(2)])
        #expect(first?.hardState == nil)
        log.append(entry(3, 1))
        let second = persistence.makePersist(hardState: HardState(term: Term(1)), log: log)
        #expect(second?.entries.map(\.index) == [index(3)])
        #expect(second?.sequence == 2)
        persistence.notePersisted(1)
        #expect(persistence.durableIndex == index(2))
        persistence.notePersisted(2)
        #expect(persistence.durableIndex == index(3))
    }

    /// The commit index alone is not worth a write.
    @Test func commitIndexTravelsWithOtherWrites() {
        var log = log([1])
        var persistence = Persistence(hardState: HardState(term: Term(1)), lastIndex: index(1))
        var state = HardState(term: Term(1), votedFor: nil, commitIndex: index(1))
        #expect(persistence.makePersist(hardState: state, log: log) == nil)
        log.append(entry(2, 1))
        #expect(persistence.makePersist(hardState: state, log: log)?.hardState == state)
        state.votedFor = node(3)
        let persist = persistence.makePersist(hardState: state, log: log)
        #expect(persist?.hardState == state)
        #expect(persistence.hardStateSequence == persist?.sequence)
    }

    /// A write that was under way when its entries were replaced makes nothing of the new ones durable.
    @Test func replacedEntriesAreNotDurableByAnOlderWrite() {
        var log = log([1])
        var persistence = Persistence(hardState: HardState(term: Term(1)), lastIndex: index(1))
        log.append(entries([1, 1], after: 1)[...])
        _ = persistence.makePersist(hardState: HardState(term: Term(1)), log: log)
        log.truncate(from: index(2))
        persistence.noteTruncation(from: index(2))
        log.append(entries([2, 2], after: 1)[...])
        let second = persistence.makePersist(hardState: HardState(term: Term(2)), log: log)
        #expect(second?.entries.map(\.term) == [Term(2), Term(2)])
        persistence.notePersisted(1)
        #expect(persistence.durableIndex == index(1))
        persistence.notePersisted(2)
        #expect(persistence.durableIndex == index(3))
    }

    /// What was durable and is replaced is durable no more.
    @Test func truncationLowersWhatIsDurable() {
        var log = log([1, 1, 1])
        var persistence = Persistence(hardState: HardState(term: Term(1)), lastIndex: index(3))
        log.truncate(from: index(2))
        persistence.noteTruncation(from: index(2))
        #expect(persistence.durableIndex == index(1))
        log.append(entry(2, 2))
        _ = persistence.makePersist(hardState: HardState(term: Term(2)), log: log)
        #expect(persistence.durableIndex == index(1))
    }

    /// A snapshot keeps the disk's suffix only where the disk has this log's entries up to it.
    @Test func snapshotKeepsNoStaleSuffix() {
        var log = log([1, 1, 1, 1])
        var persistence = Persistence(hardState: HardState(term: Term(1)), lastIndex: index(4))
        // In one turn the entries from 2 on are replaced and a snapshot of 3 arrives.
        log.truncate(from: index(2))
        persistence.noteTruncation(from: index(2))
        log.append(entries([2, 2], after: 1)[...])
        let metadata = SnapshotMetadata(
            index: index(3), term: Term(2), membership: Membership(voters: nodes(1)))
        let isKept = log.restore(position(3, 2))
        persistence.noteSnapshot(metadata, keepsSuffix: isKept, committed: index(1))
        let persist = persistence.makePersist(hardState: HardState(term: Term(2)), log: log)
        #expect(isKept)
        #expect(persist?.keepsSuffix == false)
        #expect(persist?.entries.isEmpty == true)
    }

    @Test func snapshotKeepsAnAgreeingSuffix() {
        var log = log([1, 1, 1, 1])
        var persistence = Persistence(hardState: HardState(term: Term(1)), lastIndex: index(4))
        let metadata = SnapshotMetadata(
            index: index(3), term: Term(1), membership: Membership(voters: nodes(1)))
        let isKept = log.restore(position(3, 1))
        persistence.noteSnapshot(metadata, keepsSuffix: isKept, committed: index(1))
        let persist = persistence.makePersist(hardState: HardState(term: Term(1)), log: log)
        #expect(persist?.keepsSuffix == true)
        #expect(persist?.snapshot == metadata)
        #expect(persistence.durableIndex == index(4))
    }
}
