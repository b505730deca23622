import ConsensusTypes

@testable import RaftCore

/// A cluster that does what a transcript says, and nothing by itself.
struct ScenarioCluster {
    struct Packet {
        let message: RaftMessage
        /// When it arrives, where time passes.
        let arrivesAt: Instant
    }

    /// How long messages take, in milliseconds: at least, and at most.
    var latency = (least: 1, most: 1)
    private var sentCount = 0
    private var lastArrival: [Link: Instant] = [:]

    var settings = RaftSettings()
    var nodes: [ScenarioNode] = []
    var packets: [Packet] = []
    var cutLinks: Set<Link> = []
    var start = Instant(nanoseconds: 1_000_000_000_000)
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var output: [String] = []
    /// Prefixes events with the time, where a command covers a span of it.
    var showsTime = false
    var lastSequence: UInt64 = 0
    var lastReadID: UInt64 = 0
    private var leaders: [Term: NodeID] = [:]
    private var committed: [LogIndex: Entry] = [:]

    func position(of node: NodeID) throws -> Int {
        guard let position = nodes.firstIndex(where: { $0.id == node }) else {
            throw ScenarioError("there is no node \(node)")
        }
        return position
    }

    mutating func say(_ line: String) {
        let time = showsTime ? "\((now - start).milliseconds) ms: " : ""
        output.append(time + line)
    }

    /// Carries out what a node's core wants, as its shell would.
    mutating func settle(_ position: Int) throws {
        for _ in 0..<1_000 {
            let effects = nodes[position].core.takeEffects(now: now)
            if effects.isEmpty { return }
            try carryOut(effects, position)
        }
        throw ScenarioError("the effects of node \(nodes[position].id) never end")
    }

    private mutating func carryOut(_ effects: Effects, _ position: Int) throws {
        let id = nodes[position].id
        for message in effects.messages { send(message) }
        if let leadership = effects.leadership {
            say(ScenarioFormat.leadership(leadership, of: id))
            try noteLeadership(leadership, of: id)
        }
        if let membership = effects.membership {
            say("\(id) knows of \(ScenarioFormat.describe(membership))")
        }
        if let factor = effects.timeoutFactor {
            say("\(id) waits \(factor) times the configured election timeout")
        }
        if let outcome = effects.transferEnded { say("\(id) ends its transfer: \(outcome)") }
        if let metadata = effects.restore {
            say("\(id) restores snapshot \(metadata.index)@\(metadata.term)")
            nodes[position].applied = metadata.index
        }
        if let persist = effects.persist {
            let write = DiskWrite(
                sequence: persist.sequence, hardState: persist.hardState, snapshot: persist.snapshot,
                keepsSuffix: persist.keepsSuffix, entries: persist.entries,
                messages: effects.messagesAfterPersist, doneAt: now)
            nodes[position].writes.append(write)
            if nodes[position].isDiskManual {
                say(ScenarioFormat.write(write, of: id))
            }
        }
        if !effects.committed.isEmpty {
            say("\(id) applies \(ScenarioFormat.entries(effects.committed))")
            try noteCommitted(effects.committed, position)
        }
        for read in effects.readyReads { say("\(id) may answer read \(read.id.rawValue) at \(read.index)") }
        for read in effects.failedReads { say("\(id) cannot answer read \(read.rawValue)") }
        for rejected in effects.rejectedProposals {
            say("\(id) hears that proposal \(rejected.id) is refused: \(rejected.reason)")
        }
        for read in effects.snapshotReads { readSnapshot(read, position) }
        for received in effects.receivedChunks { store(received.chunk, position) }
        if !nodes[position].isDiskManual {
            while !nodes[position].writes.isEmpty { try persistNext(position) }
        }
    }

    /// One write becomes durable.
    mutating func persistNext(_ position: Int) throws {
        guard !nodes[position].writes.isEmpty else {
            throw ScenarioError("node \(nodes[position].id) has nothing to persist")
        }
        let write = nodes[position].writes.removeFirst()
        if let problem = nodes[position].disk.apply(write) ?? nodes[position].disk.problem {
            throw ScenarioError("the disk of node \(nodes[position].id): \(problem)")
        }
        for message in write.messages { send(message) }
        if let sequence = write.sequence { nodes[position].core.persisted(sequence, now: now) }
    }

    mutating func send(_ message: RaftMessage) {
        sentCount += 1
        // Anything between the bounds, the same each time; but no message overtakes another on its link.
        let spread = latency.most - latency.least + 1
        let link = Link(from: message.from, to: message.to)
        let arrival = now + .milliseconds(latency.least + sentCount * 7_919 % spread)
        let arrivesAt = max(arrival, lastArrival[link] ?? .zero)
        lastArrival[link] = arrivesAt
        packets.append(Packet(message: message, arrivesAt: arrivesAt))
    }

    mutating func receive(_ message: RaftMessage, isShown: Bool) throws {
        let position = try position(of: message.to)
        guard nodes[position].isRunning, !cutLinks.contains(Link(from: message.from, to: message.to)) else {
            if isShown { say("lost: \(ScenarioFormat.message(message))") }
            return
        }
        if isShown { say(ScenarioFormat.message(message)) }
        nodes[position].core.receive(message, now: now)
        try settle(position)
    }

    // MARK: Snapshots

    static func snapshotBytes(_ metadata: SnapshotMetadata) -> [UInt8] {
        metadata.isWithheld ? [] : Array("the state at index \(metadata.index)".utf8)
    }

    private mutating func readSnapshot(_ read: SnapshotRead, _ position: Int) {
        let newest = nodes[position].disk.snapshot
        guard newest.index > .zero, !newest.isWithheld, read.metadata == nil || read.metadata == newest else {
            say("\(nodes[position].id) has no snapshot \(read.metadata?.index ?? .zero) for \(read.peer)")
            return nodes[position].core.snapshotUnavailable(for: read.peer, now: now)
        }
        let bytes = ScenarioCluster.snapshotBytes(newest)
        let from = min(Int(read.offset), bytes.count)
        let end = min(bytes.count, from + read.maximumSizeBytes)
        nodes[position].core.provideSnapshotChunk(
            SnapshotChunk(
                metadata: newest, offset: read.offset, bytes: ByteSlice(bytes, from..<end),
                isLast: end == bytes.count, sentAt: .zero),
            to: read.peer, now: now)
    }

    private mutating func store(_ chunk: SnapshotChunk, _ position: Int) {
        if chunk.offset == 0 { nodes[position].incomingBytes = [] }
        nodes[position].incomingBytes += chunk.bytes.bytes
        guard chunk.isLast else { return }
        nodes[position].storing = chunk.metadata
        if !nodes[position].isStoringManual { finishStoring(position, isRefused: false) }
    }

    mutating func finishStoring(_ position: Int, isRefused: Bool) {
        guard let metadata = nodes[position].storing else { return }
        nodes[position].storing = nil
        if isRefused || nodes[position].incomingBytes != ScenarioCluster.snapshotBytes(metadata) {
            nodes[position].core.snapshotRefused(index: metadata.index, now: now)
        } else {
            nodes[position].core.snapshotReceived(metadata, now: now)
        }
    }

    // MARK: What must hold in every transcript

    private mutating func noteLeadership(_ leadership: Leadership, of node: NodeID) throws {
        guard leadership.role == .leader else { return }
        if let known = leaders[leadership.term], known != node {
            throw ScenarioError("\(known) and \(node) both lead term \(leadership.term)")
        }
        leaders[leadership.term] = node
    }

    private mutating func noteCommitted(_ entries: [Entry], _ position: Int) throws {
        for entry in entries {
            guard entry.index == nodes[position].applied.next else {
                throw ScenarioError("\(entry.index) is applied after \(nodes[position].applied)")
            }
            nodes[position].applied = entry.index
            if let known = committed[entry.index] {
                let isSame =
                    entry.kind == .withheld || known.kind == .withheld
                    ? known.term == entry.term : known == entry
                guard isSame else { throw ScenarioError("two entries are committed at \(entry.index)") }
                if entry.kind == .withheld { continue }
            }
            committed[entry.index] = entry
        }
    }
}
