import ConsensusTypes
import DequeModule
import RaftCore

/// The linearizable reads of clients, gathered so that all that arrive in a turn share one question.
struct ReadGathering {
    typealias Completion = (ServiceError?) -> Void

    struct Read {
        let deadline: Instant
        let completion: Completion
    }

    /// Reads that have not been asked about.
    private(set) var gathered: [Read] = []
    /// Reads that the core was asked about, by question, oldest first.
    private var asked = Deque<(id: ReadID, reads: [Read])>()
    private var lastID: UInt64 = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func add(_ read: Read) {
        gathered.append(read)
        count += 1
    }

    /// The number for the next question, which ``noteAsked()`` then takes all gathered reads into.
    var nextID: ReadID { ReadID(lastID + 1) }

    mutating func noteAsked() {
        lastID += 1
        asked.append((ReadID(lastID), gathered))
        gathered = []
    }

    mutating func takeReady(_ id: ReadID) -> [Read] {
        guard let position = asked.firstIndex(where: { $0.id == id }) else { return [] }
        let reads = asked.remove(at: position).reads
        count -= reads.count
        return reads
    }

    /// The question got no answer: its reads will be asked about again.
    mutating func noteFailed(_ id: ReadID) {
        guard let position = asked.firstIndex(where: { $0.id == id }) else { return }
        gathered = asked.remove(at: position).reads + gathered
    }

    mutating func takeAll() -> [Completion] {
        var all = gathered
        for question in asked {
            all += question.reads
        }
        gathered = []
        asked = []
        count = 0
        return all.map(\.completion)
    }

    mutating func takeExpired(now: Instant) -> [Completion] {
        var expired: [Completion] = []
        gathered = ReadGathering.keep(gathered, now: now, expired: &expired)
        for position in asked.indices {
            asked[position].reads = ReadGathering.keep(asked[position].reads, now: now, expired: &expired)
        }
        asked.removeAll { $0.reads.isEmpty }
        count -= expired.count
        return expired
    }

    private static func keep(_ reads: [Read], now: Instant, expired: inout [Completion]) -> [Read] {
        // Reads stand in the order of their deadlines, nearly; most of the time none is late.
        guard reads.contains(where: { $0.deadline <= now }) else { return reads }
        expired += reads.filter { $0.deadline <= now }.map(\.completion)
        return reads.filter { $0.deadline > now }
    }
}
