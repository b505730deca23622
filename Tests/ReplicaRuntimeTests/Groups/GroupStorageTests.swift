import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// Several groups in one data directory, under crashes and damage, on a simulated disk.
@Suite struct GroupStorageTests {
    private static let hosted: [UInt64] = [1, 2]
    /// In the log, and not hosted any more.
    private static let former: UInt64 = 3
    private static let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])

    /// What must be there of each group, by its number.
    private struct Model {
        var entries: [UInt64: [Entry]] = [:]
        var votes: [UInt64: HardState] = [:]

        mutating func append(to group: UInt64, count: Int, _ random: inout SeededRandom) -> LogWrite {
            var new: [Entry] = []
            let term = Term(votes[group]?.term.rawValue ?? 1)
            for _ in 0..<count {
                let index = LogIndex(UInt64((entries[group]?.count ?? 0) + new.count + 1))
                new.append(
                    Entry(
                        index: index, term: term, kind: .command,
                        payload: ByteSlice([UInt8](repeating: UInt8(group), count: Int(random.next() % 200))))
                )
            }
            entries[group, default: []] += new
            return LogWrite(group: GroupID(group), entries: new)
        }

        mutating func vote(in group: UInt64, _ random: inout SeededRandom) -> LogWrite {
            let term = Term((votes[group]?.term.rawValue ?? 1) + 1)
            let state = HardState(term: term, votedFor: NodeID(1 + random.next() % 3))
            votes[group] = state
            return LogWrite(group: GroupID(group), hardState: state)
        }
    }

    private func open(_ disk: SimulatedFileSystem, _ groups: [UInt64]) throws -> OpenedNode {
        try OpenedNode(
            directory: "/node",
            identity: NodeIdentity(cluster: ClusterID(1), node: NodeID(1), name: "n1"),
            membership: Self.membership,
            groups: groups.map { GroupPlan(id: GroupID($0), makeRestorer: { StoreSnapshotRestorer() }) },
            logOptions: WriteAheadLogOptions(segmentSizeBytes: 8 << 10), fileSystem: disk)
    }

    /// A node with three groups that wrote for a while, all of it durable, and then was started without one.
    private func makeDisk(_ random: inout SeededRandom) throws -> (SimulatedFileSystem, Model) {
        let disk = SimulatedFileSystem(seed: random.next())
        var model = Model()
        let all = Self.hosted + [Self.former]
        let node = try open(disk, all)
        #expect(node.groups.allSatisfy { $0.start == .fresh })
        try node.carryOut(all.map { _ in .firstStart })
        let log = try #require(node.takeLog()).log
        for group in all { log.encode([model.vote(in: group, &random)]) }
        try log.flush()
        for _ in 0..<Int(20 + random.next() % 40) {
            let group = all[Int(random.next() % 3)]
            if random.next() % 6 == 0 { log.encode([model.vote(in: group, &random)]) }
            log.encode([model.append(to: group, count: Int(1 + random.next() % 3), &random)])
            if random.next() % 2 == 0 { try log.flush() }
        }
        try log.flush()
        if random.next() % 2 == 0 { try log.close() }
        return (disk, model)
    }

    private func expectWhole(_ node: OpenedNode, _ model: Model) throws {
        for group in node.groups {
            let state = try #require(group.whole).state
            #expect(state.entries == model.entries[group.id.rawValue] ?? [])
            #expect(state.hardState.term == model.votes[group.id.rawValue]?.term)
            #expect(state.hardState.votedFor == model.votes[group.id.rawValue]?.votedFor)
        }
    }

    /// Restores a group from a peer that has all of it; `nil` where the exact past cannot be told.
    private func restore(
        _ group: OpenedGroup, _ left: SalvagedState, _ model: Model
    ) throws -> AdmissionOutcome? {
        guard left.isExactlyRestorable else { return nil }
        let all = model.entries[group.id.rawValue] ?? []
        var repair = LogRepair(left, membership: Self.membership)
        for _ in 0..<100 where !repair.isComplete {
            let (boundary, through) = (try #require(repair.boundary), try #require(repair.through))
            // What is left was there: nobody made it up.
            #expect(all.contains { $0.position == boundary })
            var excerpt = LogExcerpt()
            excerpt.holdsBoundary = true
            excerpt.firstIndex = LogIndex(1)
            excerpt.entries = all.filter { $0.index <= through && $0.index >= repair.from }
            excerpt.previous = all.last { $0.index < repair.from }?.position
            let isTaken = repair.add(excerpt)
            #expect(isTaken)
        }
        #expect(repair.isComplete)
        return .restored(
            RecoveredGroup(
                group: group.id, hardState: try #require(left.hardState), snapshot: nil,
                entries: Array(repair.upper)), adoptedAt: nil)
    }

    /// A crash leaves every group whole, up to what was durable.
    @Test(arguments: 1...60) func crashes(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        var (disk, model) = try makeDisk(&random)
        for _ in 0..<3 {
            let node = try open(disk, Self.hosted)
            #expect(node.groups.allSatisfy { $0.start == .certain })
            try expectWhole(node, model)
            #expect(node.unhosted.map(\.group) == [GroupID(Self.former)])
            #expect(node.unhosted.first?.entries == model.entries[Self.former])
            #expect(node.unhosted.first?.hardState.votedFor == model.votes[Self.former]?.votedFor)
            let log = try #require(node.takeLog()).log
            log.retire(node.unhosted)
            // What is durable counts; the batch in which the power fails is there as a whole or not at all.
            let before = model
            log.encode(Self.hosted.map { model.append(to: $0, count: 2, &random) })
            let crash = disk.operationCount + Int(random.next() % 6)
            disk.setPlan { $0.number >= crash ? .crash : .none }
            let isDurable = (try? log.flush()) != nil
            disk.setPlan(nil)
            disk.restart(after: .power)
            if !isDurable {
                let found = try open(disk, Self.hosted)
                let counts = found.groups.map { $0.whole?.state.entries.count }
                let old = Self.hosted.map { before.entries[$0]?.count }
                // Both groups' writes were in one batch.
                #expect(counts == old || counts == Self.hosted.map { model.entries[$0]?.count })
                if counts == old { model = before }
                disk = disk.copy()
                disk.restart(after: .process)
            }
        }
    }

    /// After damage no group runs before each is restored, and then all are what they were.
    @Test func damage() throws {
        var outcomes: [DamageOutcome: Int] = [:]
        for seed in 1...150 { outcomes[try damage(seed: seed), default: 0] += 1 }
        // What is tested does happen.
        #expect(outcomes[.restored, default: 0] >= 20)
        #expect(outcomes[.restoredWithoutFormer, default: 0] >= 10)
        #expect(outcomes[.harmless, default: 0] >= 5)
    }

    private enum DamageOutcome: Hashable {
        case harmless
        case needsAdoption
        case restored
        case restoredWithoutFormer
    }

    private func damage(seed: Int) throws -> DamageOutcome {
        var random = SeededRandom(seed: UInt64(seed))
        let (disk, model) = try makeDisk(&random)
        let segments = disk.files(under: "/node/log").filter { $0.path.string.hasSuffix(".segment") }
        for _ in 0..<Int(1 + random.next() % 3) {
            let segment = segments[Int(random.next() % UInt64(segments.count))]
            try disk.flipBit(
                Int(random.next() % 8), of: segment.path, at: Int(random.next() % UInt64(segment.sizeBytes)))
        }
        // Twice, as after a start that ended before the repair did.
        _ = try open(disk, Self.hosted)
        let node = try open(disk, Self.hosted)
        var outcomes: [AdmissionOutcome?] = []
        for group in node.groups {
            switch group.start {
            case .damaged(let left):
                #expect(node.takeLog() == nil && group.whole == nil)
                outcomes.append(try restore(group, left, model))
                #expect(!node.isReady(outcomes + [nil]) || outcomes.count == node.groups.count)
            case .certain:
                #expect(node.groups.allSatisfy { $0.start == .certain })
                outcomes.append(nil)
            default:
                Issue.record("\(group.start)")
            }
        }
        if node.groups[0].start == .certain {
            try expectWhole(node, model)
            return .harmless
        }
        // Where the past cannot be told a leader must adopt the node, which is another test.
        guard outcomes.allSatisfy({ $0 != nil }) else { return .needsAdoption }
        try node.carryOut(outcomes)
        try expectWhole(node, model)
        _ = node.takeLog()
        // A copy of the disk, since the node above still has this one open.
        let again = try open(disk.copy(), Self.hosted + [Self.former])
        let former = again.groups[2]
        switch former.start {
        case .certain:
            try expectWhole(again, model)
            return .restored
        case .outdated:
            // A part of it was lost while nobody hosted it: what is left does not count before it is adopted.
            #expect(node.incompleteUnhosted == [former.id])
            #expect(again.groups[..<2].allSatisfy { $0.isBlocking && $0.whole == nil })
        default:
            Issue.record("\(former.start)")
        }
        return .restoredWithoutFormer
    }

    /// A group that was never admitted with this directory is new to it, whatever the others are.
    @Test func aNewGroupIsFreshAndDoesNotBlock() throws {
        var random = SeededRandom(seed: 7)
        let (disk, model) = try makeDisk(&random)
        let node = try open(disk, Self.hosted + [9])
        #expect(node.groups.map(\.start) == [.certain, .certain, .fresh])
        #expect(node.isReady([nil, nil, nil]))
        #expect(node.groups[2].whole?.state.entries == [])
        #expect(node.groups[0].whole?.state.entries == model.entries[1])
    }

    /// The memory of one group says nothing of another.
    @Test func eachGroupRemembersByItself() throws {
        var random = SeededRandom(seed: 7)
        let (disk, _) = try makeDisk(&random)
        let node = try open(disk, Self.hosted)
        let record = MemberRecord(
            node: NodeID(2), directory: DirectoryID(5), startCount: 3, incarnation: 4)
        try node.groups[1].memory.remember(record)
        // Copies of the disk, since each node has its own open.
        let again = try open(disk.copy(), Self.hosted)
        #expect(!again.groups[0].memory.records.contains(record))
        #expect(again.groups[1].memory.records.contains(record))
        try disk.flipBit(1, of: "/node/MEMBERS-0000000000000002", at: 30)
        let lost = try open(disk.copy(), Self.hosted)
        #expect(lost.groups.map(\.memory.isTrusted) == [true, false])
        // Its log says that it took part.
        #expect(lost.groups.map(\.start) == [.certain, .certain])
    }
}
