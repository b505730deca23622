import ConsensusTypes
import RaftCore
import WriteAheadLog

@testable import ReplicaRuntime

/// What a running node gives to others: a log that changes only by barriers, and by what the world replicates.
final class FakeGroup: RepairSource {
    var base: SnapshotMetadata
    var entries: [Entry]
    var leadership = Leadership(role: .follower, term: .zero, leader: nil)
    var commitIndex: LogIndex
    var isWitness = false
    private(set) var barrierCount = 0

    init(base: SnapshotMetadata, entries: [Entry]) {
        self.base = base
        self.entries = entries
        commitIndex = base.index
    }

    var repairLeadership: Leadership { leadership }
    var repairCommitIndex: LogIndex { commitIndex }

    func excerpt(for request: EntriesRequest) -> LogExcerpt {
        var excerpt = LogExcerpt()
        excerpt.snapshot = base.position
        _ = excerpt.fill(from: entries, request)
        if excerpt.holdsBoundary, excerpt.previous == nil,
            (excerpt.entries.first?.index.previous ?? request.through) == base.index
        {
            excerpt.previous = base.position
        }
        return excerpt
    }

    func appendBarrier(now: Instant) -> LogPosition? {
        guard leadership.role == .leader else { return nil }
        barrierCount += 1
        let index = (entries.last?.index ?? base.index).next
        entries.append(Entry(index: index, term: leadership.term, kind: .noOperation))
        return entries.last!.position
    }
}

/// One node with what is on its disk.
final class FakeNode {
    let id: NodeID
    // The disk.
    var directory: DirectoryID
    var startCount: UInt64 = 0
    var isAdmittedOnDisk = false
    var records: [MemberRecord] = []
    var hardState = HardState()
    var base: SnapshotMetadata
    var entries: [Entry] = []
    var snapshots: [SnapshotMetadata] = []
    var hasUnreadableSnapshots = false
    // The process.
    var admission: NodeAdmission?
    var group: FakeGroup?
    var outcome: AdmissionOutcome?
    var ending: AdmissionEffect?
    var reports: [String] = []
    var incoming: (metadata: SnapshotMetadata, size: UInt64)?

    init(_ id: NodeID, membership: Membership) {
        self.id = id
        directory = DirectoryID(id.rawValue * 1_000)
        base = SnapshotMetadata(index: .zero, term: .zero, membership: membership)
    }

    var isActive: Bool { admission?.isActive == true && group != nil }
}

/// Admissions of several nodes, links between them that lose nothing, and a clock that jumps.
final class AdmissionWorld {
    let membership: Membership
    let nodes: [FakeNode]
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Whether what a leader appends becomes committed when a majority is active and connected.
    var commits = true
    private var queue: [(from: NodeID, to: NodeID, message: RepairMessage)] = []
    private var cut: Set<[NodeID]> = []
    private var lastIncarnation: UInt64 = 0
    private var lastDirectory: UInt64 = 50_000
    /// Every message that was delivered, for checks.
    private(set) var delivered: [(from: NodeID, to: NodeID, message: RepairMessage)] = []

    init(_ count: Int, witnesses: [Int] = []) {
        membership = Membership(
            voters: (1...UInt64(count)).map { NodeID($0) },
            descriptions: witnesses.map { MemberDescription(node: NodeID(UInt64($0)), isWitness: true) })
        let members = membership
        nodes = members.voters.map { FakeNode($0, membership: members) }
    }

    subscript(_ number: Int) -> FakeNode { nodes[number - 1] }

    // MARK: Faults

    func setLink(_ first: Int, _ second: Int, isUp: Bool) {
        let pair = [self[first].id, self[second].id].sorted()
        if isUp { cut.remove(pair) } else { cut.insert(pair) }
        for (one, other) in [(first, second), (second, first)] {
            guard self[one].admission != nil, self[other].admission != nil else { continue }
            if isUp {
                self[one].admission?.peerConnected(self[other].id, now: now)
            } else {
                self[one].admission?.peerDisconnected(self[other].id, now: now)
            }
        }
    }

    func stop(_ number: Int) {
        let node = self[number]
        node.admission = nil
        node.group = nil
        queue.removeAll { $0.from == node.id || $0.to == node.id }
        for other in nodes where other.admission != nil {
            other.admission?.peerDisconnected(node.id, now: now)
        }
    }

    func wipe(_ number: Int) {
        stop(number)
        let node = self[number]
        lastDirectory += 1
        node.directory = DirectoryID(lastDirectory)
        node.startCount = 0
        node.isAdmittedOnDisk = false
        node.records = []
        node.hardState = HardState()
        node.entries = []
        node.snapshots = []
        node.base = SnapshotMetadata(index: .zero, term: .zero, membership: membership)
    }

    /// Starts a node with what is on its disk, or with what damage left of it.
    func start(_ number: Int, left: SalvagedState? = nil) {
        let node = self[number]
        lastIncarnation += 1
        node.startCount += 1
        node.ending = nil
        node.outcome = nil
        let own = NodeLife.read(node.records.first { $0.node == node.id }, directory: node.directory)
        let whole = SalvagedState(
            hardState: node.hardState, base: node.base, runs: node.entries.isEmpty ? [] : [node.entries],
            isEndTrusted: true)
        let start: AdmissionStart
        if let left {
            start = node.isAdmittedOnDisk && !own.mustBeAdopted ? .damaged(left) : .outdated(left)
        } else if own.mustBeAdopted {
            start = .outdated(whole)
        } else if node.isAdmittedOnDisk {
            start = .certain
        } else {
            start = whole.isBlank ? .fresh : .outdated(whole)
        }
        let admission = NodeAdmission(
            nodeID: node.id, group: GroupID(1), membership: membership, directory: node.directory,
            startCount: node.startCount, incarnation: lastIncarnation, records: node.records, start: start,
            now: now)
        node.admission = admission
        if admission.isActive { run(node) }
        for other in nodes where other !== node && other.admission != nil {
            guard !cut.contains([node.id, other.id].sorted()) else { continue }
            other.admission?.peerConnected(node.id, now: now)
            admission.peerConnected(other.id, now: now)
        }
    }

    private func run(_ node: FakeNode) {
        let group = FakeGroup(base: node.base, entries: node.entries)
        group.isWitness = membership.isWitness(node.id)
        node.group = group
        node.admission?.takesPart(from: group, now: now)
    }

    /// All nodes start for the first time and get the same log; the first one leads.
    func bootstrap(entryCount: Int, term: UInt64 = 1) {
        for number in 1...nodes.count { start(number) }
        settle()
        let entries = (1...max(1, entryCount)).map {
            Entry(index: LogIndex(UInt64($0)), term: Term(term), kind: .command)
        }
        for node in nodes {
            node.entries = entriesOf(node, entries)
            node.hardState = HardState(term: Term(term), votedFor: NodeID(1))
            node.group?.entries = node.entries
        }
        lead(1, term: term)
    }

    /// What the node has of a leader's entries.
    private func entriesOf(_ node: FakeNode, _ entries: [Entry]) -> [Entry] {
        membership.isWitness(node.id) ? entries.map(\.asWithheld) : entries
    }

    func lead(_ number: Int, term: UInt64) {
        for node in nodes {
            guard let group = node.group, term >= group.leadership.term.rawValue else { continue }
            let isLeader = node === self[number]
            group.leadership = Leadership(
                role: isLeader ? .leader : .follower, term: Term(term), leader: self[number].id)
        }
    }

    // MARK: Time

    /// Until nothing happens by itself any more, or so much time has passed.
    func settle(seconds: Int = 5) {
        let end = now + .seconds(seconds)
        while now < end {
            carryOutAll()
            if let (from, to, message) = queue.first {
                queue.removeFirst()
                delivered.append((from, to, message))
                node(to).admission?.receive(message, from: from, now: now)
                continue
            }
            if replicate() { continue }
            now = now + .milliseconds(20)
            for node in nodes {
                if let admission = node.admission, admission.nextDeadline <= now {
                    admission.advance(now: now)
                }
                node.admission?.turnEnded(now: now)
            }
        }
        carryOutAll()
    }

    private func node(_ id: NodeID) -> FakeNode { nodes[Int(id.rawValue) - 1] }

    /// What a leader has reaches the active nodes that it can reach; a majority makes it committed.
    private func replicate() -> Bool {
        guard commits else { return false }
        var changed = false
        for leader in nodes where leader.isActive && leader.group?.leadership.role == .leader {
            guard let group = leader.group, let end = group.entries.last?.index, end > group.commitIndex
            else { continue }
            let reached = nodes.filter {
                $0.isActive && !cut.contains([$0.id, leader.id].sorted())
                    && ($0 === leader || leader.admission?.standing(of: $0.id) == .accepted)
            }
            guard reached.count >= Membership.majority(of: nodes.count) else { continue }
            for follower in reached {
                follower.entries = entriesOf(follower, group.entries)
                follower.group?.entries = follower.entries
                follower.group?.commitIndex = end
            }
            leader.admission?.turnEnded(now: now)
            changed = true
        }
        return changed
    }

    // MARK: Effects

    private func carryOutAll() {
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for node in nodes {
                guard let admission = node.admission else { continue }
                let effects = admission.takeEffects()
                if !effects.isEmpty { isQuiet = false }
                for effect in effects where node.admission != nil { carryOut(effect, node) }
            }
        }
    }

    private func carryOut(_ effect: AdmissionEffect, _ node: FakeNode) {
        switch effect {
        case .send(let message, let to):
            guard self.node(to).admission != nil, !cut.contains([node.id, to].sorted()) else { return }
            queue.append((node.id, to, message))
        case .remember(let record):
            node.records.removeAll { $0.node == record.node }
            node.records.append(record)
            node.admission?.remembered(record, now: now)
        case .readSnapshot(let read):
            node.admission?.snapshotRead(read, chunk: chunk(of: node, read), now: now)
        case .storeChunk(let chunk):
            let outcome = store(chunk, node)
            node.admission?.chunkStored(chunk.metadata, outcome: outcome, now: now)
        case .accepted:
            return
        case .admitted(let outcome):
            admit(outcome, node)
        case .restart, .stop:
            node.ending = effect
            stop(Int(node.id.rawValue))
        case .report(let text, _):
            node.reports.append(text)
        }
    }

    private func admit(_ outcome: AdmissionOutcome, _ node: FakeNode) {
        node.outcome = outcome
        if case .restored(let group, let adoptedAt) = outcome {
            node.hardState = group.hardState
            node.base = group.snapshot ?? SnapshotMetadata(index: .zero, term: .zero, membership: membership)
            node.entries = group.entries
            if let adoptedAt {
                node.records.removeAll { $0.node == node.id }
                node.records.append(
                    NodeLife.ownRecord(
                        node.id, node.directory, base: NodeLife.base(adoptedAt: adoptedAt),
                        mustBeAdopted: false))
            }
        }
        node.isAdmittedOnDisk = true
        run(node)
    }

    static let snapshotSizeBytes: UInt64 = 25

    private func chunk(of node: FakeNode, _ read: SnapshotRead) -> SnapshotChunk? {
        guard !node.hasUnreadableSnapshots else { return nil }
        let held = node.snapshots + (node.base.index > .zero ? [node.base] : [])
        guard let metadata = read.metadata ?? held.max(by: { $0.index < $1.index }), held.contains(metadata)
        else { return nil }
        let size = min(10, AdmissionWorld.snapshotSizeBytes - read.offset)
        return SnapshotChunk(
            metadata: metadata, offset: read.offset,
            bytes: ByteSlice([UInt8](repeating: 7, count: Int(size))),
            isLast: read.offset + size == AdmissionWorld.snapshotSizeBytes, sentAt: .zero)
    }

    private func store(_ chunk: SnapshotChunk, _ node: FakeNode) -> ChunkOutcome {
        if chunk.offset == 0 { node.incoming = (chunk.metadata, 0) }
        guard let incoming = node.incoming, incoming.metadata == chunk.metadata, incoming.size == chunk.offset
        else { return .failed }
        node.incoming!.size += UInt64(chunk.bytes.count)
        guard chunk.isLast else { return .stored }
        node.snapshots.append(chunk.metadata)
        return .whole
    }

    // MARK: Damage

    /// What is left of a node's log without these entries.
    func left(of number: Int, without lost: ClosedRange<Int>, isEndTrusted: Bool = true) -> SalvagedState {
        let entries = self[number].entries
        let before = entries.filter { $0.index < LogIndex(UInt64(lost.lowerBound)) }
        let after = entries.filter { $0.index > LogIndex(UInt64(lost.upperBound)) }
        return SalvagedState(
            hardState: isEndTrusted ? self[number].hardState : nil, base: self[number].base,
            runs: [before, after].filter { !$0.isEmpty },
            lostEnd: after.isEmpty && isEndTrusted ? entries.last?.position : nil, isEndTrusted: isEndTrusted)
    }
}
