import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

/// What a node finds on its disk, and how an outcome is carried out there.
@Suite struct OpenedNodeTests {
    private static let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])

    private func open(
        _ disk: SimulatedFileSystem, alone: Bool = false, acceptsDataLoss: Bool = false
    ) throws -> OpenedNode {
        try OpenedNode(
            directory: "/node",
            identity: NodeIdentity(cluster: ClusterID(1), node: NodeID(1), name: "n1"),
            membership: alone ? Membership(voters: [NodeID(1)]) : Self.membership, group: GroupID(1),
            acceptsDataLoss: acceptsDataLoss, logOptions: WriteAheadLogOptions(segmentSizeBytes: 32 << 10),
            fileSystem: disk, makeRestorer: { StoreSnapshotRestorer() })
    }

    private static func entries(_ indexes: ClosedRange<UInt64>) -> [Entry] {
        indexes.map {
            Entry(
                index: LogIndex($0), term: Term(2), kind: .command,
                payload: ByteSlice([UInt8](repeating: UInt8($0), count: 40)))
        }
    }

    /// A disk with an admitted node and 20 entries, each in a batch of its own.
    private func makeDisk() throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem(seed: 1)
        let node = try open(disk)
        let whole = try node.carryOut(.firstStart)
        whole.log.encode([
            LogWrite(group: GroupID(1), hardState: HardState(term: Term(2), votedFor: NodeID(3)))
        ])
        for entry in Self.entries(1...20) {
            whole.log.encode([LogWrite(group: GroupID(1), entries: [entry])])
            try whole.log.flush()
        }
        try whole.log.close()
        return disk
    }

    private func damageMiddle(_ disk: SimulatedFileSystem) throws {
        let segment = try #require(
            disk.files(under: "/node/log").first { $0.path.string.hasSuffix(".segment") })
        try disk.flipBit(3, of: segment.path, at: 1_500)
    }

    @Test func aFirstStartThenCertain() throws {
        let disk = SimulatedFileSystem(seed: 1)
        let first = try open(disk)
        #expect(first.start == .fresh)
        _ = try first.carryOut(.firstStart)
    }

    @Test func anAdmittedNodeIsCertain() throws {
        let node = try open(try makeDisk())
        #expect(node.start == .certain)
        #expect(node.takeWhole()?.state.entries == Self.entries(1...20))
        #expect(node.damages.isEmpty)
    }

    @Test func damageIsExactlyRestorable() throws {
        let disk = try makeDisk()
        try damageMiddle(disk)
        let node = try open(disk)
        guard case .damaged(let left) = node.start else {
            Issue.record("\(node.start)")
            return
        }
        #expect(left.isExactlyRestorable)
        #expect(left.hardState?.votedFor == NodeID(3))
        #expect(left.runs.count == 2)
        #expect(node.takeWhole() == nil)
        #expect(node.damages.contains { $0.contains("is damaged at byte") })
        var repair = LogRepair(left, membership: Self.membership)
        #expect(!repair.isComplete)
        while !repair.isComplete {
            let excerpt = LogWorld.excerpt(of: Self.entries(1...20), LogWorld.request(repair))
            guard repair.add(excerpt) else { break }
        }
        let restored = RecoveredGroup(
            group: GroupID(1), hardState: left.hardState!, snapshot: nil, entries: Array(repair.upper))
        let whole = try node.carryOut(.restored(restored, adoptedAt: nil))
        #expect(whole.state.entries == Self.entries(1...20))
        #expect(whole.state.hardState == left.hardState)
        #expect(try node.directory.repairNotes().isEmpty)
    }

    // MARK: Damage while under repair

    /// What is left, where the node is under repair although nothing in its directory is damaged, given what was
    /// noted of damage that was found at an earlier start.
    private func left(after note: RepairNote, on disk: SimulatedFileSystem) throws -> SalvagedState? {
        try open(disk).directory.noteRepair([note])
        let node = try open(disk)
        guard case .damaged(let left) = node.start else { return nil }
        #expect(node.takeWhole() == nil)
        #expect(node.damages.contains { $0.contains("at an earlier start") })
        return left
    }

    private static func note(
        _ hardState: HardState? = HardState(term: Term(2), votedFor: NodeID(3)), end: UInt64?
    ) -> RepairNote {
        RepairNote(
            group: GroupID(1), hardState: hardState,
            end: end.map { LogPosition(term: Term(2), index: LogIndex($0)) })
    }

    @Test func damageIsNotedUntilItIsRepaired() throws {
        let disk = try makeDisk()
        try damageMiddle(disk)
        for _ in 0..<2 {
            let node = try open(disk)
            #expect(try node.directory.repairNotes() == [Self.note(end: 20)])
        }
    }

    /// More damage took the end of the log and what told of it: it is known still.
    @Test func aLostEndIsNotForgotten() throws {
        let left = try #require(try left(after: Self.note(end: 25), on: makeDisk()))
        #expect(left.lostEnd == LogPosition(term: Term(2), index: LogIndex(25)))
        #expect(left.isExactlyRestorable)
        #expect(left.runs == [Self.entries(1...20)])
    }

    @Test func aLostVoteIsNotForgotten() throws {
        let voted = HardState(term: Term(4), votedFor: NodeID(2))
        let left = try #require(try left(after: Self.note(voted, end: 20), on: makeDisk()))
        #expect(left.hardState == voted)
        #expect(left.lostEnd == nil && left.isExactlyRestorable)
    }

    @Test func whatCouldNotBeToldIsNotToldLater() throws {
        let endless = try #require(try left(after: Self.note(end: nil), on: makeDisk()))
        #expect(!endless.isExactlyRestorable)
        let voteless = try #require(try left(after: Self.note(nil, end: 20), on: makeDisk()))
        #expect(!voteless.isExactlyRestorable)
    }

    @Test func aDamagedNoteSaysNothing() throws {
        let disk = try makeDisk()
        try open(disk).directory.noteRepair([Self.note(end: 20)])
        try disk.flipBit(1, of: "/node/REPAIR", at: 40)
        guard case .damaged(let left) = try open(disk).start else {
            Issue.record("the node takes part")
            return
        }
        #expect(!left.isExactlyRestorable)
    }

    /// The node ended after its log was whole again, and before it could say so.
    @Test func aRepairThatWasDoneEnds() throws {
        let disk = try makeDisk()
        #expect(try left(after: Self.note(end: 20), on: disk) == nil)
        let node = try open(disk)
        #expect(node.start == .certain)
        #expect(try node.directory.repairNotes().isEmpty)
    }

    @Test func aNodeWithoutPeersRefuses() throws {
        let disk = SimulatedFileSystem(seed: 1)
        let node = try open(disk, alone: true)
        let whole = try node.carryOut(.firstStart)
        for entry in Self.entries(1...20) {
            whole.log.encode([
                LogWrite(group: GroupID(1), hardState: HardState(term: Term(2)), entries: [entry])
            ])
            try whole.log.flush()
        }
        try whole.log.close()
        try damageMiddle(disk)
        disk.restart(after: .process)
        #expect(throws: NodeError.self) { _ = try open(disk, alone: true) }
        disk.restart(after: .process)
        let forced = try open(disk, alone: true, acceptsDataLoss: true)
        #expect(forced.start == .forced)
        let kept = try #require(forced.takeWhole()).state.entries
        #expect(!kept.isEmpty && kept.count < 20)
        #expect(kept == Array(Self.entries(1...20).prefix(kept.count)))
        #expect(forced.damages.contains { $0.contains("is dropped") })
    }

    /// That a node must be adopted outlives its process, and ends with the adoption.
    @Test func theNeedOfAdoptionIsDurable() throws {
        let disk = try makeDisk()
        do {
            let node = try open(disk)
            try node.memory.remember(
                NodeLife.ownRecord(NodeID(1), node.directory.directoryID, base: 0, mustBeAdopted: true))
        }
        do {
            let node = try open(disk)
            guard case .outdated(let left) = node.start else {
                Issue.record("\(node.start)")
                return
            }
            #expect(node.takeWhole() == nil)
            let group = RecoveredGroup(
                group: GroupID(1), hardState: HardState(term: Term(5), votedFor: NodeID(2)), snapshot: nil,
                entries: left.runs[0])
            _ = try node.carryOut(.restored(group, adoptedAt: LogIndex(20)))
        }
        let node = try open(disk)
        #expect(node.start == .certain)
        let own = NodeLife.read(
            node.memory.records.first { $0.node == NodeID(1) }, directory: node.directory.directoryID)
        #expect(own.base == NodeLife.base(adoptedAt: LogIndex(20)))
        #expect(!own.mustBeAdopted)
        #expect(node.takeWhole()?.state.hardState.term == Term(5))
    }

    /// A node that was wiped and whose adoption was cut short is not taken for a fresh one.
    @Test func anUnfinishedAdoptionIsNotAFirstStart() throws {
        let disk = SimulatedFileSystem(seed: 1)
        do {
            let node = try open(disk)
            _ = node.takeWhole()
            // All but the last step.
            try node.directory.rebuildLog(
                groups: [
                    RecoveredGroup(
                        group: GroupID(1), hardState: HardState(term: Term(5)), snapshot: nil,
                        entries: Self.entries(1...3))
                ], options: WriteAheadLogOptions(segmentSizeBytes: 32 << 10))
        }
        let node = try open(disk)
        guard case .outdated = node.start else {
            Issue.record("\(node.start)")
            return
        }
    }

    /// Who has lost what it knew of others does not say that it knows nobody, also after another start.
    @Test func aLostMemoryStaysLostUntilAllAreKnownAgain() throws {
        let disk = try makeDisk()
        do {
            let node = try open(disk)
            try node.memory.remember(
                MemberRecord(node: NodeID(2), directory: DirectoryID(7), startCount: 3, incarnation: 1))
        }
        try disk.flipBit(0, of: "/node/MEMBERS", at: 30)
        #expect(try !open(disk).memory.isTrusted)
        do {
            let node = try open(disk)
            #expect(!node.memory.isTrusted)
            try node.memory.remember(
                MemberRecord(node: NodeID(2), directory: DirectoryID(7), startCount: 3, incarnation: 1))
        }
        do {
            let node = try open(disk)
            #expect(!node.memory.isTrusted)
            try node.memory.remember(
                MemberRecord(node: NodeID(3), directory: DirectoryID(8), startCount: 1, incarnation: 1))
        }
        #expect(try open(disk).memory.isTrusted)
    }
}
