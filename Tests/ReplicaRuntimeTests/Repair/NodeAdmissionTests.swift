import ConsensusTypes
import RaftCore
import Testing
import WriteAheadLog

@testable import ReplicaRuntime

@Suite struct NodeAdmissionTests {
    // MARK: First starts

    @Test(arguments: [1, 3, 5]) func aFreshClusterIsAdmitted(size: Int) {
        let world = AdmissionWorld(size)
        for number in 1...size { world.start(number) }
        world.settle(seconds: 1)
        for node in world.nodes {
            #expect(node.isActive)
            #expect(node.outcome == .firstStart)
        }
    }

    /// Three of three, four of five: fewer could be a quorum's other half.
    @Test(arguments: [(3, 2), (5, 3)]) func tooFewAreNotAdmitted(size: Int, started: Int) {
        let world = AdmissionWorld(size)
        for number in 1...started { world.start(number) }
        world.settle(seconds: 20)
        for number in 1...started {
            #expect(!world[number].isActive)
            #expect(world[number].reports.contains { $0.contains("waits to be admitted") })
        }
        world.start(started + 1)
        world.settle(seconds: 2)
        for number in 1...started + 1 { #expect(world[number].isActive) }
    }

    /// A node that was admitted asks nobody.
    @Test func aCertainNodeIsAdmittedAlone() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 3)
        for number in 1...3 { world.stop(number) }
        world.start(2)
        #expect(world[2].isActive)
    }

    /// Whoever says that it knows no other directory remembers the one that asked, durably and before: a node
    /// that took part through others alone, and was wiped, is found out all the same.
    @Test func whoKnowsNoOtherRemembersWhoAsked() {
        let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])
        let admission = NodeAdmission(
            nodeID: NodeID(1), group: GroupID(1), membership: membership, directory: DirectoryID(1),
            startCount: 1, incarnation: 1, records: [], start: .certain, now: .zero)
        func ask(_ directory: UInt64, _ incarnation: UInt64) -> [AdmissionEffect] {
            let introduction = Introduction(
                directory: DirectoryID(directory), startCount: 1, incarnation: incarnation, stage: .fresh)
            admission.receive(.introduction(introduction), from: NodeID(2), now: .zero)
            return admission.takeEffects()
        }
        func verdict(_ judgement: Verdict.Judgement, _ incarnation: UInt64) -> AdmissionEffect {
            .send(.verdict(Verdict(judgement: judgement, incarnation: incarnation)), to: NodeID(2))
        }
        let record = MemberRecord(node: NodeID(2), directory: DirectoryID(20), startCount: 0, incarnation: 0)
        #expect(ask(20, 5) == [.remember(record)])
        admission.remembered(record, now: .zero)
        #expect(admission.takeEffects() == [verdict(.unknown, 5)])
        #expect(ask(20, 6) == [verdict(.unknown, 6)])
        #expect(ask(21, 7) == [verdict(.known, 7)])
        #expect(admission.standing(of: NodeID(2)) == .apart)
    }

    /// Who cannot tell whether a directory is the first remembers it all the same, and what it has learnt
    /// again counts.
    @Test func whoCannotTellRemembersWhoAsked() {
        let admission = NodeAdmission(
            nodeID: NodeID(1), group: GroupID(1), membership: Self.members(3), directory: DirectoryID(1),
            startCount: 1, incarnation: 1, records: [], isMemoryTrusted: false, start: .certain, now: .zero)
        func ask(_ directory: UInt64, _ incarnation: UInt64) -> [AdmissionEffect] {
            let introduction = Introduction(
                directory: DirectoryID(directory), startCount: 1, incarnation: incarnation, stage: .fresh)
            admission.receive(.introduction(introduction), from: NodeID(2), now: .zero)
            return admission.takeEffects()
        }
        func verdict(_ judgement: Verdict.Judgement, _ incarnation: UInt64) -> AdmissionEffect {
            .send(.verdict(Verdict(judgement: judgement, incarnation: incarnation)), to: NodeID(2))
        }
        let record = MemberRecord(node: NodeID(2), directory: DirectoryID(20), startCount: 0, incarnation: 0)
        #expect(ask(20, 5) == [.remember(record)])
        admission.remembered(record, now: .zero)
        #expect(admission.takeEffects() == [verdict(.cannotTell, 5)])
        #expect(ask(20, 6) == [verdict(.cannotTell, 6)])
        #expect(ask(21, 7) == [verdict(.known, 7)])
    }

    /// Where all others have answered and a part of them has lost its memory, one fewer than a quorum is
    /// enough: whoever admitted another directory is among them. No quorum might form otherwise, and nobody
    /// could adopt anybody.
    @Test func aMinorityThatCannotTellKeepsNobodyAway() {
        let three = freshNode(of: 3)
        #expect(hear(three, .unknown, from: 3).isEmpty)
        #expect(hear(three, .cannotTell, from: 2) == [.admitted(.firstStart)])

        let five = freshNode(of: 5)
        #expect(hear(five, .cannotTell, from: 2).isEmpty)
        #expect(hear(five, .unknown, from: 3).isEmpty)
        #expect(hear(five, .unknown, from: 4).isEmpty)
        // Without the last one's answer two directories could be admitted by two sets that share nobody.
        #expect(hear(five, .cannotTell, from: 5) == [.admitted(.firstStart)])
    }

    /// A peer that lost its memory will never say that it knows no other: without a way on, the node would wait
    /// for ever although a leader could adopt it.
    @Test(arguments: [(3, 2), (5, 3)]) func tooManyThatCannotTellLeadToAdoption(size: Int, unable: Int) {
        let admission = freshNode(of: size)
        var effects: [AdmissionEffect] = []
        for peer in 2...1 + unable {
            #expect(effects.isEmpty)
            effects = hear(admission, .cannotTell, from: UInt64(peer))
        }
        let asked = effects.contains { effect in
            if case .send(.adoptionRequest, to: NodeID(3)) = effect { true } else { false }
        }
        #expect(asked)
        #expect(!admission.isActive)
    }

    private static func members(_ size: Int) -> Membership {
        Membership(voters: (1...UInt64(size)).map { NodeID($0) })
    }

    /// Node 1, never admitted, connected to all others.
    private func freshNode(of size: Int) -> NodeAdmission {
        let admission = NodeAdmission(
            nodeID: NodeID(1), group: GroupID(1), membership: Self.members(size), directory: DirectoryID(1),
            startCount: 1, incarnation: 1, records: [], start: .fresh, now: .zero)
        for peer in 2...size { admission.peerConnected(NodeID(UInt64(peer)), now: .zero) }
        _ = admission.takeEffects()
        return admission
    }

    private func hear(
        _ admission: NodeAdmission, _ judgement: Verdict.Judgement, from peer: UInt64
    ) -> [AdmissionEffect] {
        admission.receive(
            .verdict(Verdict(judgement: judgement, incarnation: 1)), from: NodeID(peer), now: .zero)
        return admission.takeEffects()
    }

    // MARK: Other states of the same node

    @Test func aRolledBackNodeStopsAndIsAdopted() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 5)
        let old = (world[2].entries, world[2].startCount, world[2].records)
        for _ in 0..<3 {
            world.stop(2)
            world.start(2)
            world.settle(seconds: 1)
        }
        world[1].group!.entries.append(Entry(index: LogIndex(6), term: Term(1), kind: .command))
        world.settle(seconds: 1)
        #expect(world[2].entries.count == 6)
        world.stop(2)
        (world[2].entries, world[2].startCount, world[2].records) = old
        world.start(2)
        world.settle(seconds: 1)
        guard case .restart = world[2].ending else {
            Issue.record("it was not told: \(String(describing: world[2].ending))")
            return
        }
        for number in [1, 3] { #expect(world[number].admission?.standing(of: world[2].id) == .apart) }
        world.start(2)
        world.settle(seconds: 5)
        #expect(world[2].isActive)
        #expect(world[2].entries == world[1].entries)
        // Its peers take it for what it is now, also when it starts again.
        world.stop(2)
        world.start(2)
        world.settle(seconds: 1)
        #expect(world[2].isActive)
        for number in [1, 3] { #expect(world[number].admission?.standing(of: world[2].id) == .accepted) }
    }

    /// The directory of before the wipe comes back: it is older than the adoption.
    @Test func aDirectoryOfBeforeAnAdoptionIsOld() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 5)
        for _ in 0..<5 {
            world.stop(2)
            world.start(2)
            world.settle(seconds: 1)
        }
        let old = (world[2].directory, world[2].entries, world[2].startCount, world[2].records)
        world.wipe(2)
        world.start(2)
        world.settle(seconds: 5)
        #expect(world[2].isActive)
        world.stop(2)
        (world[2].directory, world[2].entries, world[2].startCount, world[2].records) = old
        world.start(2)
        world.settle(seconds: 1)
        guard case .restart = world[2].ending else {
            Issue.record("it was not told: \(String(describing: world[2].ending))")
            return
        }
    }

    @Test func aCopyIsRefused() {
        let world = AdmissionWorld(3)
        world.bootstrap(entryCount: 5)
        world.stop(2)
        world.start(2)
        world.settle(seconds: 1)
        // The same start of the same directory, by another process.
        world.stop(2)
        world[2].startCount -= 1
        world.start(2)
        world.settle(seconds: 1)
        guard case .stop(let reason) = world[2].ending else {
            Issue.record("it was not refused: \(String(describing: world[2].ending))")
            return
        }
        #expect(reason.contains("copy"))
        for number in [1, 3] { #expect(world[number].admission?.standing(of: world[2].id) == .apart) }
    }

    /// Nothing of the protocol counts before the peer's record is durable.
    @Test func aPeerCountsOnlyWhenItIsRemembered() {
        let membership = Membership(voters: [NodeID(1), NodeID(2), NodeID(3)])
        let admission = NodeAdmission(
            nodeID: NodeID(1), group: GroupID(1), membership: membership, directory: DirectoryID(1),
            startCount: 1, incarnation: 1, records: [], start: .certain, now: .zero)
        #expect(admission.standing(of: NodeID(2)) == .apart)
        let introduction = Introduction(
            directory: DirectoryID(2), startCount: 4, incarnation: 9, stage: .active)
        admission.receive(.introduction(introduction), from: NodeID(2), now: .zero)
        #expect(admission.standing(of: NodeID(2)) == .beingRemembered)
        let record = MemberRecord(
            node: NodeID(2), directory: DirectoryID(2), startCount: 4, incarnation: 9)
        #expect(admission.takeEffects() == [.remember(record)])
        admission.remembered(record, now: .zero)
        #expect(admission.standing(of: NodeID(2)) == .accepted)
        #expect(admission.takeEffects().contains(.accepted(NodeID(2))))
        // Under repair it does not count any more.
        admission.receive(
            .introduction(
                Introduction(directory: DirectoryID(2), startCount: 5, incarnation: 10, stage: .underRepair)),
            from: NodeID(2), now: .zero)
        #expect(admission.standing(of: NodeID(2)) == .apart)
    }
}
